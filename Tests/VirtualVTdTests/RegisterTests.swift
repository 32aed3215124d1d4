// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Every register by the table of the specification [FORMATS-VTD B]: reset value, what keeps a write, what a written 1 clears, width
// and alignment. The rows are written by hand, for eight kinds of units.

import IOMMU
import Testing
import VirtualVTd

/// A register as the specification has it.
private struct Row: Sendable {
    let name: String
    let offset: Int
    let size: Int
    var writable: UInt64 = 0
    var reset: UInt64 = 0
}

/// A unit, and the registers that it must have.
struct Profile: Sendable, CustomTestStringConvertible {
    let testDescription: String
    let capabilities: Capabilities
    fileprivate let rows: [Row]

    static let all: [Profile] = {
        do throws(IOMMUError) {
            return [
                try legacyRegisters(), try manyRecords(), try legacyQueue(), try recorded(), try abortMode(),
                try firstStage(), try scalable(), try full(),
            ]
        } catch {
            preconditionFailure("\(error)")
        }
    }()

    private static let address39: UInt64 = 0x7f_ffff_f000
    private static let address48: UInt64 = 0xffff_ffff_f000
    private static let address52: UInt64 = 0xf_ffff_ffff_f000

    /// No queue, no interrupt remapping, 39 bits.
    private static func legacyRegisters() throws(IOMMUError) -> Profile {
        let capabilities = try Capabilities {
            $0 = Capabilities.Builder()
            $0.domainBits = 16
            $0.maximumGuestAddressWidth = 39
            $0.guestAddressWidths = .bits39
            $0.faultRecordingOffset = 0x220
            $0.faultRecordingRegisters = 1
            $0.iotlbRegisterOffset = 0xf0
        }
        return Profile(
            testDescription: "registers only, 39 bits", capabilities: capabilities,
            rows: common(capabilities, address: address39, isExtended: false)
                + iotlb(0xf0) + faults(0x220, count: 1))
    }

    /// Caching mode, 57 bits, as many fault records as there can be.
    private static func manyRecords() throws(IOMMUError) -> Profile {
        let capabilities = try Capabilities {
            $0 = Capabilities.Builder()
            $0.domainBits = 16
            $0.cachingMode = true
            $0.maximumGuestAddressWidth = 57
            $0.guestAddressWidths = .bits57
            $0.snoopControl = true
            $0.faultRecordingOffset = 0x220
            $0.faultRecordingRegisters = 256
            $0.iotlbRegisterOffset = 0x80
        }
        return Profile(
            testDescription: "registers only, caching mode, 57 bits, 256 fault records", capabilities: capabilities,
            rows: common(capabilities, address: address52, isExtended: false)
                + iotlb(0x80) + faults(0x220, count: 256))
    }

    /// No scalable mode, but abort-DMA mode, which takes wide descriptors too.
    private static func abortMode() throws(IOMMUError) -> Profile {
        let capabilities = try Capabilities {
            $0 = Capabilities.Builder()
            $0.domainBits = 16
            $0.maximumGuestAddressWidth = 48
            $0.guestAddressWidths = .bits48
            $0.queuedInvalidation = true
            $0.deviceTLBs = true
            $0.abortDMA = true
            $0.faultRecordingOffset = 0x220
            $0.iotlbRegisterOffset = 0xf0
        }
        return Profile(
            testDescription: "abort-DMA mode, device-TLBs", capabilities: capabilities,
            rows: common(capabilities, address: address48, isExtended: false)
                + queue(address: address48, isWide: true, isExtended: false) + iotlb(0xf0) + faults(0x220, count: 1))
    }

