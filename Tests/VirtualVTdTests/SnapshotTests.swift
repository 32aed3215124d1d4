// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A unit's state, taken from one and put into another: it goes on as if nothing had happened.

import Foundation
import IOMMU
import IOMMUTestSupport
import Testing
import VirtualVTd

@Suite struct SnapshotTests {
    @Test func whatWasTakenGoesOnElsewhere() throws {
        let machine = try VTdMachine()
        let status = machine.image.allocatePage()
        machine.write(0x20, machine.image.allocatePage(), size: 8)
        machine.command(set: 1 << 30)
        machine.command(set: 1 << 31)
        machine.enableQueue()
        machine.submit(Descriptor(2 | 1 << 4), Descriptor(5 | 1 << 5 | 7 << 32, status))
        machine.unmask(completion: 0x66)
        machine.fault(0x18)
        let snapshot = machine.front.snapshot()
        let copy = try JSONDecoder().decode(VirtualVTd.Snapshot.self, from: JSONEncoder().encode(snapshot))
        #expect(copy == snapshot)

        var configuration = VirtualVTd.Configuration()
        configuration.processing = .inline
        configuration.sizes = TestBench.smallCaches
        let signals = Signals()
        let other = try VirtualVTd(
            configuration, memory: machine.memory, host: VirtualVTd.Host(signal: { _, data in signals.append(data) }))
        try other.restore(copy)
        for offset in stride(from: 0, to: 0x800, by: 4) {
            #expect(other.read(offset, size: 4) == machine.front.read(offset, size: 4), "\(offset)")
        }
        let port = try other.unit.makePort()
        let answer = try port.translate(0x1000, access: .read, source: SourceID(0x20))
        #expect(answer.fault?.code == 1, "translation is on, and the root table is the guest's")
        machine.put([Descriptor(5 | 1 << 5 | 1 << 4 | 9 << 32, status)])
        try other.write(0x88, size: 4, machine.tail)
        #expect(machine.image[status] == 9)
        #expect(signals.take() == [0x66])
    }

    @Test func descriptorsThatWereNotFetchedAreFetchedElsewhere() throws {
        let machine = try VTdMachine()
        let status = machine.image.allocatePage()
        machine.enableQueue()
        machine.submit(Descriptor(0xf), Descriptor(5 | 1 << 5 | 7 << 32, status))
        #expect(machine[0x34] == 1 << 4)
        let snapshot = machine.front.snapshot()
        let other = try VTdMachine()
        try other.front.restore(snapshot)
        #expect(other[0x34] == 1 << 4, "it is stopped there too")
    }

    /// Software has cleared the error, and whatever had the registers then did not see to it.
    @Test func aQueueGoesOnWithoutBeingAsked() throws {
        let machine = try VTdMachine()
        let status = machine.image.allocatePage()
        machine.enableQueue()
        machine.submit(Descriptor(5 | 1 << 5 | 6 << 32, status), Descriptor(0xf))
        #expect(machine[0x34] == 1 << 4 && machine.head == 16)
        var form = try SnapshotForm(machine.front.snapshot())
        form.put(0x34, 0, size: 4)
        for (word, value) in Descriptor(5 | 1 << 5 | 7 << 32, status + 8).words.prefix(2).enumerated() {
            machine.image[machine.queue + 16 + UInt64(word) * 8] = value
        }
        machine.image[status] = 0
        let copy = try VirtualVTd(machine.front.configuration, memory: machine.memory)
        try copy.restore(form.snapshot())
        #expect(machine.image[status + 8] == 7)
        #expect(machine.image[status] == 0, "what was done before is not done again")
        #expect(copy.read(0x80, size: 8) == 32)
    }

    /// RTADDR was written, and the guest has not asked to latch it.
    @Test func theLatchedRootTableMoves() throws {
        let machine = try VTdMachine()
        machine.write(0x20, machine.image.allocatePage(), size: 8)
        machine.command(set: 1 << 30)
        machine.command(set: 1 << 31)
        machine.write(0x20, GuestImage.hole, size: 8)
        let other = try VirtualVTd(machine.front.configuration, memory: machine.memory)
        try other.restore(machine.front.snapshot())
        #expect(other.read(0x20, size: 8) == GuestImage.hole)
        let answer = try other.unit.makePort().translate(0x1000, access: .read, source: SourceID(0x20))
        #expect(answer.fault?.code == 1, "the old table has no entry; the new one would be missing")
    }

    /// Also more than an access takes at a time.
    @Test func everyFaultIsInTheSnapshot() throws {
        let machine = try VTdMachine(try Capabilities(basedOn: .full) { $0.faultRecordingRegisters = 200 })
        machine.write(0x20, machine.image.allocatePage(), size: 8)
        machine.command(set: 1 << 30)
        machine.command(set: 1 << 31)
        for source in 1...150 as ClosedRange<UInt32> {
            _ = try machine.port.translate(0x1000, access: .read, source: SourceID(source))
        }
        #expect(machine.front.snapshot().nextRecord == 150)
    }

    @Test func whatNoUnitCanBeInIsRefused() throws {
        let machine = try VTdMachine()
        let snapshot = machine.front.snapshot()
        let smaller = try VTdMachine(try Capabilities(basedOn: .full) { $0.faultRecordingRegisters = 2 })
        #expect(throws: IOMMUError.unsupported) { try smaller.front.restore(snapshot) }
        var json = try #require(
            JSONSerialization.jsonObject(with: JSONEncoder().encode(snapshot)) as? [String: Any])
        func refused(_ key: String, _ value: Any) throws -> IOMMUError? {
            let old = json[key]
            json[key] = value
            defer { json[key] = old }
            let bad = try JSONDecoder().decode(
                VirtualVTd.Snapshot.self, from: JSONSerialization.data(withJSONObject: json))
            do throws(IOMMUError) {
                try machine.front.restore(bad)
                return nil
            } catch {
                return error
            }
        }
        #expect(try refused("nextRecord", 4096) == .invalidArgument)
        #expect(try refused("nextRecord", -1) == .invalidArgument)
        #expect(try refused("registers", [1, 2, 3]) == .invalidArgument)
        #expect(try refused("version", 2) == .unsupported)
        #expect(machine.front.snapshot() == snapshot, "nothing has changed")
    }
}
