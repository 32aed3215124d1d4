// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The invalidation queue: positions, wrapping, errors and what a driver does about them [FORMATS-VTD B8, C4].

import IOMMU
import IOMMUTestSupport
import Synchronization
import Testing
import VirtualVTd

@Suite struct QueueTests {
    /// A wait that stores `data` at `address`.
    private func wait(_ address: UInt64, _ data: UInt64, interrupt: Bool = false) -> Descriptor {
        Descriptor(5 | 1 << 5 | (interrupt ? 1 << 4 : 0) | data << 32, address)
    }

    private let iotlbGlobal = Descriptor(2 | 1 << 4)
    private let malformed = Descriptor(0xf)

    @Test(arguments: [false, true]) func descriptorsAreFetchedAndWaitsAnswered(isWide: Bool) throws {
        let machine = try VTdMachine()
        let status = machine.image.allocatePage()
        machine.enableQueue(wide: isWide)
        #expect(machine[0x1c] == 1 << 26)
        machine.submit(iotlbGlobal, wait(status, 0x1234))
        #expect(machine.image[status] == 0x1234)
        #expect(machine.head == (isWide ? 64 : 32))
        #expect(machine[0x34] == 0)
    }

    @Test(arguments: [false, true]) func theQueueWraps(isWide: Bool) throws {
        let machine = try VTdMachine()
        let status = machine.image.allocatePage()
        machine.enableQueue(wide: isWide)
        let size: UInt64 = isWide ? 32 : 16
        // Odd numbers at a time, several times round, and once as full as it gets.
        var done: UInt64 = 0
        for round in 0..<200 {
            let count = round == 100 ? 4096 / size - 1 : UInt64(1 + round % 7)
            machine.put(Array(repeating: iotlbGlobal, count: Int(count) - 1) + [wait(status, UInt64(round) + 1)])
            machine.write(0x88, machine.tail)
            done += count
            #expect(machine.image[status] == UInt64(round) + 1)
            #expect(machine.head == done * size % 4096)
        }
    }

    @Test func largerQueuesAreLarger() throws {
        for order: UInt64 in [0, 1, 2, 3, 4, 5, 6, 7] {
            let image = GuestImage(regions: [GuestImage.Region(address: 0x10_0000, pages: 256)])
            let memory = try GuestMemory()
            try image.register(in: memory)
            var configuration = VirtualVTd.Configuration()
            configuration.processing = .inline
            configuration.sizes = TestBench.smallCaches
            let front = try VirtualVTd(configuration, memory: memory)
            try front.write(0x90, size: 8, 0x10_0000 | order)
            try front.write(0x18, size: 4, 1 << 26)
            let last: UInt64 = (4096 << order) - 16
            for slot in stride(from: UInt64(0), through: last, by: 16) { image[0x10_0000 + slot] = 2 | 1 << 4 }
            try front.write(0x88, size: 4, last)
            #expect(front.read(0x80, size: 8) == last)
            // Of the largest queue every value that the register holds is inside; this one is 0.
            try front.write(0x88, size: 4, last + 16)
            #expect(front.read(0x34, size: 4) == (order == 7 ? 0 : 1 << 4), "IQE: the tail is beyond the queue")
            #expect(front.read(0xb0, size: 8) & 0xf == (order == 7 ? 0 : 1))
        }
    }

    @Test func aTailBetweenDescriptorsIsAnError() throws {
        let machine = try VTdMachine()
        machine.enableQueue(wide: true)
        machine.write(0x88, 0x10)
        machine.front.finishWorks()
        #expect(machine[0x34] == 1 << 4)
        #expect(machine.read64(0xb0) & 0xf == 6)
        #expect(machine.head == 0)
    }

    @Test func aQueueWithoutMemoryIsAFetchError() throws {
        let machine = try VTdMachine()
        machine.write(0x90, GuestImage.hole, size: 8)
        machine.command(set: 1 << 26)
        machine.write(0x88, 0x20)
        machine.front.finishWorks()
        #expect(machine[0x34] == 1 << 4)
        #expect(machine.read64(0xb0) & 0xf == 2)
    }