    /// First stage alone, with PASIDs of 7 bits and 32-bit interrupt destinations.
    private static func firstStage() throws(IOMMUError) -> Profile {
        let capabilities = try Capabilities(basedOn: .full) {
            $0.keep(first: true)
            $0.guestAddressWidths = []
            $0.pasidBits = 7
            $0.pageRequests = false
            $0.faultRecordingOffset = 0x200
            $0.faultRecordingRegisters = 2
            $0.iotlbRegisterOffset = 0x100
            $0.hostAddressWidth = 39
        }
        return Profile(
            testDescription: "first stage alone, no page requests", capabilities: capabilities,
            rows: common(capabilities, address: address39, isExtended: true)
                + queue(address: address39, isWide: true, isExtended: true)
                + [Row(name: "IRTA", offset: 0xb8, size: 8, writable: address39 | 1 << 11 | 0xf)]
                + iotlb(0x100) + faults(0x200, count: 2))
    }

    /// A queue beside the registers, caching mode, 8 fault records elsewhere.
    private static func legacyQueue() throws(IOMMUError) -> Profile {
        let capabilities = try Capabilities {
            $0 = Capabilities.Builder()
            $0.domainBits = 16
            $0.cachingMode = true
            $0.maximumGuestAddressWidth = 48
            $0.guestAddressWidths = .bits48
            $0.queuedInvalidation = true
            $0.faultRecordingOffset = 0x400
            $0.faultRecordingRegisters = 8
            $0.iotlbRegisterOffset = 0x200
        }
        return Profile(
            testDescription: "queue, 8 fault records", capabilities: capabilities,
            rows: common(capabilities, address: address48, isExtended: false)
                + queue(address: address48, isWide: false, isExtended: false) + iotlb(0x200) + faults(0x400, count: 8))
    }

    /// What the recorded guests had.
    private static func recorded() throws(IOMMUError) -> Profile {
        let capabilities = try Capabilities(cap: 0xd2_008c_222f_0606, ecap: 0x4800_80f0_0f4a)
        return Profile(
            testDescription: "as recorded", capabilities: capabilities,
            rows: common(capabilities, address: address48, isExtended: false)
                + queue(address: address48, isWide: true, isExtended: false)
                + [Row(name: "IRTA", offset: 0xb8, size: 8, writable: address48 | 0xf)]
                + iotlb(0xf0) + faults(0x220, count: 1))
    }

    /// Scalable mode with page requests.
    private static func scalable() throws(IOMMUError) -> Profile {
        let capabilities = try Capabilities(basedOn: .full) {
            $0.faultRecordingOffset = 0x600
            $0.iotlbRegisterOffset = 0x180
            $0.interruptRemapping = false
            $0.extendedInterruptMode = false
            $0.hostAddressWidth = 52
        }
        return Profile(
            testDescription: "scalable, page requests", capabilities: capabilities,
            rows: common(capabilities, address: address52, isExtended: false)
                + queue(address: address52, isWide: true, isExtended: false)
                + pages(address: address52, isExtended: false)
                + iotlb(capabilities.iotlbRegisterOffset)
                + faults(capabilities.faultRecordingOffset, count: capabilities.faultRecordingRegisters))
    }

    /// Everything, with 32-bit interrupt destinations.
    private static func full() throws(IOMMUError) -> Profile {
        let capabilities = try Capabilities(basedOn: .full) {
            $0.faultRecordingOffset = 0x400
            $0.iotlbRegisterOffset = 0x100
            $0.interruptRemapping = true
            $0.extendedInterruptMode = true
        }
        return Profile(
            testDescription: "everything", capabilities: capabilities,
            rows: common(capabilities, address: address52, isExtended: true)
                + queue(address: address52, isWide: true, isExtended: true)
                + [Row(name: "IRTA", offset: 0xb8, size: 8, writable: address52 | 1 << 11 | 0xf)]
                + pages(address: address52, isExtended: true)
                + iotlb(capabilities.iotlbRegisterOffset)
                + faults(capabilities.faultRecordingOffset, count: capabilities.faultRecordingRegisters))
    }

    // MARK: Groups of rows

    private static func common(_ capabilities: Capabilities, address: UInt64, isExtended: Bool) -> [Row] {
        [
            Row(name: "VER", offset: 0x00, size: 4, reset: 0x10),
            Row(name: "CAP", offset: 0x08, size: 8, reset: capabilities.cap),
            Row(name: "ECAP", offset: 0x10, size: 8, reset: capabilities.ecap),
            Row(name: "GSTS", offset: 0x1c, size: 4),
            Row(name: "RTADDR", offset: 0x20, size: 8, writable: address | 3 << 10),
            Row(name: "FSTS", offset: 0x34, size: 4),
        ] + event("FE", 0x38, isExtended)
    }

