// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Floods through the registers, beside a second device that must be served: faults without end into few records, a queue of the largest
// size that is rewritten while it runs, page requests that nobody answers. What waits stays short, and nobody else feels it.

import IOMMU
import IOMMUTestSupport
import Synchronization
import Testing
import VirtualVTd

/// A guest with one device that behaves, and sources without tables.
private struct FloodedGuest {
    static let page: UInt64 = 0x40000
    static let quiet: UInt16 = 0x10

    let machine: VTdMachine
    let output: UInt64

    init(_ machine: VTdMachine) {
        self.machine = machine
        output = machine.image.allocatePage()
        let builder = TableBuilder(machine.image, isScalable: false)
        let tables = PagingTables(.second, levels: 4, in: machine.image)
        (tables.leafFlags, tables.tableFlags) = (3, 3)
        tables.map(Self.page, to: output)
        var context = LegacyContext()
        context.root = tables.root
        builder.setContext(Self.quiet, context)
        machine.write(0x20, builder.rootRegister, size: 8)
        machine.command(set: 1 << 30)
        machine.command(set: 1 << 31)
    }

    /// Where the quiet device's page is, and that it may not go beyond it.
    static func isServed(_ port: Port, _ output: UInt64) throws -> Bool {
        let source = SourceID(UInt32(quiet))
        let inside = try port.translate(IOVA(page + 8), access: .write, source: source).translation?.address
        let outside = try port.translate(IOVA(page + 0x1000), access: .read, source: source, options: .noFault)
        return inside?.rawValue == output + 8 && outside.translation == nil
    }
}

@Suite struct FloodTests {
    // MARK: Faults

    @Test(arguments: [VirtualVTd.Processing.inline, .worker])
    func faultsWithoutEndFillEightRecords(processing: VirtualVTd.Processing) throws {
        let capabilities = try Capabilities(basedOn: .full) {
            $0.faultRecordingRegisters = 8
            $0.faultRecordingOffset = 0x400
        }
        let machine = try VTdMachine(capabilities, processing: processing)
        let guest = FloodedGuest(machine)
        machine.unmask(fault: 0x55)
        let high = { 0x400 + 16 * $0 + 8 }
        var events = 0
        for round in 0..<10 {
            for number: UInt32 in 0..<10_000 {
                // So many sources that no record stands for all of them.
                let answer = try machine.port.translate(
                    IOVA(UInt64(number) << 12), access: .write, source: SourceID(0x100 + number % 1000))
                #expect(answer.fault != nil)
                if number % 100 == 0 {
                    #expect(try FloodedGuest.isServed(machine.port, guest.output))
                    #expect(machine.front.worksInLine <= 9)
                }
            }
            machine.front.collectFaults()
            #expect(machine[0x34] & 3 == 3, "PPF and PFO")
            for record in 0..<8 {
                let low = machine.read64(high(record) - 8)
                #expect(machine.read64(high(record)) >> 63 == 1)
                #expect((0x100..<0x100 + 1000).contains(machine.read64(high(record)) & 0xffff) && low & 0xfff == 0)
            }
            events += machine.signals.take().count
            #expect(events == 2 * round + 1, "one event until it is seen")
            // The guest has seen it all: the next fault of the quiet device is recorded, and it is the only one.
            machine.front.collectFaults()
            for record in 0..<8 { machine[high(record) + 4] = 1 << 31 }
            machine[0x34] = 1
            #expect(machine[0x34] & 3 == 0)
            machine.fault(FloodedGuest.quiet)
            eventually("its record") { machine[0x34] & 2 == 2 }
            let records = (0..<8).filter { machine.read64(high($0)) >> 63 == 1 }
            #expect(records.count == 1)
            #expect(records.allSatisfy { machine.read64(high($0)) & 0xffff == UInt64(FloodedGuest.quiet) })
            eventually("its event") { machine.signals.take().count == 1 }
            events += 1
            for record in 0..<8 { machine[high(record) + 4] = 1 << 31 }
        }
        #expect(events == 20)
    }

