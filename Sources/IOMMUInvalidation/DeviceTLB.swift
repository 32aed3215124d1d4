// SPDX-License-Identifier: LGPL-2.1-or-later
//
// DeviceTLB - a device's own cache of translations (ATS): it is asked whenever what it may hold ends. Owns the C
// device-TLB.

internal import CIOMMU
public import IOMMUCore
internal import Synchronization

// @unchecked: every C function on a device-TLB is thread safe, and the handle's life is behind the lock of `state`.
/// A device's own cache of translations (ATS), known to its unit from its making to ``close(port:)``.
///
/// Unmap, protect, replace and detach of what translates the device, and a guest's device-TLB descriptors, ask the
/// device through the handler, and return when it has answered. A device that does not answer in time is blocked: its
/// requests fault as if nothing were attached, so that what was promised holds without its answer, until
/// ``retry(port:)`` or ``reset(port:)``.
///
/// Any thread may call, at any time, but not from inside an access section of a port, nor from the handler, unless said
/// otherwise. It keeps its unit alive; the handler is kept until ``close(port:)`` returned: a handler that captures
/// this object keeps both alive until then.
@safe
public final class DeviceTLB: @unchecked Sendable {
    /// Whose translations it holds, and how it is asked.
    public let configuration: Configuration

    /// The unit that asks.
    public let unit: RemappingUnit

    private let state: Mutex<State>

    /// Protocol: short calls use the handle under the lock; calls that may ask the device count as users and run
    /// outside of it. The handle is destroyed by whoever takes it out, which is possible without users only.
    @safe
    private struct State: @unchecked Sendable {
        var handle: OpaquePointer?
        var users = 0
        /// What C calls; released after the C object is gone.
        var box: DeviceTLBBox?
    }

    /// Makes a device's cache known (ATS is switched on).
    ///
    /// - Parameters:
    ///   - unit: The unit that the device is behind.
    ///   - configuration: Whose cache it is.
    ///   - handler: Asks the device to drop translations and returns at once; the answer may come from inside it.
    ///     Called on an invalidating thread, outside locks and sections, possibly on several at a time.
    /// - Throws: ``IOMMUError/overlap`` when another one covers part of it; ``IOMMUError/unsupported`` without ECAP.DT;
    ///   ``IOMMUError/invalidArgument`` for a value out of its range; ``IOMMUError/noMemory``; beside one that
    ///   ``Configuration/sharesSource``, ``IOMMUError/timedOut`` when that one or an access section was late: nothing was
    ///   made.
    public init(
        unit: RemappingUnit, configuration: Configuration, handler: @escaping @Sendable (DeviceTLBRequest) -> Void
    ) throws(IOMMUError) {
        var config = unsafe try configuration.makeC(unit)
        let box = DeviceTLBBox(unit, handler, configuration.clock)
        let context = unsafe Unmanaged.passUnretained(box).toOpaque()
        unsafe config.handler = handlerTrampoline
        unsafe config.context = context
        unsafe config.clock = configuration.clock == nil ? nil : clockTrampoline
        unsafe config.clock_context = context
        var handle: OpaquePointer?
        let status = unsafe ciommu_device_tlb_create(unit.handle, &config, &handle)
        guard status == CIOMMU_OK else { throw Self.error(status, configuration, unit) }
        self.configuration = configuration
        self.unit = unit
        state = unsafe Mutex(State(handle: handle, box: box))
    }

    /// Makes a device's cache known, with a device that answers asynchronously; otherwise as
    /// ``init(unit:configuration:handler:)``.
    ///
    /// The tasks need a thread of the Swift runtime: when all of them are in calls that wait for device-TLBs (unmap,
    /// detach, apply, and the calls here), none is left to answer, and the device is late. So make such calls on
    /// threads of the host's own, or submit batches instead of applying them.
    ///
    /// - Parameter answer: Asks the device, in a task of its own for each request; what it returns is the answer: see
    ///   ``DeviceTLBRequest/answer(fine:)``. Requests may overtake each other.
    public convenience init(
        unit: RemappingUnit, configuration: Configuration,
        answeringWith answer: @escaping @Sendable (DeviceTLBRequest) async -> Bool
    ) throws(IOMMUError) {
        try self.init(unit: unit, configuration: configuration) { request in
            Task {
                request.answer(fine: await answer(request))
            }
        }
    }

