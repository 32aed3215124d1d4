// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A machine around a virtual unit: guest memory, the interrupts that it raised, and what a driver does with its registers.

import Dispatch
import IOMMU
import IOMMUTestSupport
import Synchronization
import Testing
import VirtualVTd

import class Foundation.ProcessInfo
import class Foundation.Thread

/// What the unit signalled.
final class Signals: Sendable {
    private let data = Mutex<[UInt32]>([])

    func append(_ value: UInt32) { data.withLock { $0.append(value) } }

    /// The data of the messages since the last call.
    func take() -> [UInt32] {
        data.withLock { data in
            defer { data = [] }
            return data
        }
    }
}

/// Which entries of the interrupt-remapping table the unit said had changed.
final class EntryLog: Sendable {
    private let ranges = Mutex<[ClosedRange<Int>]>([])

    func append(_ range: ClosedRange<Int>) { ranges.withLock { $0.append(range) } }

    /// The ranges since the last call.
    func take() -> [ClosedRange<Int>] {
        ranges.withLock { ranges in
            defer { ranges = [] }
            return ranges
        }
    }
}

/// Waits until something has been seen. The limit is for what never comes; no test passes or fails by how long it takes. Where a rule is
/// broken on purpose (BrokenRule) something never comes.
func eventually(_ what: String, _ isSeen: () -> Bool) {
    let isSound = ProcessInfo.processInfo.environment["IOMMU_BROKEN_RULE"] == nil
    for _ in 0..<(isSound ? 120_000 : 5_000) {
        if isSeen() { return }
        Thread.sleep(forTimeInterval: 0.001)
    }
    Issue.record("never seen: \(what)")
}

/// Runs `body` on so many threads at once, each of its own: they may wait for each other.
func onThreads(_ count: Int, _ body: @escaping @Sendable (Int) -> Void) {
    let group = DispatchGroup()
    for thread in 0..<count {
        group.enter()
        Thread.detachNewThread {
            body(thread)
            group.leave()
        }
    }
    group.wait()
}

/// One unit, as a guest's driver sees it. One thread.
final class VTdMachine {
    let image: GuestImage
    let memory: GuestMemory
    let front: VirtualVTd
    let port: Port
    let signals = Signals()
    let changedEntries = EntryLog()
    let queue: UInt64
    private(set) var tail: UInt64 = 0
    private var queueShift: UInt64 = 0
    private(set) var isWide = false

    init(
        _ capabilities: Capabilities = .full, version: UInt8 = 0x10, processing: VirtualVTd.Processing = .inline,
        image: GuestImage = GuestImage(), configure: (inout VirtualVTd.Configuration) -> Void = { _ in },
        invalidated: (@Sendable (Invalidation) -> Void)? = nil
    ) throws {
        self.image = image
        memory = try GuestMemory()
        try image.register(in: memory)
        var configuration = VirtualVTd.Configuration(capabilities: capabilities)
        configuration.version = version
        configuration.processing = processing
        configuration.sizes = TestBench.smallCaches
        configure(&configuration)
        let (signals, changedEntries) = (signals, changedEntries)
        front = try VirtualVTd(
            configuration, memory: memory,
            host: VirtualVTd.Host(
                signal: { _, data in signals.append(data) },
                interruptEntriesChanged: { changedEntries.append($0) }, invalidated: invalidated))
        port = try front.unit.makePort()
        queue = image.allocatePage()
    }

    // MARK: Registers, by the offsets of the specification

    subscript(_ offset: Int) -> UInt64 {
        get { front.read(offset, size: 4) }
        set { write(offset, newValue) }
    }

    func write(_ offset: Int, _ value: UInt64, size: Int = 4) {
        do throws(IOMMUError) {
            try front.write(offset, size: size, value)
        } catch {
            preconditionFailure("\(error)")
        }
    }

    func read64(_ offset: Int) -> UInt64 { front.read(offset, size: 8) }

    /// Issues a global command as a driver does: the level bits as they stand, and one more.
    func command(set: UInt64 = 0, clear: UInt64 = 0) {
        write(0x18, self[0x1c] & 0x96ff_ffff & ~clear | set)
        front.finishWorks()
    }

    // MARK: The queue

    /// Switches the queue on, with one page of descriptors.
    func enableQueue(wide: Bool = false) {
        isWide = wide
        queueShift = wide ? 5 : 4
        tail = 0
        write(0x88, 0)
        write(0x90, queue | (wide ? 1 << 11 : 0), size: 8)
        command(set: 1 << 26)
    }

    /// Puts descriptors into the queue, wrapping at its end, and moves the tail.
    func submit(_ descriptors: Descriptor...) {
        put(descriptors)
        write(0x88, tail)
        front.finishWorks()
    }

    /// The same without moving the register.
    func put(_ descriptors: [Descriptor]) {
        for descriptor in descriptors {
            for (index, word) in descriptor.widened(isWide).words.enumerated() {
                image[queue + tail + UInt64(index) * 8] = word
            }
            tail = (tail + 1 << queueShift) % 4096
        }
    }

    var head: UInt64 { read64(0x80) }

    // MARK: Page requests

    /// Lets these sources ask for pages: tables, translation, and both queues on.
    ///
    /// - Returns: Where the page-request queue lies.
    func enablePageRequests(of sources: UInt16...) -> UInt64 {
        let builder = TableBuilder(image, isScalable: true)
        var context = ScalableContext()
        context.allowsPageRequests = true
        for source in sources { builder.setContext(source, context) }
        write(0x20, builder.rootRegister, size: 8)
        command(set: 1 << 30)
        command(set: 1 << 31)
        enableQueue(wide: true)
        let queue = image.allocatePage()
        write(0xd0, queue, size: 8)
        return queue
    }

    // MARK: Faults

    /// Makes a request that faults: nothing is mapped for anybody.
    func fault(_ source: UInt16) {
        _ = try? port.translate(0x1000, access: .read, source: SourceID(UInt32(source)))
        front.collectFaults()
    }

    /// Events of all kinds go to the message with these data.
    func unmask(fault: UInt64? = nil, completion: UInt64? = nil, pageRequest: UInt64? = nil) {
        for (control, data) in [(0x38, fault), (0xa0, completion), (0xe0, pageRequest)] {
            guard let data else { continue }
            write(control + 4, data)
            write(control + 8, 0xfee0_0000)
            write(control, 0)
        }
    }
}

// @unchecked: one thread uses it.
/// A port for a thread of its own.
final class PortBox: @unchecked Sendable {
    let port: Port

    init(_ port: sending Port) {
        self.port = port
    }
}

// @unchecked: one thread uses it.
/// A machine for a thread of its own.
struct MachineBox: @unchecked Sendable {
    let machine: VTdMachine
}
