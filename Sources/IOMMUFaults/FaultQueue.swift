// SPDX-License-Identifier: LGPL-2.1-or-later
//
// FaultQueue - the unread faults of one owner: to be polled, or waited for through a file descriptor. Handlers and
// sequences are built on it.

internal import CIOMMU
public import IOMMUCore
internal import Synchronization

// @unchecked: every C function on a queue is thread safe, and the handle's life is behind the lock of `state`.
/// The unread faults of one owner.
///
/// Any thread may call, at any time, but not from inside an access section of a port. It keeps its unit alive.
@safe
public final class FaultQueue: @unchecked Sendable {
    /// The unit whose faults it holds.
    public let unit: RemappingUnit

    private let state: Mutex<State>

    /// Protocol: calls count as users and use the handle outside of the lock. After ``close()`` nobody becomes a user;
    /// whoever is the last one, or ``close()`` itself, destroys the handle.
    @safe
    private struct State: @unchecked Sendable {
        var handle: OpaquePointer?
        var users = 0
        var isClosed = false
        /// What C calls; released after the C object is gone.
        var box: ReadyBox?

        /// What is to be destroyed, by whoever gets it.
        mutating func takeIfUnused() -> Remains? {
            guard isClosed, users == 0, let handle = unsafe handle else { return nil }
            unsafe self.handle = nil
            defer { box = nil }
            return unsafe Remains(pointer: handle, box: box)
        }
    }

    /// Makes a queue that is polled.
    ///
    /// - Throws: ``IOMMUError/occupied``: the device, or the unit, has a queue. ``IOMMUError/exists``: a device of the
    ///   unit, or another queue, has the id of the device in software. ``IOMMUError/otherUnit``;
    ///   ``IOMMUError/invalidArgument``; ``IOMMUError/noSpace`` with 65,536 queues; ``IOMMUError/noMemory``.
    public convenience init(
        of origin: FaultOrigin, in unit: RemappingUnit, options: FaultQueueOptions = FaultQueueOptions()
    ) throws(IOMMUError) {
        try self.init(of: origin, in: unit, options: options, ready: nil)
    }

    /// - Parameter ready: Something is there to be read, where nothing was. On the unit's event thread; must not wait.
    package init(
        of origin: FaultOrigin, in unit: RemappingUnit, options: FaultQueueOptions,
        ready: (@Sendable () -> Void)?
    ) throws(IOMMUError) {
        var config = unsafe try options.makeC()
        let box = ready.map(ReadyBox.init)
        if let box {
            unsafe config.ready = readyTrampoline
            unsafe config.context = Unmanaged.passUnretained(box).toOpaque()
        }
        var handle: OpaquePointer?
        let status =
            switch origin {
            case .device(let device):
                unsafe ciommu_fault_queue_create(unit.handle, device.handle, &config, &handle)
            case .rest:
                unsafe ciommu_fault_queue_create(unit.handle, nil, &config, &handle)
            case .software(let id):
                unsafe ciommu_fault_queue_create_software(unit.handle, id.rawValue, &config, &handle)
            }
        try IOMMUError.check(status)
        self.unit = unit
        state = unsafe Mutex(State(handle: handle, box: box))
    }

    deinit {
        close()
    }

    /// Ends the queue, with all that is in it: later faults go where they would without it. What is read is empty from
    /// now on. Calls that go on in other threads meanwhile come to their ends.
    public func close() {
        destroy(
            state.withLock { state in
                state.isClosed = true
                state.box?.isClosed.store(true, ordering: .relaxed)
                return state.takeIfUnused()
            })
    }

    /// Reads records, oldest first; fewer than `max` mean that nothing is left. It sees every fault whose translation
    /// returned before the call, so a host may poll with this alone.
    ///
    /// - Parameter max: At most this many, 1 to 4096; it is clamped.
    public func read(max: Int = 64) -> [FaultRecord] {
        let capacity = Swift.max(1, Swift.min(max, 4096))
        return use { handle in
            // Part by part: mostly there is nothing, and all places would have to be filled in.
            unsafe withUnsafeTemporaryAllocation(of: ciommu_fault_record.self, capacity: Swift.min(capacity, 8)) {
                buffer in
                unsafe buffer.initialize(repeating: .empty)
                var records: [FaultRecord] = []
                while records.count < capacity {
                    let wanted = Swift.min(buffer.count, capacity - records.count)
                    let count = unsafe Int(ciommu_fault_read(handle.pointer, buffer.baseAddress, UInt32(wanted)))
                    unsafe records.append(contentsOf: buffer.prefix(count).lazy.map { FaultRecord($0) })
                    if count < wanted { break }
                }
                return records
            }
        } ?? []
    }