    // MARK: The invalidation queue

    @Test(arguments: [VirtualVTd.Processing.inline, .worker])
    func theLargestQueueIsRewrittenWhileItRuns(processing: VirtualVTd.Processing) throws {
        let image = GuestImage(regions: [.init(address: GuestImage.ram, pages: 1024)])
        let queue = RewrittenQueue(image, at: image.allocatePages(128), SeededGenerator.forTest())
        let machine = try VTdMachine(processing: processing, image: image, invalidated: { _ in queue.rewrite(16) })
        let guest = FloodedGuest(machine)
        machine.write(0x90, queue.address | 7, size: 8)
        machine.command(set: 1 << 26)
        let stops = Atomic(false)
        let rounds = Atomic(0)
        let wrong = Atomic(0)
        let port = PortBox(try machine.front.unit.makePort())
        let box = MachineBox(machine: machine)
        let output = guest.output
        onThreads(2) { thread in
            if thread == 0 {
                box.machine.flood(queue)
                let count = rounds.load(ordering: .relaxed)
                eventually("an answer") { rounds.load(ordering: .relaxed) > count + 1 }
                stops.store(true, ordering: .relaxed)
                return
            }
            while !stops.load(ordering: .relaxed) {
                if (try? FloodedGuest.isServed(port.port, output)) != true { wrong.add(1, ordering: .relaxed) }
                rounds.add(1, ordering: .relaxed)
            }
        }
        #expect(wrong.load(ordering: .relaxed) == 0, "IOMMU_TEST_SEED=\(queue.seed) replays")
        #expect(queue.rewritten > 0)
        // A guest that comes to its senses is served at once.
        queue.calm()
        machine.write(0x34, 0x70)
        machine.front.finishWorks()
        #expect(machine.read64(0x80) == machine[0x88] && machine[0x34] & 0x70 == 0)
    }

    // MARK: Page requests

    @Test(arguments: [VirtualVTd.Processing.inline, .worker])
    func pageRequestsThatNobodyAnswersStopAtTheQueue(processing: VirtualVTd.Processing) throws {
        let machine = try VTdMachine(processing: processing) { $0.pageTimeout = nil }
        let queue = machine.enablePageRequests(of: 0x18, 0x20)
        let answers = Mutex<[UInt32: [PageResponse]]>([:])
        let devices = try [UInt32(0x18), 0x20].map { source in
            try PageRequestInterface(
                unit: machine.front.unit,
                configuration: .init(source: SourceID(source), device: DeviceID(UInt64(source)))
            ) { answer in answers.withLock { $0[source, default: []].append(answer.response) } }
        }
        let request = { (device: Int, number: Int) in
            try devices[device].request(
                PageRequest(
                    IOVA(UInt64(number) << 12), access: .read, pasid: PASID(3)!, group: number % 512,
                    isLast: true))
        }
        var refused = 0
        for number in 0..<20_000 {
            do {
                try request(0, number)
            } catch {
                #expect(error as? IOMMUError == .noSpace)
                refused += 1
            }
            if number % 500 == 0 {
                machine.front.finishWorks()
                #expect(machine.front.worksInLine <= 9)
                #expect(machine.read64(0xc8) <= 127 * 32)
            }
        }
        machine.front.finishWorks()
        #expect(machine[0xdc] == 3 && machine.read64(0xc8) == 127 * 32, "PRO, and nothing was overwritten")
        #expect(devices[0].statistics.open == 127)
        let heard = answers.withLock { $0[0x18] ?? [] }
        #expect(heard.allSatisfy { $0 == .success } && heard.count + refused + 127 == 20_000, "it is to ask again")
        let whole: UInt64 = 1 | 1 << 8 | 0x18 << 16 | 3 << 32
        for index: UInt64 in 0..<127 {
            #expect(machine.image[queue + index * 32] == whole)
            // Address, group, last in group, read.
            let rest: UInt64 = (index << 12) | (index << 3) | 5
            #expect(machine.image[queue + index * 32 + 8] == rest)
        }
        // Room again: the other device is served, and the noisy one after it.
        machine.write(0xc0, 127 * 32, size: 8)
        machine[0xdc] = 3
        try request(1, 300)
        machine.front.finishWorks()
        #expect(machine.image[queue + 127 * 32] >> 16 & 0xffff == 0x20)
        machine.submit(Descriptor(9 | 1 << 4 | 0x20 << 16 | 3 << 32, 300 << 3))
        #expect(answers.withLock { $0[0x20] } == [.success])
        try request(0, 511)
        machine.front.finishWorks()
        #expect(machine.read64(0xc8) == 32 && devices[0].statistics.open == 128)
    }
}

