// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A unit's state in words: registers by field, faults, events, errors; and what is no state is refused with what is wrong.

import Foundation
import IOMMU
import IOMMUTestSupport
import Testing
import VirtualVTd

@Suite struct StateDescriptionTests {
    /// A register's contents and what its fields say [FORMATS-VTD B].
    struct Row: CustomTestStringConvertible {
        let offset: Int
        let name: String
        let size: Int
        let value: UInt64
        let fields: String

        init(_ offset: Int, _ name: String, _ size: Int, _ value: UInt64, _ fields: String) {
            self.offset = offset
            self.name = name
            self.size = size
            self.value = value
            self.fields = fields
        }

        var testDescription: String { "\(name)=\(String(value, radix: 16))" }
    }

    static let rows: [Row] = [
        Row(
            0x1c, "GSTS", 4, 0xc700_0000,
            "IRTPS=1 (IRTA is latched) IRES=1 (interrupt remapping is on) QIES=1 (queued invalidation is on) "
                + "RTPS=1 (RTADDR is latched) TES=1 (translation is on)"),
        Row(0x1c, "GSTS", 4, 1 << 23, "CFIS=1 (compatibility-format interrupts pass)"),
        Row(0x20, "RTADDR", 8, 0xf_ffff_ffff_f400, "TTM=1 (scalable) RTA=0xffffffffff000"),
        Row(0x20, "RTADDR", 8, 0x800, "TTM=2 (reserved)"),
        Row(0x20, "RTADDR", 8, 0xc00, "TTM=3 (abort)"),
        Row(
            0x28, "CCMD", 8, 1 << 63 | 3 << 61 | 2 << 59 | 2 << 32 | 0x18 << 16 | 7,
            "DID=7 SID=00:03.0 FM=2 (bits 2:1 of the function) CAIG=2 (domain) CIRG=3 (device) ICC=1 (in progress)"),
        Row(
            0x34, "FSTS", 4, 0x573,
            "PFO=1 (overflow: faults were lost) PPF=1 (a fault record is pending) "
                + "IQE=1 (the invalidation queue met an error) ICE=1 (a device completed an invalidation wrongly) "
                + "ITE=1 (a device did not complete an invalidation in time) FRI=5"),
        Row(0x38, "FECTL", 4, 0, "IM=0"),
        Row(0x38, "FECTL", 4, 0xc000_0000, "IP=1 (pending)"),
        Row(0x3c, "FEDATA", 4, 0x1_4022, "IMD=0x4022 EIMD=0x1"),
        Row(0x40, "FEADDR", 4, 0xfee0_1004, "MA=0xfee01004"),
        Row(0x44, "FEUADDR", 4, 0x300, "MUA=0x300"),
        Row(0x80, "IQH", 8, 0x7_fff0, "QH=0x7fff0"),
        Row(0x88, "IQT", 8, 0x10, "QT=0x10"),
        Row(0x90, "IQA", 8, 0x1234_5807, "QS=7 (524288 bytes) DW=1 (256-bit descriptors) IQA=0x12345000"),
        Row(0x9c, "ICS", 4, 1, "IWC=1 (a wait with interrupt has completed)"),
        Row(0xa0, "IECTL", 4, 0, "IM=0"),
        Row(0xa4, "IEDATA", 4, 0x31, "IMD=0x31"),
        Row(0xa8, "IEADDR", 4, 0xfee0_0000, "MA=0xfee00000"),
        Row(0xac, "IEUADDR", 4, 1, "MUA=0x1"),
        Row(
            0xb0, "IQERCD", 8, 0x0018_0020_0000_0004,
            "IQEI=4 (reserved field violation) ITESID=00:04.0 ICESID=00:03.0"),
        Row(0xb0, "IQERCD", 8, 9, "IQEI=9"),
        Row(0xb8, "IRTA", 8, 0x2_0000_080f, "S=15 (65536 entries) EIME=1 (x2APIC destinations) IRTA=0x200000000"),
        Row(0xc0, "PQH", 8, 0x20, "PQH=0x20"),
        Row(0xc8, "PQT", 8, 0x7_ffe0, "PQT=0x7ffe0"),
        Row(0xd0, "PQA", 8, 0x5004, "PQS=4 (65536 bytes) PQA=0x5000"),
        Row(
            0xdc, "PRS", 4, 3,
            "PPR=1 (a page request is pending) PRO=1 (overflow: page requests were lost)"),
        Row(0xe0, "PECTL", 4, 0, "IM=0"),
        Row(0xe4, "PEDATA", 4, 0x41, "IMD=0x41"),
        Row(0xe8, "PEADDR", 4, 0xfee0_0004, "MA=0xfee00004"),
        Row(0xec, "PEUADDR", 4, 2, "MUA=0x2"),
        Row(
            0x108, "IOTLB", 8, 1 << 63 | 3 << 60 | 1 << 57 | 3 << 48 | 9 << 32,
            "DID=9 DW=1 (drain writes) DR=1 (drain reads) IAIG=1 (global) IIRG=3 (page) IVT=1 (in progress)"),
        Row(0x400, "FRCD0_LO", 8, 0xabcd_e000, "FI=0xabcde000"),
        Row(
            0x408, "FRCD0_HI", 8, 1 << 63 | 1 << 62 | 2 << 60 | 3 << 40 | 0x71 << 32 | 0xf << 28 | 0xfffe,
            "SID=ff:1f.6 T2=1 PRIV=1 (supervisor) EXE=1 (execute) PP=1 (with PASID) "
                + "FR=113 (SFS.2: first-stage entry not present) PV=3 AT=2 (translated) T1=1 F=1 (pending)"),
        Row(0x408, "FRCD0_HI", 8, 0xff << 32, "FR=255 (not a code of this unit)"),
    ]