    /// A file descriptor (eventfd) that is readable while there is something to be read, for epoll and poll. It belongs
    /// to the queue: the host waits for it, reads records and not the descriptor, and does not close it.
    ///
    /// - Throws: ``IOMMUError/noMemory``: no descriptor could be had. ``IOMMUError/closed``.
    public func fileDescriptor() throws(IOMMUError) -> Int32 {
        var descriptor: Int32 = -1
        try check(use { handle in unsafe ciommu_fault_queue_fd(handle.pointer, &descriptor) })
        return descriptor
    }

    /// The device reports a fault of its own; it comes out of the queue in its turn, with ``Fault/isFromDevice``.
    ///
    /// - Throws: ``IOMMUError/notOwned``: it names another device; or, of a device behind the IOMMU, a source id or a
    ///   PASID that is not its own. ``IOMMUError/unsupported``: the queue was made without places for reports.
    ///   ``IOMMUError/noSpace``: none is free; it counts as lost. ``IOMMUError/invalidArgument``: a fault without a
    ///   reason. ``IOMMUError/closed``.
    public func report(_ fault: Fault) throws(IOMMUError) {
        var wire = ciommu_fault(fault)
        try check(use { handle in unsafe ciommu_fault_report(handle.pointer, &wire) })
    }

    /// What it has seen so far; nil once it is closed.
    public var statistics: FaultStatistics? {
        use { handle in
            var statistics = ciommu_fault_queue_statistics()
            statistics.size = UInt32(MemoryLayout<ciommu_fault_queue_statistics>.size)
            unsafe ciommu_fault_queue_read_statistics(handle.pointer, &statistics)
            return FaultStatistics(statistics)
        }
    }

    /// Runs `body` with the handle, unless the queue is closed.
    private func use<Result>(_ body: (Handle) -> Result) -> Result? {
        let handle = state.withLock { state -> Handle? in
            guard !state.isClosed, let handle = unsafe state.handle else { return nil }
            state.users += 1
            return unsafe Handle(pointer: handle)
        }
        guard let handle else { return nil }
        defer {
            destroy(
                state.withLock { state in
                    state.users -= 1
                    return state.takeIfUnused()
                })
        }
        return body(handle)
    }

    private func destroy(_ remains: Remains?) {
        guard let remains else { return }
        unsafe ciommu_fault_queue_destroy(remains.pointer)
        extendLifetime(remains.box)
        extendLifetime(unit)
    }

    private func check(_ status: ciommu_status?) throws(IOMMUError) {
        guard let status else { throw .closed }
        try IOMMUError.check(status)
    }
}

// @unchecked: a pointer that is handed over once.
/// A queue that nobody uses any more, and what it calls.
@safe
private struct Remains: @unchecked Sendable {
    let pointer: OpaquePointer
    let box: ReadyBox?
}

// @unchecked: C's functions on it are thread safe.
/// A handle on its way out of the lock.
@safe
private struct Handle: @unchecked Sendable {
    let pointer: OpaquePointer
}

/// Keeps a closure at an address that C can hold.
private final class ReadyBox: Sendable {
    let ready: @Sendable () -> Void
    /// The queue is closed, perhaps from inside the call.
    let isClosed = Atomic(false)

    init(_ ready: @escaping @Sendable () -> Void) {
        self.ready = ready
    }
}

/// What C calls, on the unit's event thread; the box lives as long as the queue.
private func readyTrampoline(context: UnsafeMutableRawPointer?) {
    guard let context = unsafe context else { return }
    unsafe _ = Unmanaged<ReadyBox>.fromOpaque(context).retain()
    guard unsafe call(context) else {
        // The queue, which goes only after this call, has it too: this is not the last reference.
        unsafe Unmanaged<ReadyBox>.fromOpaque(context).release()
        return
    }
    // The call has closed the queue. Now the box may hold the last reference to the unit, and a unit that goes waits for
    // this thread. So it goes elsewhere.
    let address = UInt(bitPattern: context)
    Task.detached {
        guard let context = unsafe UnsafeMutableRawPointer(bitPattern: address) else { return }
        unsafe Unmanaged<ReadyBox>.fromOpaque(context).release()
    }
}

/// A function of its own, so that its reference to the box ends with it.
///
/// - Returns: The queue is closed.
@inline(never)
private func call(_ context: UnsafeMutableRawPointer) -> Bool {
    let box = unsafe Unmanaged<ReadyBox>.fromOpaque(context).takeUnretainedValue()
    box.ready()
    return box.isClosed.load(ordering: .relaxed)
}