    private static func queue(address: UInt64, isWide: Bool, isExtended: Bool) -> [Row] {
        [
            Row(name: "IQH", offset: 0x80, size: 8),
            Row(name: "IQT", offset: 0x88, size: 8, writable: 0x7_fff0),
            Row(name: "IQA", offset: 0x90, size: 8, writable: address | (isWide ? 1 << 11 : 0) | 7),
            Row(name: "ICS", offset: 0x9c, size: 4),
            Row(name: "IQERCD", offset: 0xb0, size: 8),
        ] + event("IE", 0xa0, isExtended)
    }

    private static func pages(address: UInt64, isExtended: Bool) -> [Row] {
        [
            Row(name: "PQH", offset: 0xc0, size: 8, writable: 0x7_ffe0),
            Row(name: "PQT", offset: 0xc8, size: 8, writable: 0x7_ffe0),
            Row(name: "PQA", offset: 0xd0, size: 8, writable: address | 7),
            Row(name: "PRS", offset: 0xdc, size: 4),
        ] + event("PE", 0xe0, isExtended)
    }

    private static func event(_ name: String, _ offset: Int, _ isExtended: Bool) -> [Row] {
        [
            Row(name: name + "CTL", offset: offset, size: 4, writable: 1 << 31, reset: 1 << 31),
            Row(name: name + "DATA", offset: offset + 4, size: 4, writable: isExtended ? 0xffff_ffff : 0xffff),
            Row(name: name + "ADDR", offset: offset + 8, size: 4, writable: 0xffff_fffc),
            Row(name: name + "UADDR", offset: offset + 12, size: 4, writable: isExtended ? 0xffff_ffff : 0),
        ]
    }

    private static func iotlb(_ offset: Int) -> [Row] {
        [Row(name: "IVA", offset: offset, size: 8)]
    }

    private static func faults(_ offset: Int, count: Int) -> [Row] {
        (0..<count).flatMap { index in
            [
                Row(name: "FRCD\(index) low", offset: offset + 16 * index, size: 8),
                Row(name: "FRCD\(index) high", offset: offset + 16 * index + 8, size: 8),
            ]
        }
    }
}

@Suite struct RegisterTests {
    @Test(arguments: Profile.all)
    func everyRegisterStartsAsTheSpecificationSays(_ profile: Profile) throws {
        let machine = try VTdMachine(profile.capabilities)
        for row in profile.rows {
            #expect(machine.front.read(row.offset, size: row.size) == row.reset, "\(row.name)")
        }
    }

    @Test(arguments: Profile.all)
    func everyRegisterKeepsWhatIsWritable(_ profile: Profile) throws {
        // FECTL first: nothing is pending, so nothing is signalled.
        for pattern in [UInt64.max, 0x5555_5555_5555_5555, 0xaaaa_aaaa_aaaa_aaaa, 0] {
            let machine = try VTdMachine(profile.capabilities)
            for row in profile.rows {
                let fixed = row.reset & ~row.writable
                machine.write(row.offset, pattern, size: row.size)
                let mask: UInt64 = row.size == 4 ? 0xffff_ffff : .max
                let expected = fixed | pattern & row.writable & mask
                #expect(machine.front.read(row.offset, size: row.size) == expected, "\(row.name), \(pattern)")
            }
            #expect(machine.signals.take() == [])
        }
    }

    @Test(arguments: Profile.all)
    func aRegisterOf64BitsTakesHalves(_ profile: Profile) throws {
        let machine = try VTdMachine(profile.capabilities)
        for row in profile.rows where row.size == 8 && row.writable != 0 {
            machine.write(row.offset, 0xffff_ffff)
            #expect(machine.read64(row.offset) == row.writable & 0xffff_ffff, "\(row.name)")
            machine.write(row.offset + 4, 0xffff_ffff)
            #expect(machine.read64(row.offset) == row.writable, "\(row.name)")
            machine.write(row.offset, 0)
            #expect(machine.read64(row.offset) == row.writable & ~0xffff_ffff, "\(row.name)")
            #expect(machine[row.offset + 4] == row.writable >> 32, "\(row.name)")
        }
    }