    private static func capabilities() throws -> Capabilities {
        try Capabilities(basedOn: .full) {
            $0.iotlbRegisterOffset = 0x100
            $0.faultRecordingOffset = 0x400
            $0.faultRecordingRegisters = 4
        }
    }

    private static func form() throws -> SnapshotForm {
        try SnapshotForm(capabilities())
    }

    @Test(arguments: rows)
    func registersAreDecodedByField(_ row: Row) throws {
        var form = try Self.form()
        form.put(row.offset, row.value, size: row.size)
        let register = try #require(try form.describe()[row.name])
        #expect(register.offset == "0x" + String(row.offset, radix: 16))
        #expect(register.size == row.size)
        #expect(register.value == "0x" + String(row.value, radix: 16))
        #expect(!register.isAtReset)
        #expect(register.changed == row.fields)
    }

    @Test func theUnitHasTheRegistersOfItsCapabilities() throws {
        let all = try Self.form().describe().registers
        let expected = [
            "VER", "CAP", "ECAP", "GCMD", "GSTS", "RTADDR", "CCMD", "FSTS", "FECTL", "FEDATA", "FEADDR", "FEUADDR",
            "IQH", "IQT", "IQA", "ICS", "IECTL", "IEDATA", "IEADDR", "IEUADDR", "IQERCD", "IRTA", "PQH", "PQT", "PQA",
            "PRS", "PECTL", "PEDATA", "PEADDR", "PEUADDR", "IVA", "IOTLB", "FRCD0_LO", "FRCD0_HI", "FRCD1_LO",
            "FRCD1_HI", "FRCD2_LO", "FRCD2_HI", "FRCD3_LO", "FRCD3_HI",
        ]
        #expect(all.map(\.name) == expected)
        #expect(all.allSatisfy { $0.isAtReset && $0.fields.allSatisfy(\.isAtReset) })
        let bare = try Capabilities(cap: 0xd2_008c_222f_0606 & ~(1 << 7), ecap: 0x1000)
        let description = try SnapshotForm(bare).describe()
        #expect(description.registers.map(\.name) == expected.prefix(12) + ["IVA", "IOTLB", "FRCD0_LO", "FRCD0_HI"])
        #expect(description.invalidationQueue == nil && description.pageRequestQueue == nil)
        #expect(description.events.map(\.name) == ["fault"])
        #expect(!description.text().contains("queue\n"))
    }

