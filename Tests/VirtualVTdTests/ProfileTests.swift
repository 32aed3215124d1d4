// SPDX-License-Identifier: LGPL-2.1-or-later
//
// What a unit does because of what it offers: caching mode, widths of addresses and PASIDs, snoop control, the number of fault records, and
// invalidation by registers alone [FORMATS-VTD A3, A6, A8, B2, B3].

import IOMMU
import IOMMUTestSupport
import Testing
import VirtualVTd

/// A guest in legacy mode, with tables of so many levels.
private struct LegacyTables {
    static let source: UInt16 = 0x18

    let machine: VTdMachine
    let builder: TableBuilder
    let tables: PagingTables
    var context = LegacyContext()

    init(_ machine: VTdMachine, levels: Int = 4) {
        self.machine = machine
        builder = TableBuilder(machine.image, isScalable: false)
        tables = PagingTables(.second, levels: levels, in: machine.image)
        (tables.leafFlags, tables.tableFlags) = (3, 3)
        context.root = tables.root
        context.addressWidth = UInt64(levels - 2)
        context.domain = 7
        machine.write(0x20, builder.rootRegister, size: 8)
        machine.command(set: 1 << 30)
        machine.command(set: 1 << 31)
    }

    func setContext() { builder.setContext(Self.source, context) }

    /// Where a read ends; the code of a fault is negative.
    func read(_ address: UInt64) throws -> Int {
        let result = try machine.port.translate(
            IOVA(address), access: .read, source: SourceID(UInt32(Self.source)), options: .noFault)
        if let code = result.fault?.code { return -Int(code) }
        return Int(result.translation?.address.rawValue ?? 0)
    }
}

@Suite struct ProfileTests {
    // MARK: Caching mode

    /// Domain 0 tags what is not present, so a guest may not use it.
    @Test(arguments: [false, true]) func domainZeroIsTakenInCachingMode(isCaching: Bool) throws {
        var guest = LegacyTables(try VTdMachine(try Capabilities(basedOn: .full) { $0.cachingMode = isCaching }))
        guest.tables.map(0x5000, to: 0x20_0000)
        guest.context.domain = 0
        guest.setContext()
        #expect(try guest.read(0x5000) == (isCaching ? -0x0b : 0x20_0000))
        guest.context.domain = 1
        guest.setContext()
        guest.machine.enableQueue()
        guest.machine.submit(.contextGlobal, .iotlbGlobal)
        #expect(try guest.read(0x5000) == 0x20_0000)
    }

    /// What was not present and is now holds at once without caching mode, and after the invalidation with it.
    @Test(arguments: [false, true]) func whatBecomesPresent(isCaching: Bool) throws {
        let guest = LegacyTables(try VTdMachine(try Capabilities(basedOn: .full) { $0.cachingMode = isCaching }))
        let machine = guest.machine
        let status = machine.image.allocatePage()
        machine.enableQueue()
        func settle(_ descriptors: Descriptor...) {
            guard isCaching else { return }
            machine.image[status] = 0
            for descriptor in descriptors { machine.put([descriptor]) }
            machine.submit(Descriptor(5 | 1 << 5 | 7 << 32, status))
            #expect(machine.image[status] == 7)
        }
        #expect(try guest.read(0x5000) == -0x01, "no root entry")
        _ = guest.builder.contextEntryAddress(LegacyTables.source)
        settle(.contextGlobal)
        #expect(try guest.read(0x5000) == -0x02, "no context entry")
        guest.setContext()
        settle(.contextDevice(0, source: LegacyTables.source))
        #expect(try guest.read(0x5000) == -0x06, "nothing is mapped")
        guest.tables.map(0x5000, to: 0x20_0000)
        settle(.iotlbPages(7, at: 0x5000))
        #expect(try guest.read(0x5000) == 0x20_0000)
        #expect(try guest.read(0x6000) == -0x06)
        guest.tables.map(0x6000, to: 0x30_0000)
        settle(.iotlbPages(7, at: 0x6000))
        #expect(try guest.read(0x6000) == 0x30_0000)
    }

    // MARK: Registers only

