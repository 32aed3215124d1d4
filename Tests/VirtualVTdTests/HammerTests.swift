// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Registers under fire: from several threads beside DMA, and with random accesses and queue contents. Nothing traps or hangs, and a
// queue that does not move says why.

import Dispatch
import IOMMU
import IOMMUTestSupport
import Synchronization
import Testing
import VirtualVTd

@Suite struct HammerTests {
    /// Addresses and values that mean something, among others that do not.
    private static func value(_ generator: inout SeededGenerator, _ image: [UInt64]) -> UInt64 {
        let random = generator.next()
        switch random % 5 {
        case 0: return random >> 8
        case 1: return 1 << (random >> 8 & 63)
        case 2: return image[Int(random >> 8) % image.count] | random >> 20 & 0xfff
        case 3: return random >> 8 & 0xfff0
        default: return UInt64.max << (random >> 8 & 63)
        }
    }

    @Test(arguments: [VirtualVTd.Processing.worker, .inline])
    func registersTakeFourThreadsBesideDMA(processing: VirtualVTd.Processing) throws {
        let machine = try VTdMachine(processing: processing)
        let pages = (0..<16).map { _ in machine.image.allocatePage() }
        let front = machine.front
        let seed = SeededGenerator.forTest().seed
        let ports = try (0..<2).map { _ in PortBox(try front.unit.makePort()) }
        let accesses = Atomic(0)
        DispatchQueue.concurrentPerform(iterations: 6) { thread in
            var generator = SeededGenerator(seed: seed &+ UInt64(thread))
            for _ in 0..<4_000 {
                let random = generator.next()
                if thread >= 4 {
                    // A device: whatever the tables are just now, it is answered.
                    _ = try? ports[thread - 4].port.translate(
                        IOVA(random >> 16 & 0xf_f000), access: .read, source: SourceID(UInt32(random & 0xff)))
                } else if random & 1 == 0 {
                    _ = front.read(Int(random >> 8 & 0x7fc), size: random & 2 == 0 ? 4 : 8)
                } else {
                    let offset = Int(random >> 8 & 0x7fc)
                    try? front.write(offset, size: random & 2 == 0 ? 4 : 8, Self.value(&generator, pages))
                }
                accesses.add(1, ordering: .relaxed)
            }
        }
        front.finishWorks()
        #expect(accesses.load(ordering: .relaxed) == 24_000, "IOMMU_TEST_SEED=\(seed) replays")
        try front.reset()
        #expect(front.read(0x1c, size: 4) == 0)
    }

    @Test func aQueueThatStandsStillSaysWhy() throws {
        let seed = SeededGenerator.forTest().seed
        var generator = SeededGenerator(seed: seed)
        for _ in 0..<300 {
            let machine = try VTdMachine()
            machine.enableQueue(wide: generator.next() & 1 == 0)
            let size: UInt64 = machine.isWide ? 32 : 16
            for _ in 0..<20 {
                let count = Int(1 + generator.next() % 8)
                let descriptors = (0..<count).map { _ -> Descriptor in
                    let random = generator.next()
                    // Mostly of a known type, mostly with few other bits.
                    let fields = (random >> 12) % 3 == 0 ? generator.next() << 16 : 0
                    let low = random % 10 | (random >> 8 & 3) << 4 | fields
                    return Descriptor(low, (random >> 20) % 4 == 0 ? generator.next() : 0)
                }
                machine.put(descriptors)
                machine.write(0x88, machine.tail)
                machine.front.finishWorks()
                let status = machine[0x34]
                let isStopped = status & (1 << 4 | 1 << 6) != 0
                #expect(machine.head == machine.tail || isStopped, "IOMMU_TEST_SEED=\(seed) replays")
                #expect(status & 1 << 4 == 0 || machine.read64(0xb0) & 0xf != 0, "IQE has a code")
                guard isStopped else { continue }
                // As a driver does: something harmless in the place of what was refused.
                for word in 0..<size / 8 { machine.image[machine.queue + machine.head + word * 8] = 0 }
                machine.image[machine.queue + machine.head] = 2 | 1 << 4
                machine[0x34] = 0xff
                machine.front.finishWorks()
            }
        }
    }

    @Test func randomAccessesNeitherTrapNorHang() throws {
        let seed = SeededGenerator.forTest().seed
        var generator = SeededGenerator(seed: seed)
        for _ in 0..<40 {
            let machine = try VTdMachine()
            let pages = (0..<8).map { _ in machine.image.allocatePage() }
            for _ in 0..<1_000 {
                let random = generator.next()
                let offset = random & 3 == 0 ? Int(truncatingIfNeeded: generator.next()) : Int(random >> 8 & 0x7ff)
                let size = [1, 2, 4, 4, 4, 8, 8, 16][Int(random >> 40 & 7)]
                if random >> 50 & 1 == 0 {
                    _ = machine.front.read(offset, size: size)
                } else {
                    machine.write(offset, Self.value(&generator, pages), size: size)
                }
            }
            let copy = try VTdMachine()
            try copy.front.restore(machine.front.snapshot())
            #expect(copy.front.snapshot().registers.count == machine.front.snapshot().registers.count)
        }
    }
}
