// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Works beside the threads that ask for them: each is done, and one at a time.

import Glibc
import IOMMU
import IOMMUTestSupport
import Testing
import VirtualVTd

@Suite struct WorkQueueTests {
    /// A guest that moves the tail as soon as it sees that the queue has come so far: just when the worker finds nothing more to do.
    @Test func noMoveOfTheTailIsMissed() throws {
        let machine = try VTdMachine(processing: .worker)
        let status = machine.image.allocatePage()
        machine.enableQueue()
        for round in 1...1_000 as ClosedRange<UInt64> {
            machine.put([Descriptor(5 | 1 << 5 | round << 32, status)])
            machine.write(0x88, machine.tail)
            for _ in 0..<1_000 where machine.image[status] != round { sched_yield() }
            // Nearly always it has.
            if machine.image[status] != round { eventually("round \(round)") { machine.image[status] == round } }
            guard machine.image[status] == round else { return }
            for _ in 0..<(round % 64) { _ = machine.front.worksInLine }
        }
        machine.front.finishWorks()
        #expect(machine.head == machine.tail)
        #expect(machine[0x34] == 0)
    }

    /// Several processors of a guest write the same tail: each descriptor is taken once.
    @Test(arguments: [VirtualVTd.Processing.worker, .inline])
    func everyDescriptorIsTakenOnce(processing: VirtualVTd.Processing) throws {
        let machine = try VTdMachine(processing: processing)
        let table = machine.image.allocatePage()
        machine.write(0xb8, table | 7, size: 8)
        machine.command(set: 1 << 24)
        machine.command(set: 1 << 25)
        machine.enableQueue()
        // Of the interrupt entry cache, one entry each.
        for round in 0..<500 as Range<UInt64> {
            let entries = (0..<8 as Range<UInt64>).map { (round * 8 + $0) % 256 }
            machine.put(entries.map { Descriptor(4 | 1 << 4 | $0 << 32) })
            let (front, tail) = (machine.front, machine.tail)
            onThreads(4) { _ in try? front.write(0x88, size: 4, tail) }
            front.finishWorks()
            #expect(machine.changedEntries.take().map(\.lowerBound) == entries.map(Int.init))
            #expect(machine.head == tail)
            #expect(machine[0x34] == 0)
        }
    }
}