    /// Every position of a bad descriptor, in both widths; then the driver repairs it as Linux does, and goes on.
    @Test(arguments: [false, true], [0, 1, 2, 3, 4, 5, 6]) func aBadDescriptorStopsTheQueueWhereItIs(
        isWide: Bool, position: Int
    ) throws {
        let machine = try VTdMachine()
        let status = machine.image.allocatePage()
        machine.enableQueue(wide: isWide)
        machine.unmask(fault: 0x33)
        var descriptors = (0..<7).map { wait(status + UInt64($0) * 8, UInt64($0) + 1) }
        descriptors[position] = malformed
        machine.put(descriptors)
        machine.write(0x88, machine.tail)
        machine.front.finishWorks()
        let size: UInt64 = isWide ? 32 : 16
        #expect(machine.head == UInt64(position) * size, "it stays at the descriptor")
        #expect(machine[0x34] == 1 << 4)
        #expect(machine.read64(0xb0) & 0xf == 3, "invalid type")
        #expect(machine.signals.take() == [0x33])
        for index in 0..<7 {
            #expect(machine.image[status + UInt64(index) * 8] == (index < position ? UInt64(index) + 1 : 0))
        }
        let slot = machine.queue + UInt64(position) * size
        for (index, word) in wait(status + UInt64(position) * 8, 0x77).widened(isWide).words.enumerated() {
            machine.image[slot + UInt64(index) * 8] = word
        }
        // Nothing is fetched until software has cleared the error, even if it has repaired what was wrong.
        machine.write(0x88, machine.tail)
        machine.front.finishWorks()
        #expect(machine.head == UInt64(position) * size)
        machine[0x34] = 1 << 4
        machine.front.finishWorks()
        #expect(machine[0x34] == 0)
        #expect(machine.head == 7 * size)
        for index in 0..<7 {
            let expected: UInt64 = index == position ? 0x77 : UInt64(index) + 1
            #expect(machine.image[status + UInt64(index) * 8] == expected)
        }
    }

    @Test func theWidthOfTheModeIsChecked() throws {
        let machine = try VTdMachine()
        machine.write(0x20, machine.image.allocatePage() | 1 << 10, size: 8)
        machine.command(set: 1 << 30)
        machine.enableQueue(wide: false)
        machine.submit(iotlbGlobal)
        #expect(machine[0x34] == 1 << 4)
        #expect(machine.read64(0xb0) & 0xf == 5)
    }

    @Test func aWaitRaisesOneEventUntilItIsSeen() throws {
        let machine = try VTdMachine()
        let status = machine.image.allocatePage()
        machine.enableQueue()
        machine.unmask(completion: 0x44)
        machine.submit(wait(status, 1, interrupt: true))
        #expect(machine.signals.take() == [0x44])
        #expect(machine[0x9c] == 1)
        machine.submit(wait(status, 2, interrupt: true))
        #expect(machine.signals.take() == [], "IWC still stands")
        machine[0x9c] = 1
        #expect(machine[0x9c] == 0)
        machine.submit(wait(status, 3, interrupt: true))
        #expect(machine.signals.take() == [0x44])
    }

    @Test func aMaskedCompletionIsPending() throws {
        let machine = try VTdMachine()
        let status = machine.image.allocatePage()
        machine.enableQueue()
        machine.unmask(completion: 0x44)
        machine[0xa0] = 1 << 31
        machine.submit(wait(status, 1, interrupt: true))
        #expect(machine.signals.take() == [])
        #expect(machine[0xa0] == 3 << 30)
        machine[0xa0] = 0
        #expect(machine.signals.take() == [0x44])
        #expect(machine[0xa0] == 0)
        machine[0xa0] = 1 << 31
        machine[0x9c] = 1
        machine.submit(wait(status, 2, interrupt: true))
        machine[0x9c] = 1
        #expect(machine[0xa0] == 1 << 31, "what was seen without an interrupt is not pending any more")
        machine[0xa0] = 0
        #expect(machine.signals.take() == [])
    }

