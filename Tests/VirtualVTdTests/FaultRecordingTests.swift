// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Fault recording: the ring, what is collapsed, overflow, and the fault event [FORMATS-VTD B6, B7].

import IOMMU
import Testing
import VirtualVTd

@Suite struct FaultRecordingTests {
    /// A unit with `count` records, translating through tables that are not there.
    private func machine(_ count: Int) throws -> VTdMachine {
        let capabilities = try Capabilities(basedOn: .full) {
            $0.faultRecordingRegisters = count
            $0.faultRecordingOffset = 0x400
        }
        let machine = try VTdMachine(capabilities)
        machine.write(0x20, machine.image.allocatePage(), size: 8)
        machine.command(set: 1 << 30)
        machine.command(set: 1 << 31)
        machine.unmask(fault: 0x55)
        return machine
    }

    private func high(_ index: Int) -> Int { 0x400 + 16 * index + 8 }

    @Test func aFaultIsRecordedWhole() throws {
        let machine = try machine(4)
        machine.fault(0x18)
        #expect(machine[0x34] == 1 << 1, "PPF, FRI 0")
        #expect(machine.read64(0x400) == 0x1000)
        // F, read, code 1 (root entry not present), the source.
        let record: UInt64 = 1 << 62 | 1 << 32 | 0x18
        #expect(machine.read64(high(0)) == record | 1 << 63)
        #expect(machine.signals.take() == [0x55])
        machine[high(0) + 4] = 1 << 31
        #expect(machine.read64(high(0)) == record)
        #expect(machine[0x34] == 0)
    }

    @Test func oneSourceHasOneRecord() throws {
        let machine = try machine(4)
        machine.fault(0x18)
        machine.fault(0x18)
        machine.fault(0x20)
        #expect(machine.read64(high(0)) >> 63 == 1)
        #expect(machine.read64(high(1)) & 0xffff == 0x20)
        #expect(machine.read64(high(2)) == 0)
        #expect(machine.signals.take() == [0x55], "the event is for the first")
        machine[high(0) + 4] = 1 << 31
        machine.fault(0x18)
        #expect(machine.read64(high(2)) & 0xffff == 0x18, "cleared, it is a new one")
    }

    @Test func aFullRingOverflows() throws {
        let machine = try machine(3)
        for source in UInt16(1)...4 { machine.fault(source) }
        #expect(machine[0x34] == 1 << 1 | 1)
        for index in 0..<3 { #expect(machine.read64(high(index)) & 0xffff == UInt64(index) + 1) }
        machine[high(0) + 4] = 1 << 31
        machine.fault(5)
        #expect(machine.read64(high(0)) >> 63 == 0, "nothing is recorded while PFO stands")
        machine[0x34] = 1
        machine.fault(6)
        let record: UInt64 = 3 << 62 | 1 << 32 | 6
        #expect(machine.read64(high(0)) == record)
        #expect(machine.signals.take() == [0x55])
    }

    /// Faults that nobody collects do not wait without end: that some are missing is told as an overflow.
    @Test func whatTheEngineCouldNotKeepIsAnOverflow() throws {
        let machine = try machine(4)
        for _ in 0..<5_000 {
            _ = try machine.port.translate(0x1000, access: .read, source: SourceID(0x18))
        }
        machine.front.collectFaults()
        machine.front.collectFaults()
        #expect(machine[0x34] == 1 << 1 | 1, "PPF and PFO")
        #expect(machine.read64(high(1)) == 0, "all were of one source")
    }

    @Test func theIndexIsThatOfTheFirstPending() throws {
        let machine = try machine(4)
        machine.fault(1)
        machine[high(0) + 4] = 1 << 31
        machine.fault(2)
        machine.fault(3)
        #expect(machine[0x34] == 1 << 8 | 1 << 1)
        machine[high(1) + 4] = 1 << 31
        #expect(machine[0x34] & 2 == 2, "one is pending still")
        machine[high(2) + 4] = 1 << 31
        #expect(machine[0x34] & 2 == 0)
    }

    @Test func aMaskedFaultIsPendingUntilItIsSeen() throws {
        let machine = try machine(4)
        machine[0x38] = 1 << 31
        machine.fault(1)
        #expect(machine.signals.take() == [])
        #expect(machine[0x38] == 3 << 30)
        machine[0x38] = 0
        #expect(machine.signals.take() == [0x55])
        machine[high(0) + 4] = 1 << 31
        machine[0x38] = 1 << 31
        machine.fault(2)
        machine[high(1) + 4] = 1 << 31
        #expect(machine[0x38] == 1 << 31, "IP goes with the last condition")
        machine[0x38] = 0
        #expect(machine.signals.take() == [])
    }

    @Test func anEventIsRaisedWhenNothingStoodBefore() throws {
        let machine = try machine(2)
        machine.enableQueue()
        machine.fault(1)
        #expect(machine.signals.take() == [0x55])
        machine.submit(.init(0xf))
        #expect(machine[0x34] == 1 << 4 | 1 << 1)
        #expect(machine.signals.take() == [], "PPF stood")
        machine[high(0) + 4] = 1 << 31
        machine.fault(2)
        #expect(machine.signals.take() == [], "IQE stood")
        machine[high(1) + 4] = 1 << 31
        machine[0x34] = 1 << 4
        machine.fault(3)
        #expect(machine.signals.take() == [0x55])
    }

    @Test func theUnitRecordsWhatDevicesWereRefused() throws {
        let machine = try machine(1)
        machine.command(clear: 1 << 31)
        let answer = try machine.port.translate(0x1000, access: .read, source: SourceID(8))
        #expect(answer.translation != nil)
        machine.front.collectFaults()
        #expect(machine[0x34] == 0)
        machine.command(set: 1 << 31)
        _ = try machine.port.translate(0x1000, access: .read, source: SourceID(8), options: .noFault)
        machine.front.collectFaults()
        #expect(machine[0x34] == 0, "asked without a record")
    }

    /// The event comes without an access; and a unit may go at that moment.
    @Test func theEventComesByItself() throws {
        let machine = try VTdMachine(processing: .worker)
        machine.unmask(fault: 0x31)
        machine.write(0x20, machine.image.allocatePage(), size: 8)
        machine.command(set: 1 << 30)
        machine.command(set: 1 << 31)
        for source in 1...20 as ClosedRange<UInt32> {
            _ = try machine.port.translate(0x1000, access: .read, source: SourceID(source))
            var seen: [UInt32] = []
            while seen.isEmpty { seen = machine.signals.take() }
            #expect(seen == [0x31])
            let ring = Int(machine.front.configuration.capabilities.faultRecordingOffset)
            for record in 0..<machine.front.configuration.capabilities.faultRecordingRegisters {
                machine.write(ring + 16 * record + 12, 1 << 31)
            }
            #expect(machine[0x34] & 0x73 == 0)
        }
    }

    @Test func aUnitGoesWhileItsFaultsAreCollected() throws {
        for _ in 0..<200 {
            let machine = try VTdMachine(processing: .worker)
            machine.write(0x20, machine.image.allocatePage(), size: 8)
            machine.write(0x18, 1 << 30)
            machine.write(0x18, 1 << 31)
            machine.front.finishWorks()
            _ = try machine.port.translate(0x1000, access: .read, source: SourceID(1))
        }
    }
}
