// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Where an invalidation queue ends: sizes, tails that cannot be, and memory that is missing or goes away [FORMATS-VTD B8, C4].

import IOMMU
import IOMMUTestSupport
import Testing
import VirtualVTd

/// A queue of any size, alone in its memory, with a page for status words behind it.
private final class SizedQueue {
    static let base: UInt64 = 0x10_0000
    let front: VirtualVTd
    let image: GuestImage
    let isWide: Bool
    let bytes: UInt64
    let status: UInt64
    private var tail: UInt64 = 0

    init(order: UInt64, isWide: Bool) throws {
        bytes = 4096 << order
        self.isWide = isWide
        status = Self.base + bytes
        image = GuestImage(regions: [GuestImage.Region(address: Self.base, pages: (1 << Int(order)) + 1)])
        let memory = try GuestMemory()
        try image.register(in: memory)
        var configuration = VirtualVTd.Configuration()
        configuration.processing = .inline
        configuration.sizes = TestBench.smallCaches
        front = try VirtualVTd(configuration, memory: memory)
        try front.write(0x90, size: 8, Self.base | order | (isWide ? 1 << 11 : 0))
        try front.write(0x18, size: 4, 1 << 26)
    }

    var size: UInt64 { isWide ? 32 : 16 }
    var head: UInt64 { front.read(0x80, size: 8) }
    var status32: UInt64 { front.read(0x34, size: 4) }
    var code: UInt64 { front.read(0xb0, size: 8) & 0xf }

    /// Puts so many descriptors, the last of which is a wait that stores `data`, and moves the tail past them.
    func submit(_ count: UInt64, data: UInt64) throws {
        for number in 0..<count {
            let words: [UInt64] = number == count - 1 ? [5 | 1 << 5 | data << 32, status] : [2 | 1 << 4, 0]
            for index in 0..<size / 8 {
                image[Self.base + tail + index * 8] = index < 2 ? words[Int(index)] : 0
            }
            tail = (tail + size) % bytes
        }
        try front.write(0x88, size: 4, tail)
    }
}

@Suite struct QueueEdgeTests {
    /// Twice and a half round each queue, once as full as it gets, once exactly from the start to the start.
    @Test(arguments: 0...7, [false, true]) func everySizeWraps(order: UInt64, isWide: Bool) throws {
        let queue = try SizedQueue(order: order, isWide: isWide)
        let slots = queue.bytes / queue.size
        var done: UInt64 = 0
        for (round, count) in [slots - 1, 1, slots / 2, slots / 2, slots - 1, 2].enumerated() {
            try queue.submit(count, data: UInt64(round) + 1)
            done += count
            #expect(queue.image[queue.status] == UInt64(round) + 1)
            #expect(queue.head == done % slots * queue.size)
            #expect(queue.status32 == 0)
        }
    }

    /// Nothing is fetched with a tail that cannot be; the driver repairs the tail, clears the error, and goes on.
    @Test(arguments: 0...7, [false, true]) func everyImpossibleTail(order: UInt64, isWide: Bool) throws {
        // Of the largest queue every value that the register holds is inside.
        var tails: [(tail: UInt64, code: UInt64)] = []
        if order < 7 { tails += [((4096 << order), 1), ((4096 << order) + 0x20, 1), (0x7_ffe0, 1), (0x7_fff0, 1)] }
        if isWide { tails += [(0x10, 6), ((4096 << order) - 0x10, 6), (0x50, 6)] }
        for (tail, code) in tails {
            let queue = try SizedQueue(order: order, isWide: isWide)
            try queue.front.write(0x88, size: 4, tail)
            #expect(queue.status32 == 1 << 4 && queue.code == code, "\(hex(tail))")
            #expect(queue.head == 0)
            try queue.submit(3, data: 7)
            #expect(queue.head == 0 && queue.image[queue.status] == 0)
            try queue.front.write(0x34, size: 4, 1 << 4)
            #expect(queue.status32 == 0)
            #expect(queue.head == 3 * queue.size && queue.image[queue.status] == 7)
            // Also from the middle.
            try queue.front.write(0x88, size: 4, tail)
            #expect(queue.status32 == 1 << 4 && queue.code == code, "\(hex(tail))")
            #expect(queue.head == 3 * queue.size)
        }
    }