    @Test func switchingItOffResetsTheHead() throws {
        let machine = try VTdMachine()
        machine.enableQueue()
        machine.submit(iotlbGlobal)
        #expect(machine.head == 16)
        machine.command(clear: 1 << 26)
        #expect(machine[0x1c] == 0)
        #expect(machine.head == 0)
        machine.write(0x88, 0x40)
        machine.front.finishWorks()
        #expect(machine.head == 0, "nothing is fetched while it is off")
    }

    /// A guest that writes without end while a section keeps the worker waiting takes no memory for it.
    @Test func theLineOfWorksStaysShort() throws {
        let machine = try VTdMachine(processing: .worker)
        let status = machine.image.allocatePage()
        machine.enableQueue()
        let device = try machine.front.unit.makePort()
        device.withSection {
            for round in 0..<1000 as Range<UInt64> {
                // Each write asks for something: descriptors, tables, switches, commands.
                machine.put([iotlbGlobal, wait(status, round + 1)].suffix(round < 100 ? 2 : 0))
                machine.write(0x88, machine.tail)
                machine.write(0x18, 1 << 26 | (round % 2 == 0 ? 1 << 31 | 1 << 30 | 1 << 25 : 1 << 24))
                #expect(machine.front.worksInLine <= 9)
            }
        }
        while machine.image[status] != 100 { machine.front.finishWorks() }
        #expect(machine.front.worksInLine == 0)
        #expect(machine[0x34] == 0)
        #expect(machine[0x1c] == 1 << 26 | 1 << 24 | 1 << 30, "the last of what was asked for holds")
    }

    /// A host that moves the tail from inside an interrupt: its descriptors are worked on before the first write returns.
    @Test(arguments: [VirtualVTd.Processing.inline, .worker])
    func whatACallbackAsksForIsDone(processing: VirtualVTd.Processing) throws {
        let image = GuestImage()
        let memory = try GuestMemory()
        try image.register(in: memory)
        let (queue, status) = (image.allocatePage(), image.allocatePage())
        var configuration = VirtualVTd.Configuration()
        configuration.processing = processing
        configuration.sizes = TestBench.smallCaches
        let count = 50
        for index in 0..<count {
            let wait = wait(status, UInt64(index) + 1, interrupt: true).words
            image[queue + UInt64(index) * 16] = wait[0]
            image[queue + UInt64(index) * 16 + 8] = wait[1]
        }
        let box = FrontBox()
        let seen = Signals()
        let host = VirtualVTd.Host(signal: { _, data in
            seen.append(data)
            guard let front = box.front else { return }
            try? front.write(0x9c, size: 4, 1)  // seen
            let tail = front.read(0x88, size: 8)
            if tail / 16 < UInt64(count) { try? front.write(0x88, size: 4, tail + 16) }
        })
        let unit = try VirtualVTd(configuration, memory: memory, host: host)
        box.front = unit
        try unit.write(0xa4, size: 4, 0x55)
        try unit.write(0xa0, size: 4, 0)
        try unit.write(0x90, size: 8, queue)
        try unit.write(0x18, size: 4, 1 << 26)
        unit.finishWorks()
        try unit.write(0x88, size: 4, 16)
        if processing == .worker { while image[status] != UInt64(count) { unit.finishWorks() } }
        #expect(image[status] == UInt64(count))
        unit.finishWorks()
        #expect(seen.take().count == count)
        box.front = nil
    }

    @Test func aWorkerDoesTheSame() throws {
        let machine = try VTdMachine(processing: .worker)
        let status = machine.image.allocatePage()
        machine.enableQueue()
        for round in 1...300 {
            machine.submit(iotlbGlobal, wait(status, UInt64(round)))
            #expect(machine.image[status] == UInt64(round))
        }
    }
}

/// A unit that its own callback refers to.
private final class FrontBox: Sendable {
    private let value = Mutex<VirtualVTd?>(nil)

    var front: VirtualVTd? {
        get { value.withLock { $0 } }
        set { value.withLock { $0 = newValue } }
    }
}