// @unchecked: whoever does the unit's works, or the guest while there are none.
/// A queue of 2^7 pages whose descriptors change all the time.
private final class RewrittenQueue: @unchecked Sendable {
    static let count: UInt64 = 128 << 8
    let address: UInt64
    let seed: UInt64
    private(set) var rewritten = 0
    private let image: GuestImage
    private let status: UInt64
    private var generator: SeededGenerator

    init(_ image: GuestImage, at address: UInt64, _ generator: SeededGenerator) {
        (self.image, self.address, self.generator) = (image, address, generator)
        seed = generator.seed
        status = image.allocatePage()
        calm()
        rewrite(Int(Self.count))
    }

    private func put(_ index: UInt64, _ low: UInt64, _ high: UInt64) {
        image[address + index * 16] = low
        image[address + index * 16 + 8] = high
    }

    /// So many descriptors anywhere become others: mostly legal ones, and one in 2,000 garbage.
    func rewrite(_ count: Int) {
        rewritten += count
        for _ in 0..<count {
            let index = generator.next() % Self.count
            let number = generator.next()
            switch number % 2_000 {
            case 0: put(index, generator.next(), generator.next())
            case 1..<20: put(index, 1 | 1 << 4, 0)
            case 20..<40: put(index, 2 | 1 << 4, 0)
            case 40..<60: put(index, 2 | 3 << 4 | 1 << 16, FloodedGuest.page)
            case 60..<80: put(index, 5 | 1 << 5 | (number >> 32) << 32, status + (number >> 12 & 511) * 8)
            default: put(index, 4 | 1 << 4 | ((number >> 12 & 0xff) << 32), 0)
            }
        }
    }

    /// Nothing but what is harmless.
    func calm() {
        for index in 0..<Self.count { put(index, 4, 0) }
    }
}

extension VTdMachine {
    /// Moves the tail about, and clears what stops the queue, as a driver does that never learns.
    fileprivate func flood(_ queue: RewrittenQueue) {
        var generator = SeededGenerator(seed: queue.seed)
        for round in 0..<24 {
            write(0x88, (generator.next() % RewrittenQueue.count) << 4)
            // A tail that moves on at once changes nothing about what there was.
            if round % 4 == 0 { write(0x88, (generator.next() % RewrittenQueue.count) << 4) }
            #expect(front.worksInLine <= 9)
            front.finishWorks()
            var stops = 0
            while self[0x34] & 0x50 != 0, stops < 100 {
                #expect(self[0x34] & 0x40 == 0 && read64(0xb0) & 0xf != 0, "IQE, which says why")
                let head = read64(0x80)
                image[queue.address + head] = 4
                image[queue.address + head + 8] = 0
                write(0x34, 0x50)
                front.finishWorks()
                stops += 1
            }
            if self[0x34] & 0x50 == 0 { #expect(read64(0x80) == self[0x88], "IQEI is clear, and the queue ran dry") }
        }
    }
}