    deinit {
        // A time-out here is the host's to care for: it gave the device up without `close`.
        let handle = unsafe state.withLock { unsafe $0.handle.map { unsafe Handle(pointer: $0) } }
        unsafe _ = ciommu_device_tlb_destroy(handle?.pointer, nil)
    }

    /// Switches ATS off: asks the device to drop everything, waits, and forgets it. Without this call it happens when
    /// nothing refers to this object any more.
    ///
    /// - Parameter port: The caller's own port, if it has one: then a call from inside its section is refused.
    /// - Throws: ``IOMMUError/timedOut``: it is forgotten all the same, and what the device may hold is the host's to
    ///   care for: reset it. Otherwise nothing changed: ``IOMMUError/notFound`` when closed already;
    ///   ``IOMMUError/inUse`` while another thread is in ``retry(port:)`` or ``reset(port:)``;
    ///   ``IOMMUError/inSection``; ``IOMMUError/invalidArgument`` for another unit's port.
    public func close(port: Port? = nil) throws(IOMMUError) {
        try unit.checkOwner(of: port)
        let (handle, box) = unsafe try state.withLock { (state) throws(IOMMUError) -> (Handle, DeviceTLBBox?) in
            guard let handle = unsafe state.handle else { throw .notFound }
            guard state.users == 0 else { throw .inUse }
            unsafe state.handle = nil
            defer { state.box = nil }
            return unsafe (Handle(pointer: handle), state.box)
        }
        let status = unsafe ciommu_device_tlb_destroy(handle.pointer, port?.handle)
        if status != CIOMMU_OK && status != CIOMMU_TIMED_OUT {
            state.withLock { state in
                unsafe state.handle = handle.pointer
                state.box = box
            }
        }
        extendLifetime(box)
        extendLifetime(port)
        try check(status)
    }

    /// The device did not answer in time and is blocked. False after ``close(port:)``. May be called from anywhere.
    public var isBlocked: Bool {
        state.withLock { state in
            guard let handle = unsafe state.handle else { return false }
            return unsafe ciommu_device_tlb_is_blocked(handle)
        }
    }

    /// What it did so far; all zero after ``close(port:)``. May be called from anywhere.
    public var statistics: DeviceTLBStatistics {
        var statistics = ciommu_device_tlb_statistics()
        statistics.size = UInt32(MemoryLayout<ciommu_device_tlb_statistics>.size)
        state.withLock { state in
            guard let handle = unsafe state.handle else { return }
            unsafe ciommu_device_tlb_read_statistics(handle, &statistics)
        }
        return DeviceTLBStatistics(statistics)
    }

    /// Answers a request by its id: as ``DeviceTLBRequest/answer(fine:)``. May be called from anywhere.
    @discardableResult
    public func answer(_ id: UInt64, fine: Bool = true) -> Bool {
        unit.answerDeviceTLB(id, fine: fine)
    }

    /// Asks the device to drop everything. When it answers in time it is no longer blocked.
    ///
    /// - Parameter port: The caller's own port, if it has one.
    /// - Throws: ``IOMMUError/timedOut``: it did not, and is still blocked. ``IOMMUError/notFound`` when closed;
    ///   ``IOMMUError/inSection``; ``IOMMUError/invalidArgument`` for another unit's port.
    public func retry(port: Port? = nil) throws(IOMMUError) {
        try unsafe use(port) { handle, port in unsafe ciommu_device_tlb_retry(handle, port) }
    }