    @Test(arguments: [39, 48]) func registersAloneInvalidate(width: Int) throws {
        let capabilities = try Capabilities(basedOn: .full) {
            $0.makeRegistersOnly()
            $0.maximumGuestAddressWidth = width
            $0.guestAddressWidths = width == 39 ? .bits39 : .bits48
            $0.iotlbRegisterOffset = 0xf0
        }
        let levels = width == 39 ? 3 : 4
        var guest = LegacyTables(try VTdMachine(capabilities), levels: levels)
        let machine = guest.machine
        guest.tables.map(0x5000, to: 0x20_0000)
        guest.setContext()
        #expect(try guest.read(0x5000) == 0x20_0000)
        machine.write(0x88, 0x40)
        machine.write(0x90, machine.queue, size: 8)
        machine.command(set: 1 << 26)
        #expect(machine[0x1c] == 1 << 31 | 1 << 30, "there is no queue")
        #expect(machine.read64(0x80) == 0 && machine.read64(0x88) == 0 && machine.read64(0x90) == 0)
        // Another table through the context register, for the device, the domain, and all.
        let commands: [UInt64] = [3 << 61 | UInt64(LegacyTables.source) << 16 | 7, 2 << 61 | 7, 1 << 61]
        for (number, command) in commands.enumerated() {
            let other = PagingTables(.second, levels: levels, in: machine.image)
            (other.leafFlags, other.tableFlags) = (3, 3)
            other.map(0x5000, to: 0x30_0000 + UInt64(number) << 12)
            guest.context.root = other.root
            guest.setContext()
            machine.write(0x28, 1 << 63 | command, size: 8)
            machine.front.finishWorks()
            #expect(machine.read64(0x28) >> 59 & 3 == command >> 61, "CAIG")
            machine.write(0xf8, 1 << 63 | 2 << 60 | 7 << 32, size: 8)
            machine.front.finishWorks()
            #expect(machine.read64(0xf8) >> 57 & 3 == 2, "IAIG")
            #expect(try guest.read(0x5000) == 0x30_0000 + number << 12)
        }
    }

    // MARK: Widths

    /// Each width of a table, in a unit that offers it alone: the last address that fits, and the first that does not.
    @Test(arguments: [39, 48, 57]) func addressWidths(width: Int) throws {
        let offered: GuestAddressWidths = width == 39 ? .bits39 : width == 48 ? .bits48 : .bits57
        let capabilities = try Capabilities(basedOn: .full) {
            ($0.guestAddressWidths, $0.maximumGuestAddressWidth) = (offered, width)
        }
        let levels = [39: 3, 48: 4, 57: 5][width] ?? 4
        var guest = LegacyTables(try VTdMachine(capabilities), levels: levels)
        let machine = guest.machine
        machine.enableQueue()
        let last = UInt64(1) << UInt64(width) - 0x1000
        guest.tables.map(last, to: 0x20_0000)
        guest.setContext()
        #expect(try guest.read(last) == 0x20_0000)
        #expect(try guest.read(last + 0x1000) == -0x04)
        // The fault record keeps the bits that the unit implements.
        _ = try machine.port.translate(
            IOVA(last - 0x1000), access: .read, source: SourceID(UInt32(LegacyTables.source)))
        machine.front.collectFaults()
        let place = machine.front.configuration.capabilities.faultRecordingOffset
        #expect(machine.read64(place) == last - 0x1000)
        _ = try machine.port.translate(IOVA(.max), access: .read, source: SourceID(0x20))
        // Others are not offered.
        for other: UInt64 in 0...7 where other != UInt64(levels - 2) {
            guest.context.addressWidth = other
            guest.setContext()
            machine.submit(.contextGlobal, .iotlbGlobal)
            #expect(try guest.read(0x5000) == -0x03, "AW \(other)")
        }
    }