    /// The bits of the tail that the register does not have.
    @Test func theTailHasNoOtherBits() throws {
        let machine = try VTdMachine()
        machine.enableQueue()
        machine.write(0x88, 0xfff8_000f)
        machine.front.finishWorks()
        #expect(machine.read64(0x88) == 0 && machine[0x34] == 0)
    }

    // MARK: Missing memory

    /// What lies in memory is done; the head stays at the first descriptor that does not [FORMATS-VTD C4].
    @Test(arguments: QueueManner.all) func aQueueThatRunsOutOfMemory(_ manner: QueueManner) throws {
        let machine = try VTdMachine(processing: manner.processing)
        let status = machine.image.allocatePage()
        // Two pages, of which the range of memory ends after the first.
        let base = GuestImage.ram + 511 << 12
        machine.write(0x90, base | 1 | (manner.isWide ? 1 << 11 : 0), size: 8)
        machine.command(set: 1 << 26)
        machine.unmask(fault: 0x33)
        let slots = 4096 / manner.size
        for start in [UInt64(0), 1, 7] {
            for slot in 0..<slots {
                let words: [UInt64] = slot == slots - 1 ? [5 | 1 << 5 | (start + 1) << 32, status] : [2 | 1 << 4, 0]
                for index in 0..<manner.size / 8 {
                    machine.image[base + slot * manner.size + index * 8] = index < 2 ? words[Int(index)] : 0
                }
            }
            machine.write(0x88, start * manner.size)
            machine.front.finishWorks()
            machine.write(0x88, 4096 + 2 * manner.size)
            machine.front.finishWorks()
            #expect(machine[0x34] == 1 << 4)
            #expect(machine.read64(0xb0) & 0xf == 2, "descriptor fetch error")
            #expect(machine.head == 4096, "the last page that has memory was done, from \(start)")
            #expect(machine.image[status] == start + 1)
            #expect(machine.signals.take() == [0x33])
            machine.write(0x88, 4096)
            machine[0x34] = 1 << 4
            machine.command(clear: 1 << 26)
            machine.write(0x88, 0)
            machine.command(set: 1 << 26)
        }
    }

    /// Memory that the host takes away and brings back.
    @Test(arguments: QueueManner.all) func aQueueWhoseMemoryGoes(_ manner: QueueManner) throws {
        let machine = try VTdMachine(processing: manner.processing)
        machine.enableQueue(wide: manner.isWide)
        machine.unmask(fault: 0x33)
        let status = GuestImage.ram + 0x1000
        machine.submit(Descriptor(5 | 1 << 5 | 1 << 32, status))
        #expect(machine.image[status] == 1)
        try machine.image.remove(region: 0, from: machine.memory)
        machine.submit(.iotlbGlobal, Descriptor(5 | 1 << 5 | 2 << 32, status))
        #expect(machine[0x34] == 1 << 4)
        #expect(machine.read64(0xb0) & 0xf == 2)
        #expect(machine.head == manner.size)
        #expect(machine.signals.take() == [0x33])
        machine[0x34] = 1 << 4
        machine.front.finishWorks()
        #expect(machine[0x34] == 1 << 4, "it is still away")
        #expect(machine.signals.take() == [0x33])
        try machine.image.restore(region: 0, to: machine.memory)
        #expect(machine.head == manner.size)
        machine[0x34] = 1 << 4
        machine.front.finishWorks()
        #expect(machine[0x34] == 0 && machine.head == machine.tail)
        #expect(machine.image[status] == 2)
    }

    /// A queue may lie where the unit cannot write.
    @Test func aQueueInReadOnlyMemory() throws {
        let machine = try VTdMachine()
        let status = machine.image.allocatePage()
        let queue = machine.image.allocatePage(in: 1)
        machine.image[queue] = 5 | 1 << 5 | 3 << 32
        machine.image[queue + 8] = status
        machine.write(0x90, queue, size: 8)
        machine.command(set: 1 << 26)
        machine.write(0x88, 0x10)
        machine.front.finishWorks()
        #expect(machine.image[status] == 3 && machine[0x34] == 0)
    }