    /// The device was reset by other means and holds nothing: it is no longer blocked, and its open requests are void.
    ///
    /// Until this returns the device must store no answer, not even one that an open section was given.
    ///
    /// - Parameter port: The caller's own port, if it has one.
    /// - Throws: ``IOMMUError/timedOut``: a section from before it was blocked had not ended, or it was blocked again; it
    ///   stays blocked, and is to be reset once more. ``IOMMUError/notFound`` when closed; ``IOMMUError/inSection``;
    ///   ``IOMMUError/invalidArgument`` for another unit's port.
    public func reset(port: Port? = nil) throws(IOMMUError) {
        try unsafe use(port) { handle, port in unsafe ciommu_device_tlb_reset(handle, port) }
    }

    /// Uses the handle outside of the lock, because the call may end up in the handler.
    private func use(
        _ port: Port?, _ body: (OpaquePointer, OpaquePointer?) -> ciommu_status
    ) throws(IOMMUError) {
        try unit.checkOwner(of: port)
        let handle = unsafe try state.withLock { (state) throws(IOMMUError) -> Handle in
            guard let handle = unsafe state.handle else { throw .notFound }
            state.users += 1
            return unsafe Handle(pointer: handle)
        }
        defer { state.withLock { $0.users -= 1 } }
        let status = unsafe body(handle.pointer, port?.handle)
        extendLifetime(port)
        try check(status)
    }

    /// Throws unless `status` is CIOMMU_OK, and says whose answer is missing.
    private func check(_ status: ciommu_status) throws(IOMMUError) {
        guard status != CIOMMU_OK else { return }
        let error = IOMMUError(status)
        guard error == .timedOut else { throw error }
        throw error.with(
            detail: "device \(configuration.device) (source \(configuration.source)) did not answer in time")
    }

    /// A handle that leaves the lock.
    @unsafe
    private struct Handle: @unchecked Sendable {
        let pointer: OpaquePointer
    }

    /// Says which rule the arguments broke.
    private static func error(
        _ status: ciommu_status, _ configuration: Configuration, _ unit: RemappingUnit
    ) -> IOMMUError {
        let error = IOMMUError(status)
        switch error {
        case .unsupported where !unit.capabilities.deviceTLBs:
            return error.with(detail: "a device-TLB needs ECAP.DT")
        case .timedOut:
            return error.with(
                detail: "the parent's device-TLB of source \(configuration.source), or an access section, was late; "
                    + "nothing was made")
        case .overlap:
            let which = configuration.pasids.map { "PASIDs \($0.lowerBound)...\($0.upperBound) of " } ?? ""
            return error.with(detail: "another device-TLB covers part of \(which)source \(configuration.source)")
        default:
            return error
        }
    }
}

/// Keeps closures at an address that C can hold.
final class DeviceTLBBox: Sendable {
    let unit: RemappingUnit
    let handler: @Sendable (DeviceTLBRequest) -> Void
    let clock: (@Sendable () -> UInt64)?

    init(
        _ unit: RemappingUnit, _ handler: @escaping @Sendable (DeviceTLBRequest) -> Void,
        _ clock: (@Sendable () -> UInt64)?
    ) {
        self.unit = unit
        self.handler = handler
        self.clock = clock
    }
}

/// What C calls; `context` is a box that its device-TLB keeps alive.
private func handlerTrampoline(
    context: UnsafeMutableRawPointer?, request: UnsafePointer<ciommu_device_tlb_request>?
) {
    guard let context = unsafe context, let request = unsafe request else { return }
    let box = unsafe Unmanaged<DeviceTLBBox>.fromOpaque(context).takeUnretainedValue()
    box.handler(DeviceTLBRequest(unsafe request.pointee, box.unit))
}

private func clockTrampoline(context: UnsafeMutableRawPointer?) -> UInt64 {
    guard let context = unsafe context else { return 0 }
    return unsafe Unmanaged<DeviceTLBBox>.fromOpaque(context).takeUnretainedValue().clock?() ?? 0
}