    @Test func registersReadAsDescribed() throws {
        let machine = try VTdMachine()
        machine.write(0x20, machine.image.allocatePage(), size: 8)
        machine.command(set: 1 << 30)
        machine.command(set: 1 << 31)
        machine.enableQueue(wide: true)
        machine.submit(Descriptor(5 | 1 << 4))
        machine.unmask(fault: 0x55)
        machine.fault(0x18)
        machine.write(0x100, 0x7000_0041, size: 8)
        let description = try VirtualVTd.StateDescription(machine.front.snapshot())
        for register in description.registers {
            let offset = try #require(Int(register.offset.dropFirst(2), radix: 16))
            let read = machine.front.read(offset, size: register.size)
            switch register.name {
            case "GCMD": #expect(register.value == "0x84000000" && read == 0)
            case "IVA": #expect(register.changed == "AM=1 IH=1 (leaf entries only) ADDR=0x70000000" && read == 0)
            default: #expect(register.value == "0x" + String(read, radix: 16), "\(register.name)")
            }
        }
        let unit = Dictionary(uniqueKeysWithValues: description.unit.map { ($0.name, $0.value) })
        #expect(unit["translation"] == "on")
        #expect(unit["root table"] == "0x" + String(machine.read64(0x20), radix: 16) + ", legacy mode")
        #expect(unit["interrupt remapping"] == "off")
        #expect(unit["interrupt table"] == "none latched")
        #expect(unit["invalidation"] == "by the queue")
        #expect(unit["version"] == "1.0")
    }