    /// An address may be no wider than CAP.MGAW says, however wide its table.
    @Test func theNarrowerWidthCounts() throws {
        let capabilities = try Capabilities(basedOn: .full) {
            ($0.guestAddressWidths, $0.maximumGuestAddressWidth) = (.bits48, 39)
        }
        let guest = LegacyTables(try VTdMachine(capabilities))
        guest.tables.map(0x7f_ffff_f000, to: 0x20_0000)
        guest.tables.map(0x80_0000_0000, to: 0x30_0000)
        guest.setContext()
        #expect(try guest.read(0x7f_ffff_f000) == 0x20_0000)
        #expect(try guest.read(0x80_0000_0000) == -0x04)
    }

    /// The host gives devices no PASIDs that the unit does not have.
    @Test(arguments: [1, 7, 16, 20]) func widthOfPASIDs(bits: Int) throws {
        let machine = try VTdMachine(try Capabilities(basedOn: .full) { $0.pasidBits = bits })
        #expect(machine.read64(0x10) >> 35 & 0x1f == UInt64(bits - 1))
        let most = UInt32(1) << UInt32(bits) - 1
        func make(_ last: UInt32) throws(IOMMUError) -> DeviceTLB {
            try DeviceTLB(
                unit: machine.front.unit,
                configuration: .init(source: SourceID(8), pasids: pasid(0)...pasid(last), device: 1)
            ) { $0.answer() }
        }
        try make(most).close()
        if bits < 20 { #expect(throws: IOMMUError.self) { _ = try make(most + 1) } }
    }

    // MARK: Snoop control

    @Test(arguments: [false, true]) func snoopControl(isOffered: Bool) throws {
        let capabilities = try Capabilities(basedOn: .full) { $0.snoopControl = isOffered }
        let guest = LegacyTables(try VTdMachine(capabilities))
        guest.tables.map(0x5000, to: 0x20_0000, flags: 3 | 1 << 11)
        guest.setContext()
        #expect(try guest.read(0x5000) == (isOffered ? 0x20_0000 : -0x0c), "SNP")
        // PGSNP of a PASID entry.
        let machine = try VTdMachine(capabilities)
        let builder = TableBuilder(machine.image, isScalable: true)
        var entry = PASIDEntry()
        entry.raw[1] = 1 << 24
        builder.setContext(0x18, ScalableContext())
        builder.setPASID(0x18, pasid: 0, entry)
        machine.write(0x20, builder.rootRegister, size: 8)
        machine.command(set: 1 << 30)
        machine.command(set: 1 << 31)
        let result = try machine.port.translate(0x5000, access: .read, source: SourceID(0x18))
        #expect(result.fault?.code == (isOffered ? nil : 0x5a))
    }

    // MARK: Fault records

    /// So many records are filled in order, each with its source, and the next fault overflows; cleared, the ring goes on where it was.
    @Test(arguments: [1, 2, 256]) func numberOfFaultRecords(count: Int) throws {
        let machine = try VTdMachine(try Capabilities(basedOn: .full) { $0.faultRecordingRegisters = count })
        let place = machine.front.configuration.capabilities.faultRecordingOffset
        #expect(machine.read64(8) >> 40 & 0xff == UInt64(count - 1))
        machine.write(0x20, machine.image.allocatePage(), size: 8)
        machine.command(set: 1 << 30)
        machine.command(set: 1 << 31)
        for round in 0..<2 {
            for index in 0..<count { machine.fault(UInt16(index + 1)) }
            #expect(machine[0x34] == 2, "PPF, FRI 0")
            for index in 0..<count {
                #expect(machine.read64(place + 16 * index + 8) & 0xffff == UInt64(index + 1))
                #expect(machine.read64(place + 16 * index + 8) >> 63 == 1)
            }
            machine.fault(0x1000)
            #expect(machine[0x34] == 3, "PFO, round \(round)")
            for index in 0..<count { machine[place + 16 * index + 12] = 1 << 31 }
            machine[0x34] = 1
            #expect(machine[0x34] & 3 == 0)
        }
        // One less than all: the next first one is the last of the ring.
        for index in 0..<count - 1 { machine.fault(UInt16(index + 1)) }
        for index in 0..<count - 1 { machine[place + 16 * index + 12] = 1 << 31 }
        machine.fault(9)
        #expect(machine[0x34] == UInt64(count - 1) << 8 | 2)
        #expect(machine.read64(place + 16 * count) == 0, "nothing behind the last")
    }
}
