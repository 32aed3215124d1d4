// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Invalidation of interrupt entries through the queue: what the host is told, and that no old message comes out once a wait behind it
// is complete [FORMATS-VTD C2 type 4].

import Dispatch
import IOMMU
import IOMMUTestSupport
import Synchronization
import Testing
import VirtualVTd

import class Foundation.Thread

@Suite struct InterruptInvalidationTests {
    @Test(arguments: QueueManner.all) func invalidatedEntriesAreNamed(_ manner: QueueManner) throws {
        let guest = try InterruptMachine(processing: manner.processing)
        let machine = guest.machine
        let status = machine.image.allocatePage()
        machine.enableQueue(wide: manner.isWide)
        let rows: [(descriptor: UInt64, range: ClosedRange<Int>)] = [
            (4, 0...0xffff), (4 | 7 << 27 | 9 << 32, 0...0xffff), (4 | 1 << 4 | 9 << 32, 9...9),
            (4 | 1 << 4 | 3 << 27 | 9 << 32, 8...15), (4 | 1 << 4 | 15 << 27 | 0x8001 << 32, 0x8000...0xffff),
            (4 | 1 << 4 | 0xffff << 32, 0xffff...0xffff),
        ]
        for (number, row) in rows.enumerated() {
            machine.submit(Descriptor(row.descriptor), Descriptor(5 | 1 << 5 | UInt64(number + 1) << 32, status))
            #expect(machine.image[status] == UInt64(number + 1))
            #expect(machine.changedEntries.take() == [row.range], "\(hex(row.descriptor))")
        }
        #expect(machine[0x34] == 0)
    }

    @Test func invalidationsThatAreRefused() throws {
        let small = try Capabilities(basedOn: .full) { $0.maximumHandleMask = 3 }
        let without = try Capabilities(basedOn: .full) {
            $0.interruptRemapping = false
            $0.extendedInterruptMode = false
        }
        let rows: [(Capabilities, UInt64, UInt64, UInt64)] = [
            (small, 4 | 1 << 4 | 4 << 27, 0, 4), (small, 4 | 1 << 4 | 31 << 27, 0, 4), (without, 4, 0, 3),
            (.full, 4 | 1 << 5, 0, 4), (.full, 4 | 1 << 12, 0, 4), (.full, 4 | 1 << 48, 0, 4), (.full, 4, 1, 4),
        ]
        for (capabilities, low, high, code) in rows {
            let machine = try VTdMachine(capabilities)
            machine.enableQueue()
            machine.submit(Descriptor(low, high))
            #expect(machine[0x34] == 1 << 4, "\(hex(low))")
            #expect(machine.read64(0xb0) & 0xf == code, "\(hex(low))")
            #expect(machine.changedEntries.take() == [])
        }
    }

    /// Whoever remapped before the guest changed an entry may signal what it said, until it leaves its section: so long the wait behind
    /// the invalidation is not complete.
    @Test(arguments: QueueManner.all, [false, true])
    func noOldMessageAfterTheWait(_ manner: QueueManner, isGlobal: Bool) throws {
        let guest = try InterruptMachine(processing: manner.processing) { $0.sizes.drainTimeout = .seconds(3600) }
        let machine = guest.machine
        let status = machine.image.allocatePage()
        machine.enableQueue(wide: manner.isWide)
        let (front, group) = (machine.front, DispatchGroup())
        for round in UInt64(1)...20 {
            let old: UInt64 = 0x20 + round
            guest.set(3, 1 | old << 16)
            let tail = machine.port.withSection { () -> UInt64 in
                let before = try? machine.port.remapInterrupt(
                    address: InterruptMachine.address(handle: 3), data: 0, source: SourceID(8))
                #expect(before?.message?.vector == UInt8(old))
                guest.set(3, 1 | (old + 1) << 16)
                machine.put([
                    Descriptor(isGlobal ? 4 : 4 | 1 << 4 | 3 << 32), Descriptor(5 | 1 << 5 | round << 32, status),
                ])
                let tail = machine.tail
                group.enter()
                Thread.detachNewThread {
                    try? front.write(0x88, size: 4, tail)
                    group.leave()
                }
                // The host is told before anybody waits.
                var told: [ClosedRange<Int>] = []
                eventually("the host is told") {
                    told += machine.changedEntries.take()
                    return !told.isEmpty
                }
                #expect(told == [isGlobal ? 0...0xffff : 3...3])
                #expect(machine.image[status] == round - 1, "a section that read the old entry is open")
                #expect(front.read(0x80, size: 8) != tail)
                return tail
            }
            group.wait()
            front.finishWorks()
            #expect(machine.image[status] == round)
            #expect(machine.head == tail)
            #expect(try guest.vector() == UInt8(old + 1))
        }
    }

    /// Several devices signal while the guest moves an entry on and on: nothing older than the last completed wait comes out.
    @Test(arguments: [VirtualVTd.Processing.worker, .inline])
    func entriesUnderFire(processing: VirtualVTd.Processing) throws {
        let guest = try InterruptMachine(processing: processing) { $0.sizes.drainTimeout = .seconds(3600) }
        let machine = guest.machine
        let status = machine.image.allocatePage()
        machine.enableQueue()
        let ports = try (0..<2).map { _ in PortBox(try machine.front.unit.makePort()) }
        let box = MachineBox(machine: machine)
        let entry = guest.table + 48
        machine.image[entry] = 1 | 0x20 << 16
        let completed = Atomic(0x20)
        let started = Atomic(0x20)
        let seen = Atomic(0)
        let wrong = Atomic(0)
        let stops = Atomic(false)
        onThreads(3) { thread in
            guard thread == 0 else {
                while !stops.load(ordering: .acquiring) {
                    let port = ports[thread - 1].port
                    port.withSection {
                        let lowest = completed.load(ordering: .sequentiallyConsistent)
                        let result = try? port.remapInterrupt(
                            address: InterruptMachine.address(handle: 3), data: 0, source: SourceID(8))
                        let vector = Int(result?.message?.vector ?? 0)
                        // While the section is open no wait that covers a change of what was read completes.
                        let now = completed.load(ordering: .sequentiallyConsistent)
                        let highest = started.load(ordering: .sequentiallyConsistent)
                        if vector < max(lowest, now) || vector > highest { wrong.add(1, ordering: .relaxed) }
                        seen.add(1, ordering: .relaxed)
                    }
                }
                return
            }
            for vector in 0x21...0xe0 {
                started.store(vector, ordering: .sequentiallyConsistent)
                box.machine.image[entry] = 1 | UInt64(vector) << 16
                box.machine.submit(
                    Descriptor(4 | 1 << 4 | 3 << 32), Descriptor(5 | 1 << 5 | UInt64(vector) << 32, status))
                #expect(box.machine.image[status] == UInt64(vector))
                completed.store(vector, ordering: .sequentiallyConsistent)
                let count = seen.load(ordering: .relaxed)
                eventually("a device signals") { seen.load(ordering: .relaxed) > count + 2 }
            }
            stops.store(true, ordering: .releasing)
        }
        #expect(wrong.load(ordering: .relaxed) == 0)
    }
}