    @Test func whatIsNotLatchedIsTold() throws {
        var form = try Self.form()
        form.put(0x1c, 1 << 31 | 1 << 30 | 1 << 25 | 1 << 24 | 1 << 23, size: 4)
        form.put(0x20, 0x9000)
        form.set("latchedRootTable", 0x8400)
        form.set("latchedInterruptTable", 0x7803)
        form.put(0xb8, 0x7803)
        let unit = try form.describe().unit.map(\.value)
        #expect(
            unit == [
                "1.0", "on", "0x8000, scalable mode; RTADDR is 0x9000 since, not latched",
                "on, compatibility format passes", "0x7000, 16 entries, x2APIC destinations",
                "by registers (CCMD, IOTLB)",
            ])
    }

    @Test func errorsThatStandAreNamed() throws {
        var form = try Self.form()
        form.put(0x34, 0x71, size: 4)
        form.put(0xb0, 0x0018_0000_0000_0003)
        form.put(0x80, 0x40)
        form.put(0xdc, 2, size: 4)
        #expect(
            try form.describe().errors == [
                "FSTS.PFO: the fault-recording registers were full, and faults were lost",
                "FSTS.IQE: the invalidation queue stopped at 0x40: IQEI 3, invalid descriptor type",
                "FSTS.ICE: a device-TLB of 00:03.0 completed an invalidation as it must not",
                "FSTS.ITE: an invalidation of a device-TLB of a device that is not told timed out; the queue is stopped",
                "PRS.PRO: the page-request queue was full, and page requests were lost",
            ])
        #expect(try Self.form().describe().errors.isEmpty)
    }

    @Test func faultsAreToldRecordByRecord() throws {
        var form = try Self.form()
        // A read that was cleared; a write with PASID; a page request; a message.
        let records: [(low: UInt64, high: UInt64)] = [
            (0x1000, 1 << 62 | 1 << 32 | 0x18),
            (0xffff_f000, 1 << 63 | 5 << 40 | 0x85 << 32 | 1 << 31 | 1 << 29 | 0x0100),
            (0x2000, 1 << 63 | 0x47 << 32 | 1 << 28 | 0x20),
            (0x1234 << 48, 1 << 63 | 0x22 << 32 | 0xfa),
        ]
        for (index, record) in records.enumerated() {
            form.put(0x400 + 16 * index, record.low)
            form.put(0x408 + 16 * index, record.high)
        }
        form.put(0x34, 2 | 1 << 8, size: 4)
        let description = try form.describe()
        let ring = description.faults
        #expect(ring.capacity == 4 && ring.next == 0 && ring.first == 1)
        #expect(ring.records.map(\.isPending) == [false, true, true, true])
        #expect(ring.records.map(\.source) == ["00:03.0", "01:00.0", "00:04.0", "00:1f.2"])
        #expect(ring.records.map(\.pasid) == [nil, 5, nil, nil])
        #expect(
            ring.records.map(\.request) == [
                "read, untranslated", "write, supervisor, untranslated", "page request, untranslated",
                "interrupt request",
            ])
        #expect(
            ring.records.map(\.place) == [
                "address 0x1000", "address 0xfffff000", "address 0x2000", "table entry 4660",
            ])
        #expect(ring.records.map(\.code) == ["0x1", "0x85", "0x47", "0x22"])
        #expect(ring.records[0].meaning == "LRT.2: root entry not present")
        let text = description.text()
        #expect(text.contains("records                 4, the next fault goes to 0, the first pending one is 1"))
        #expect(
            text.contains("    1     01:00.0 PASID 5, write, supervisor, untranslated, address 0xfffff000: 0x85 SGN.6"))
        #expect(!text.contains("LRT.2"), "it was cleared")
        #expect(description.text(all: true).contains("LRT.2: root entry not present (cleared)"))
    }

    @Test func recordedFaultsAreThoseOfTheUnit() throws {
        let machine = try VTdMachine(Self.capabilities())
        machine.write(0x20, machine.image.allocatePage(), size: 8)
        machine.command(set: 1 << 30)
        machine.command(set: 1 << 31)
        for source: UInt16 in [0x18, 0x20, 0x28, 0x30, 0x38] { machine.fault(source) }
        let description = try VirtualVTd.StateDescription(machine.front.snapshot())
        #expect(description.faults.records.map(\.source) == ["00:03.0", "00:04.0", "00:05.0", "00:06.0"])
        #expect(description.faults.records.allSatisfy { $0.isPending && $0.place == "address 0x1000" })
        #expect(description.faults.first == 0 && description.faults.next == 0)
        #expect(description.errors.count == 1)
    }

    @Test func eventsAreToldWithTheirMessages() throws {
        var form = try Self.form()
        form.put(0x38, 0xc000_0000, size: 4)
        form.put(0x3c, 0x4122, size: 4)
        form.put(0x40, 0xfee0_3004, size: 4)
        form.put(0x44, 0x100, size: 4)
        form.put(0xa0, 0, size: 4)
        form.put(0xa8, 0xfee0_0030, size: 4)
        form.put(0xa4, 2, size: 4)
        form.put(0xe8, 0x1000, size: 4)
        let events = try form.describe().events
        #expect(events.map(\.name) == ["fault", "invalidation completion", "page request"])
        #expect(events.map(\.isMasked) == [true, false, true])
        #expect(events.map(\.isPending) == [true, false, false])
        #expect(
            events.map(\.message) == [
                "0x4122 to 0x100fee03004: vector 0x22, lowest priority, to logical destination 259",
                "0x2 to 0xfee00030: remappable, handle 1", "0x0 to 0x1000, which is no interrupt message",
            ])
        #expect(try Self.form().describe().events.allSatisfy { $0.isMasked && $0.message == "none programmed" })
    }

    @Test func whatIsNoStateIsRefused() throws {
        func refused(_ change: (inout SnapshotForm) -> Void) throws -> String? {
            var form = try Self.form()
            change(&form)
            do {
                _ = try form.describe()
                return nil
            } catch let error as IOMMUError {
                return error.detail
            }
        }
        #expect(try refused { $0.set("version", 99) } == "a snapshot of version 99; this library knows version 1")
        #expect(
            try refused { $0.put([1, 2, 3]) }
                == "the snapshot has 3 words of registers; its capabilities imply 272")
        #expect(try refused { $0.set("nextRecord", 4) } == "the next fault record is 4; the unit has 0 to 3")
        #expect(try refused { $0.set("nextRecord", -1) } == "the next fault record is -1; the unit has 0 to 3")
        #expect(try refused { $0.set("cap", 0) } != nil)
        #expect(try refused { $0.set("ecap", 1 << 2) } != nil)
        #expect(try refused { _ in } == nil)
    }

    @Test func textIsStable() throws {
        let text = try Self.form().describe().text()
        let sections = text.split(separator: "\n\n").map { $0.split(separator: "\n").first.map(String.init) }
        #expect(
            sections == [
                "Unit", "Capabilities", "Registers that are not as after power-on", "Invalidation queue", "Faults",
                "Page-request queue", "Events",
            ])
        #expect(text.contains("Registers that are not as after power-on\n  none\n"))
        #expect(!text.contains(" \n") && !text.hasSuffix("\n"))
        let all = try Self.form().describe().text(all: true)
        #expect(all.contains("\n  0x20  RTADDR   0x0                TTM=0 (legacy) RTA=0x0\n"))
        #expect(all.contains("\n  CAP.AFL                 no\n"))
    }

    /// Whatever the numbers are, a description is made, and memory is read in queues only.
    @Test func noStateTraps() throws {
        var random = SeededGenerator.forTest()
        let rounds = ProcessInfo.processInfo.environment["IOMMU_LONG_TESTS"] == "1" ? 5000 : 300
        let templates = try [.full, Self.capabilities(), Capabilities(cap: 0xd2_008c_222f_0606, ecap: 0xf0_0f4a)].map {
            try SnapshotForm($0)
        }
        var described = 0
        for round in 0..<rounds {
            var form = random.pick(templates)
            var words = form.registers
            for index in words.indices where random.oneIn(2) {
                words[index] = random.oneIn(3) ? .max : UInt32(truncatingIfNeeded: random.next() >> random.next() % 64)
            }
            form.put(words)
            for key in ["commands", "latchedRootTable", "latchedInterruptTable", "invalidationAddress"] {
                form.set(key, random.oneIn(3) ? .max : random.next())
            }
            if random.oneIn(8) { form.set(random.pick(["cap", "ecap"]), random.next()) }
            if random.oneIn(8) { form.set("nextRecord", Int(truncatingIfNeeded: random.next())) }
            var options = VirtualVTd.StateDescription.Options()
            options.entries = random.pick([0, 3, 64, .max, .min])
            options.consumed = random.pick([0, 3, .max, .min])
            // All of a large queue takes long in a debug build.
            if options.entries == .max || options.consumed == .max, !random.oneIn(20) { options = .init() }
            let contents = random.next()
            var reads: [UInt64] = []
            do {
                let description = try form.describe(options) { address in
                    reads.append(address)
                    return address & 0x30 == 0x30 ? nil : address &* contents
                }
                described += 1
                #expect(description.text().count < description.text(all: true).count + 200)
                let copy = try JSONDecoder().decode(
                    VirtualVTd.StateDescription.self, from: JSONEncoder().encode(description))
                #expect(copy == description, "IOMMU_TEST_SEED=\(random.seed) replays, round \(round)")
                let queues = [description.invalidationQueue, description.pageRequestQueue].compactMap(\.self)
                for queue in queues {
                    #expect(queue.entries.count <= max(options.entries, 0))
                    #expect(queue.consumed.count <= max(options.consumed, 0))
                }
                let areInside = reads.allSatisfy { address in
                    queues.contains { queue in
                        guard let base = UInt64(queue.address.dropFirst(2), radix: 16) else { return false }
                        return address % 8 == 0 && address >= base && address - base < queue.size
                    }
                }
                #expect(areInside, "IOMMU_TEST_SEED=\(random.seed) replays, round \(round)")
            } catch let error as IOMMUError {
                #expect(error.detail != nil, "IOMMU_TEST_SEED=\(random.seed) replays, round \(round)")
            }
        }
        #expect(described > rounds / 2, "IOMMU_TEST_SEED=\(random.seed) replays")
    }
}
