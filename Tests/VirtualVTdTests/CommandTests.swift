// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Global commands and invalidation by registers: the handshakes of FORMATS-VTD B4 and B5.

import IOMMU
import IOMMUTestSupport
import Testing
import VirtualVTd

/// A guest with one legacy domain, whose page 0x40000 leads to 0x200000 first.
private struct LegacyGuest {
    let machine: VTdMachine
    let leaf: UInt64
    static let source = SourceID(0x10)

    init(_ capabilities: Capabilities = .full) throws {
        machine = try VTdMachine(capabilities)
        let builder = TableBuilder(machine.image, isScalable: false)
        let tables = PagingTables(.second, levels: 4, in: machine.image)
        tables.leafFlags = 3
        tables.tableFlags = 3
        tables.map(0x40000, to: 0x20_0000)
        leaf = tables.entryAddress(0x40000, level: 0)
        var context = LegacyContext()
        context.domain = 7
        context.root = tables.root
        builder.setContext(0x10, context)
        machine.write(0x20, builder.rootRegister, size: 8)
    }

    func answer() throws -> UInt64? {
        try machine.port.translate(0x40000, access: .read, source: Self.source).translation?.address.rawValue
    }
}

@Suite struct CommandTests {
    @Test func theRootIsLatchedByItsCommandAlone() throws {
        let guest = try LegacyGuest()
        let machine = guest.machine
        machine.command(set: 1 << 30)
        #expect(machine[0x1c] == 1 << 30)
        machine.command(set: 1 << 31)
        #expect(machine[0x1c] == 1 << 30 | 1 << 31)
        #expect(try guest.answer() == 0x20_0000)
        machine.write(0x20, 0, size: 8)
        #expect(try guest.answer() == 0x20_0000, "RTADDR without SRTP changes nothing")
        machine.command(set: 1 << 30)
        #expect(try guest.answer() == nil, "there are no tables at 0")
    }

    @Test func translationIsALevel() throws {
        let guest = try LegacyGuest()
        let machine = guest.machine
        machine.command(set: 1 << 30)
        #expect(try guest.answer() == 0x40000, "off, an address is itself")
        machine.command(set: 1 << 31)
        #expect(try guest.answer() == 0x20_0000)
        // Each write gives all levels anew.
        machine.command(set: 1 << 26)
        #expect(machine[0x1c] == 1 << 30 | 1 << 31 | 1 << 26)
        machine.command(clear: 1 << 31)
        #expect(machine[0x1c] == 1 << 30 | 1 << 26)
        #expect(try guest.answer() == 0x40000)
    }

    @Test func flushingWriteBuffersIsDoneAtOnce() throws {
        let machine = try VTdMachine()
        machine.command(set: 1 << 27)
        #expect(machine[0x1c] == 0)
    }

    @Test func interruptTablesAreLatchedByTheirCommand() throws {
        let capabilities = try Capabilities(basedOn: .full) { $0.interruptRemapping = true }
        let machine = try VTdMachine(capabilities)
        let table = machine.image.allocatePage()
        // Entry 3: present, vector 0x51, any source.
        machine.image[table + 48] = 1 | 0x51 << 16
        machine.write(0xb8, table | 7, size: 8)
        machine.command(set: 1 << 25)
        #expect(machine[0x1c] == 1 << 25)
        func vector() throws -> UInt8? {
            try machine.port.signalInterrupt(address: 0xfee0_0010 | 3 << 5, data: 0, source: SourceID(8)) { _ in }
                .message?.vector
        }
        #expect(try vector() == nil, "IRTA was not latched")
        machine.command(set: 1 << 24)
        #expect(machine[0x1c] == 1 << 25 | 1 << 24)
        #expect(try vector() == 0x51)
        machine.command(clear: 1 << 25)
        #expect(machine[0x1c] == 1 << 24)
    }

    @Test func commandsThatTheUnitLacksAreIgnored() throws {
        let capabilities = try Capabilities {
            $0 = Capabilities.Builder()
            $0.domainBits = 16
            $0.maximumGuestAddressWidth = 39
            $0.guestAddressWidths = .bits39
            $0.faultRecordingOffset = 0x220
            $0.iotlbRegisterOffset = 0xf0
        }
        let machine = try VTdMachine(capabilities)
        machine.command(set: 1 << 24 | 1 << 25 | 1 << 26 | 1 << 28 | 1 << 29)
        #expect(machine[0x1c] == 0)
    }

