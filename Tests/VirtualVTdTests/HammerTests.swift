// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Registers under fire: from several threads beside DMA, and with random accesses and queue contents. Nothing traps or hangs, no device
// gets what nobody mapped, and a queue that does not move says why.

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

    /// What devices got that they must not get.
    private final class Verdicts: Sendable {
        /// Neither unchanged nor a fault: no table in the guest's memory maps anything.
        let invented = Atomic(0)
        /// The host's own device, which a guest's registers have no say about.
        let unserved = Atomic(0)
        /// Accesses and requests that failed: none may, with a port of its own and outside sections.
        let errors = Mutex<[IOMMUError]>([])
    }

    @Test(arguments: [VirtualVTd.Processing.worker, .inline])
    func registersTakeFourThreadsBesideDMA(processing: VirtualVTd.Processing) throws {
        let machine = try VTdMachine(processing: processing) { $0.sizes.drainTimeout = .seconds(3600) }
        let pages = (0..<16).map { _ in machine.image.allocatePage() }
        let before = machine.image.copy()
        let front = machine.front
        let identity = [0, 8, 16].map { machine.read64($0) & ($0 == 0 ? 0xff : .max) }
        let device = try Device(id: 1, sourceID: SourceID(0x1234), in: front.unit)
        let domain = try PagingDomain(unit: front.unit)
        try domain.map(0x40000, to: OutputAddress(pages[3]), length: 0x1000, rights: .read)
        try device.attach(domain)
        let seed = SeededGenerator.forTest().seed
        let ports = try (0..<3).map { _ in PortBox(try front.unit.makePort()) }
        let verdicts = Verdicts()
        let passed = Atomic(0)
        let output = OutputAddress(pages[3] + 8)
        onThreads(7) { thread in
            var generator = SeededGenerator(seed: seed &+ UInt64(thread))
            for _ in 0..<4_000 {
                let random = generator.next()
                do throws(IOMMUError) {
                    if thread == 6 {
                        let port = ports[2].port
                        let inside = try port.translate(0x40008, access: .read, source: device.sourceID)
                        let outside = try port.translate(
                            IOVA(random >> 16 & 0xf_f000 | 1 << 20), access: .read, source: device.sourceID,
                            options: .noFault)
                        let isServed = inside.translation?.address == output && outside.translation == nil
                        if !isServed { verdicts.unserved.add(1, ordering: .relaxed) }
                    } else if thread >= 4 {
                        // A device of the guest's: whatever the tables are just now.
                        let iova = random >> 16 & 0xf_f000
                        let answer = try ports[thread - 4].port.translate(
                            IOVA(iova), access: .read, source: SourceID(UInt32(random & 0xff)))
                        guard let translation = answer.translation else { continue }
                        passed.add(1, ordering: .relaxed)
                        if translation.address.rawValue != iova { verdicts.invented.add(1, ordering: .relaxed) }
                    } else if random & 1 == 0 {
                        _ = front.read(Int(random >> 8 & 0x7fc), size: random & 2 == 0 ? 4 : 8)
                    } else {
                        let offset = Int(random >> 8 & 0x7fc)
                        try front.write(offset, size: random & 2 == 0 ? 4 : 8, Self.value(&generator, pages))
                    }
                } catch {
                    verdicts.errors.withLock { $0.append(error) }
                }
            }
        }
        front.finishWorks()
        let replay: Comment = "IOMMU_TEST_SEED=\(seed) replays"
        #expect(verdicts.invented.load(ordering: .relaxed) == 0, replay)
        #expect(verdicts.unserved.load(ordering: .relaxed) == 0, replay)
        #expect(verdicts.errors.withLock { $0 } == [], replay)
        #expect(machine.image.differences(from: before) == [], replay)
        #expect([0, 8, 16].map { machine.read64($0) & ($0 == 0 ? 0xff : .max) } == identity, replay)
        #expect(front.worksInLine == 0)
        try front.reset()
        #expect(front.read(0x1c, size: 4) == 0)
        // After all that it is a unit like any other.
        #expect(try machine.port.translate(0x5000, access: .read, source: SourceID(9)).translation?.address == 0x5000)
        let guest = try TwoPages(machine)
        #expect(try guest.isServed())
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
            let state = machine.front.snapshot()
            let copy = try VTdMachine()
            try copy.front.restore(state)
            let copied = copy.front.snapshot()
            // What software writes; what the unit itself says may go on, for the queue does.
            for offset in [0x20, 0x24, 0x3c, 0x40, 0x44, 0x88, 0x90, 0x94, 0xb8, 0xbc, 0xd0, 0xd4] {
                #expect(copied.registers[offset / 4] == state.registers[offset / 4], "\(offset), seed \(seed)")
            }
            #expect(copied.commands == state.commands && copied.latchedRootTable == state.latchedRootTable)
            try machine.front.reset()
            #expect(try TwoPages(machine).isServed(), "IOMMU_TEST_SEED=\(seed) replays")
        }
    }
}

/// A guest that begins afresh, with one device and one page.
private struct TwoPages {
    private let machine: VTdMachine
    private let output: UInt64

    init(_ machine: VTdMachine) throws {
        self.machine = machine
        output = machine.image.allocatePage()
        let builder = TableBuilder(machine.image, isScalable: false)
        let tables = PagingTables(.second, levels: 4, in: machine.image)
        (tables.leafFlags, tables.tableFlags) = (3, 3)
        tables.map(0x7000, to: output)
        var context = LegacyContext()
        context.root = tables.root
        builder.setContext(9, context)
        machine.write(0x20, builder.rootRegister, size: 8)
        machine.command(set: 1 << 30)
        machine.command(set: 1 << 31)
    }

    /// The page is mapped, and the next one is not.
    func isServed() throws -> Bool {
        let inside = try machine.port.translate(0x7000, access: .write, source: SourceID(9)).translation?.address
        return try inside?.rawValue == output
            && machine.port.translate(0x8000, access: .read, source: SourceID(9)).translation == nil
    }
}