    /// A status word that cannot be stored is lost: the wait is complete all the same, and the queue goes on.
    @Test(arguments: QueueManner.all) func aStatusWithoutMemory(_ manner: QueueManner) throws {
        let machine = try VTdMachine(processing: manner.processing)
        let status = machine.image.allocatePage()
        let rom = machine.image.allocatePage(in: 1)
        machine.enableQueue(wide: manner.isWide)
        machine.unmask(completion: 0x44)
        for address in [GuestImage.hole, rom, 0xf_ffff_ffff_fffc, 0xffff_ffff_ffff_fffc, GuestImage.ram + 512 << 12] {
            machine.image[status] = 0
            machine.submit(
                Descriptor(5 | 1 << 5 | 1 << 4 | 7 << 32, address), Descriptor(5 | 1 << 5 | 8 << 32, status))
            #expect(machine.image[status] == 8, "\(hex(address))")
            #expect(machine.head == machine.tail)
            #expect(machine[0x34] == 0 && machine[0x9c] == 1)
            #expect(machine.signals.take() == [0x44])
            machine[0x9c] = 1
        }
        #expect(machine.image[rom] == 0)
    }

    /// A status address that is no multiple of four has a reserved bit set.
    @Test func aStatusBetweenWords() throws {
        for address: UInt64 in 1...3 {
            let machine = try VTdMachine()
            let status = machine.image.allocatePage()
            machine.enableQueue()
            machine.submit(Descriptor(5 | 1 << 5 | 7 << 32, status + address))
            #expect(machine[0x34] == 1 << 4 && machine.read64(0xb0) & 0xf == 4)
            #expect(machine.image[status] == 0)
        }
        // The upper half of a quadword is a word.
        let machine = try VTdMachine()
        let status = machine.image.allocatePage()
        machine.enableQueue()
        machine.submit(Descriptor(5 | 1 << 5 | 0xffff_ffff << 32, status + 4))
        #expect(machine.image[status] == 0xffff_ffff_0000_0000)
    }

    // MARK: Two errors at once

    /// A device that is late in front of a descriptor that is refused: both stand, and the queue goes on when both are cleared.
    @Test(arguments: QueueManner.all, [false, true])
    func lateAndRefused(_ manner: QueueManner, lateIsClearedFirst: Bool) throws {
        let devices = try DeviceMachine(manner)
        let machine = devices.machine
        try devices.add(0x118, Endpoint(.silent), clock: TestClock(step: .milliseconds(400)))
        machine.unmask(fault: 0x33)
        devices.start(DeviceMachine.drop(0x118), devices.wait(1), Descriptor(0xf), devices.wait(2))
        machine.front.finishWorks()
        #expect(machine[0x34] == 1 << 6 | 1 << 4)
        #expect(machine.read64(0xb0) & 0xf == 3 && devices.timedOutSource == 0x118)
        #expect(machine.head == 2 * manner.size && devices.statusWord() == 0)
        #expect(machine.signals.take() == [0x33])
        let slot = machine.queue + machine.head
        for (index, word) in Descriptor.iotlbGlobal.widened(manner.isWide).words.enumerated() {
            machine.image[slot + UInt64(index) * 8] = word
        }
        let (first, second): (UInt64, UInt64) = lateIsClearedFirst ? (1 << 6, 1 << 4) : (1 << 4, 1 << 6)
        machine[0x34] = first
        machine.front.finishWorks()
        #expect(machine[0x34] == second && machine.head == 2 * manner.size)
        machine[0x34] = second
        machine.front.finishWorks()
        #expect(machine[0x34] == 0 && machine.head == machine.tail)
        #expect(devices.statusWord() == 2)
    }

    // MARK: Ports

    /// Status stores see the host's pool of ports empty, as a host that translates much may have it: the guest sees nothing of it.
    @Test(arguments: QueueManner.all) func aUnitWithoutSparePorts(_ manner: QueueManner) throws {
        let machine = try VTdMachine(processing: manner.processing) { $0.sizes.pooledPorts = 0 }
        let status = machine.image.allocatePage()
        machine.enableQueue(wide: manner.isWide)
        machine.submit(.iotlbGlobal, Descriptor(5 | 1 << 5 | 7 << 32, status))
        #expect(machine[0x34] == 0)
        #expect(machine.head == machine.tail)
        #expect(machine.image[status] == 7)
    }
}