    // MARK: Invalidation by registers

    @Test(arguments: [(UInt64(1), UInt64(1)), (2, 2), (3, 3), (0, 0)])
    func theContextRegisterReportsWhatItDid(asked: UInt64, reported: UInt64) throws {
        let guest = try LegacyGuest()
        let machine = guest.machine
        machine.command(set: 1 << 30)
        machine.command(set: 1 << 31)
        #expect(try guest.answer() == 0x20_0000)
        machine.write(0x28, 1 << 63 | asked << 61 | 0x10 << 16 | 7, size: 8)
        machine.front.finishWorks()
        #expect(machine.read64(0x28) >> 63 == 0, "ICC")
        #expect(machine.read64(0x28) >> 59 & 3 == reported, "CAIG")
    }

    @Test func theIOTLBRegisterInvalidates() throws {
        let guest = try LegacyGuest()
        let machine = guest.machine
        let offset = machine.front.configuration.capabilities.iotlbRegisterOffset
        machine.command(set: 1 << 30)
        machine.command(set: 1 << 31)
        var output: UInt64 = 0x20_0000
        for (asked, reported) in [(1, 1), (2, 2), (3, 3), (0, 0)] as [(UInt64, UInt64)] {
            #expect(try guest.answer() == output)
            output += 0x1000
            machine.image[guest.leaf] = output | 3
            machine.write(offset, 0x40000, size: 8)
            machine.write(offset + 8, 1 << 63 | asked << 60 | 7 << 32, size: 8)
            machine.front.finishWorks()
            #expect(machine.read64(offset + 8) >> 63 == 0, "IVT")
            #expect(machine.read64(offset + 8) >> 57 & 3 == reported, "IAIG")
            if asked == 0 { output -= 0x1000 }
        }
        #expect(try guest.answer() == output, "a refused request invalidates nothing")
        #expect(machine.read64(offset) == 0, "IVA is write-only")
    }

    @Test func withoutPageSelectionADomainIsInvalidated() throws {
        let capabilities = try Capabilities(basedOn: .full) { $0.pageSelectiveInvalidation = false }
        let guest = try LegacyGuest(capabilities)
        let machine = guest.machine
        let offset = machine.front.configuration.capabilities.iotlbRegisterOffset
        machine.command(set: 1 << 30)
        machine.command(set: 1 << 31)
        #expect(try guest.answer() == 0x20_0000)
        machine.image[guest.leaf] = 0x21_0003
        machine.write(offset, 0x40000, size: 8)
        machine.write(offset + 8, 1 << 63 | 3 << 60 | 7 << 32, size: 8)
        machine.front.finishWorks()
        #expect(machine.read64(offset + 8) >> 57 & 3 == 2)
        #expect(try guest.answer() == 0x21_0000)
    }

    @Test func registersRefuseBesideTheQueueAndFromVersion6() throws {
        for version in [UInt8(0x10), 0x60] {
            let machine = try VTdMachine(.full, version: version)
            if version == 0x10 { machine.enableQueue() }
            let offset = machine.front.configuration.capabilities.iotlbRegisterOffset
            machine.write(0x28, 1 << 63 | 1 << 61, size: 8)
            machine.write(offset + 8, 1 << 63 | 1 << 60, size: 8)
            machine.front.finishWorks()
            #expect(machine.read64(0x28) == 1 << 61, "neither ICC nor CAIG")
            #expect(machine.read64(offset + 8) == 1 << 60, "neither IVT nor IAIG")
        }
    }

    @Test func theUpperHalfStartsARegisterCommand() throws {
        let machine = try VTdMachine()
        machine[0x28] = 0x10_0007
        #expect(machine[0x2c] == 0)
        machine[0x2c] = 1 << 31 | 1 << 29
        machine.front.finishWorks()
        #expect(machine[0x2c] == 1 << 29 | 1 << 27)
    }

    @Test func aWriteFromInsideASectionIsRefusedInline() throws {
        let machine = try VTdMachine()
        machine.port.withSection {
            // Nothing that waits, then something that would.
            #expect(throws: IOMMUError.inSection) {
                try machine.front.write(0x3c, size: 4, 0x55, port: machine.port)
            }
            #expect(throws: IOMMUError.inSection) {
                try machine.front.write(0x18, size: 4, 1 << 31, port: machine.port)
            }
            return
        }
        #expect(machine[0x1c] == 0)
        #expect(machine[0x3c] == 0)
    }
}