    @Test(arguments: Profile.all)
    func whatIsNoRegisterReadsAsZeroAndTakesNothing(_ profile: Profile) throws {
        let machine = try VTdMachine(profile.capabilities)
        var known: Set<Int> = [0x18, 0x28, 0x2c]
        for row in profile.rows { known.formUnion(stride(from: row.offset, to: row.offset + row.size, by: 4)) }
        // The IOTLB register follows IVA.
        let iotlb = profile.capabilities.iotlbRegisterOffset + 8
        known.formUnion([iotlb, iotlb + 4])
        for offset in stride(from: 0, to: 0x1000, by: 4) where !known.contains(offset) {
            #expect(machine[offset] == 0, "\(offset)")
            machine[offset] = 0xffff_ffff
            #expect(machine[offset] == 0, "\(offset)")
        }
        #expect(machine[0x18] == 0, "GCMD is write-only")
    }

    @Test func narrowAndMisalignedAccessesReadBytesAndWriteNothing() throws {
        let machine = try VTdMachine()
        machine.write(0x20, 0x1234_5678_9000, size: 8)
        let bytes = (0..<8).map { machine.front.read(0x20 + $0, size: 1) }
        #expect(bytes == [0x00, 0x90, 0x78, 0x56, 0x34, 0x12, 0, 0])
        #expect(machine.front.read(0x21, size: 2) == 0x7890)
        #expect(machine.front.read(0x22, size: 4) == 0x1234_5678)
        for (offset, size) in [(0x20, 1), (0x21, 2), (0x22, 4), (0x21, 8), (0x20, 3), (0x20, 16), (-4, 4), (0x20, 0)] {
            machine.write(offset, .max, size: size)
            #expect(machine.read64(0x20) == 0x1234_5678_9000, "\(offset), \(size)")
        }
        #expect(machine.front.read(-8, size: 8) == 0)
        #expect(machine.front.read(.max - 3, size: 8) == 0)
        #expect(machine.front.read(0x20, size: 9) == 0)
    }

    @Test func twoRegistersAreOneAccessOf64Bits() throws {
        let machine = try VTdMachine()
        machine.write(0x3c, 0xfee0_0004_0000_0021, size: 8)
        #expect(machine[0x3c] == 0x21)
        #expect(machine[0x40] == 0xfee0_0004)
    }

    @Test func aResetForgetsEverything() throws {
        let machine = try VTdMachine()
        machine.enableQueue()
        machine.write(0x20, 0x5000, size: 8)
        machine.command(set: 1 << 30)
        machine.command(set: 1 << 31)
        machine.fault(8)
        try machine.front.reset()
        #expect(machine[0x1c] == 0)
        #expect(machine.read64(0x20) == 0)
        #expect(machine[0x34] == 0)
        #expect(machine[0x38] == 1 << 31)
        #expect(machine.read64(0x90) == 0)
        let answer = try machine.port.translate(0x7000, access: .write, source: SourceID(0x10))
        #expect(answer.translation?.address == 0x7000, "translation is off")
    }

    @Test func impossibleUnitsAreRefusedByName() throws {
        let wrong: [(String, @Sendable (inout Capabilities.Builder) -> Void)] = [
            ("AFL", { $0.advancedFaultLogging = true }), ("PLMR", { $0.protectedLowMemory = true }),
            ("ECAP.QI", { $0.queuedInvalidation = false }),
        ]
        for (word, change) in wrong {
            do {
                var builder = Capabilities.full.builder
                change(&builder)
                let machine = try VTdMachine(try Capabilities(builder))
                Issue.record("\(word) was accepted by \(machine)")
            } catch let error as IOMMUError {
                #expect(error.detail != nil, "\(word): \(error)")
            }
        }
    }
}
