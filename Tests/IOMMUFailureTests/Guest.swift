// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A guest behind a virtual unit, in scalable mode: its tables, what its driver writes, and its device.

import IOMMU
import IOMMUTestSupport
import Synchronization
import Testing
import VirtualVTd

/// What a unit signalled, and what a device was answered.
final class Heard: Sendable {
    private let signals = Mutex<[UInt32]>([])
    private let answers = Mutex<[PageAnswer]>([])

    func signal(_ data: UInt32) { signals.withLock { $0.append(data) } }
    func answer(_ answer: PageAnswer) { answers.withLock { $0.append(answer) } }

    var signalled: [UInt32] { signals.withLock { $0 } }
    var responses: [PageResponse] { answers.withLock { $0.map(\.response) } }
}

/// One guest, one thread.
final class Guest {
    static let source: UInt16 = 0x18
    static let page: UInt64 = 0x40000

    let image: GuestImage
    let front: VirtualVTd
    let port: Port
    let interface: PageRequestInterface
    let heard = Heard()
    let tables: PagingTables
    let outputs: [UInt64]
    let queue: UInt64
    let status: UInt64
    let pageQueue: UInt64
    private let builder: TableBuilder
    var tail: UInt64 = 0

    /// - Parameter other: The same guest elsewhere, whose memory this one has.
    init(_ processing: VirtualVTd.Processing, movedFrom other: Guest? = nil) throws {
        image = other?.image ?? GuestImage()
        let memory = try GuestMemory()
        try image.register(in: memory)
        var configuration = VirtualVTd.Configuration()
        configuration.processing = processing
        configuration.sizes = TestBench.smallCaches
        let heard = heard
        front = try VirtualVTd(
            configuration, memory: memory, host: .init(signal: { _, data in heard.signal(data) }))
        port = try front.unit.makePort()
        interface = try PageRequestInterface(
            unit: front.unit, configuration: .init(source: SourceID(UInt32(Self.source)), device: 5),
            handler: heard.answer)
        if let other {
            (builder, tables, outputs) = (other.builder, other.tables, other.outputs)
            (queue, status, pageQueue, tail) = (other.queue, other.status, other.pageQueue, other.tail)
            return
        }
        builder = TableBuilder(image, isScalable: true)
        tables = PagingTables(.second, levels: 4, in: image)
        (tables.leafFlags, tables.tableFlags) = (3, 3)
        outputs = [image.allocatePage(), image.allocatePage()]
        (queue, status, pageQueue) = (image.allocatePage(), image.allocatePage(), image.allocatePage())
        var context = ScalableContext()
        context.allowsPageRequests = true
        builder.setContext(Self.source, context)
        var entry = PASIDEntry()
        entry.type = .second
        entry.secondRoot = tables.root
        builder.setPASID(Self.source, pasid: 0, entry)
        point(to: 0)
    }

    func point(to output: Int) { tables.map(Self.page, to: outputs[output]) }

    // MARK: Registers

    func read(_ offset: Int, size: Int = 4) -> UInt64 { front.read(offset, size: size) }

    func write(_ offset: Int, _ value: UInt64, size: Int = 4) throws {
        try front.write(offset, size: size, value)
        front.finishWorks()
    }

    /// The level bits as they stand, and one more.
    func command(_ bit: UInt64) throws {
        try write(0x18, read(0x1c) & 0x96ff_ffff | 1 << bit)
    }

    func isSet(_ bit: UInt64) -> Bool { read(0x1c) >> bit & 1 == 1 }

    func setRoot() throws {
        try write(0x20, builder.rootRegister, size: 8)
        try command(30)
    }

    func enableQueue() throws {
        tail = 0
        try write(0x88, 0)
        try write(0x90, queue | 1 << 11, size: 8)
        try command(26)
        try write(0xd0, pageQueue, size: 8)
    }

    /// Puts descriptors of 256 bits into the queue.
    func submit(_ descriptors: Descriptor...) throws {
        for descriptor in descriptors {
            for (index, word) in descriptor.widened(true).words.enumerated() {
                image[queue + tail + UInt64(index) * 8] = word
            }
            tail = (tail + 32) % 4096
        }
        try write(0x88, tail)
    }

    /// A wait that stores a number.
    func wait(_ number: UInt64) -> Descriptor { Descriptor(5 | 1 << 5 | 1 << 4 | number << 32, status) }

    /// Everything but the queue's on: translation, and events.
    func start() throws {
        try setRoot()
        try command(31)
        for (control, data): (Int, UInt64) in [(0x38, 0x21), (0xa0, 0x22), (0xe0, 0x23)] {
            try write(control + 4, data)
            try write(control + 8, 0xfee0_0000)
            try write(control, 0)
        }
    }

    // MARK: The device

    /// Where its page is; nil for a fault.
    func output(_ page: UInt64 = Guest.page, source: UInt16 = Guest.source) throws -> UInt64? {
        try port.translate(IOVA(page), access: .read, source: SourceID(UInt32(source))).translation?.address.rawValue
    }

    func ask(group: Int) throws {
        try interface.request(PageRequest(IOVA(0x5000), access: .read, pasid: pasid(3), group: group))
        front.finishWorks()
    }

    /// The guest's answer to a group.
    func response(_ group: UInt64) -> Descriptor {
        Descriptor(9 | 1 << 4 | UInt64(Self.source) << 16 | 3 << 32, group << 3)
    }
}
