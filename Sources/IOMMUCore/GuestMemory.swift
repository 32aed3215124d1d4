// SPDX-License-Identifier: LGPL-2.1-or-later
//
// GuestMemory - maps output addresses to host memory. The engine touches nothing that is not registered here. Ranges may
// come and go while units run.

internal import CIOMMU
internal import Synchronization

// @unchecked: the C memory map is thread safe in every function; the Swift side is behind locks.
/// Output addresses of a guest and the host memory behind them. One may serve several units.
///
/// Any thread may call, at any time, but not from inside an access section of a port: most calls wait for sections.
@safe
public final class GuestMemory: @unchecked Sendable {
    package let handle: OpaquePointer
    /// Made here, and so destroyed with this object.
    private let isOwned: Bool
    private let hooks = Mutex(Hooks())

    /// What the library itself registered.
    let placements = Mutex(PlacementTable())

    /// The closures that C may still call. A hook whose replacement timed out stays until a later one is known to be in force.
    private struct Hooks {
        var current: DirtyLogHook?
        var retired: [DirtyLogHook] = []
    }

    /// Makes an empty map.
    ///
    /// - Throws: ``IOMMUError/noMemory``.
    public init() throws(IOMMUError) {
        var handle: OpaquePointer?
        try unsafe IOMMUError.check(ciommu_memory_create(&handle))
        unsafe self.handle = handle!
        isOwned = true
    }

    /// Takes a map that a C host made and destroys, after this object is gone.
    @unsafe
    package init(borrowing handle: OpaquePointer) {
        unsafe self.handle = handle
        isOwned = false
    }

    deinit {
        guard isOwned else { return }
        let status = unsafe ciommu_memory_destroy(handle)
        precondition(status == CIOMMU_OK, "every unit keeps its memory alive, so nothing can use this map")
    }

    /// Registers host memory at an output address. Every translation that starts after the return, in any unit, sees it.
    ///
    /// Unsafe: `host` must stay mapped until ``remove(at:count:)`` or ``replace(_:at:rights:)`` for the range returned without an
    /// error, or this object is gone.
    ///
    /// - Parameters:
    ///   - host: The memory; its count is a multiple of 4096 and not zero, its base a multiple of 8.
    ///   - address: Output address of the first byte, a multiple of 4096.
    ///   - rights: ``AccessRights/read`` or read and write.
    /// - Throws: ``IOMMUError/overlap``, ``IOMMUError/wraps``, ``IOMMUError/misaligned``, ``IOMMUError/invalidArgument``,
    ///   ``IOMMUError/noMemory``; ``IOMMUError/timedOut`` when it is registered, but an older section still runs without it.
    @unsafe
    public func add(
        _ host: UnsafeMutableRawBufferPointer, at address: OutputAddress, rights: AccessRights = [.read, .write]
    ) throws(IOMMUError) {
        var range = unsafe Self.range(host, at: address, rights: rights)
        try unsafe IOMMUError.check(ciommu_memory_add(handle, &range))
    }

    /// Gives a registered range other host memory or rights. After the return nobody uses the old memory any more.
    ///
    /// Unsafe for the same reason as ``add(_:at:rights:)``.
    ///
    /// - Parameters:
    ///   - host: The new memory; its count is that of the registered range.
    ///   - address: Output address of the registered range.
    ///   - rights: ``AccessRights/read`` or read and write.
    /// - Throws: ``IOMMUError/notFound``, ``IOMMUError/misaligned``, ``IOMMUError/invalidArgument``, ``IOMMUError/noMemory``;
    ///   ``IOMMUError/timedOut`` when the new memory is in force but the old may still be in use: call ``drain()`` until it
    ///   returns, then free the old memory.
    @unsafe
    public func replace(
        _ host: UnsafeMutableRawBufferPointer, at address: OutputAddress, rights: AccessRights = [.read, .write]
    ) throws(IOMMUError) {
        var range = unsafe Self.range(host, at: address, rights: rights)
        try unsafe IOMMUError.check(ciommu_memory_replace(handle, &range))
    }

    /// Removes a range, exactly as it was registered. After the return nobody uses its host memory any more. Translations to it
    /// still translate; they reach no host memory.
    ///
    /// - Throws: ``IOMMUError/notFound``; ``IOMMUError/invalidArgument`` for a negative count; ``IOMMUError/timedOut`` as for
    ///   ``replace(_:at:rights:)``.
    public func remove(at address: OutputAddress, count: Int) throws(IOMMUError) {
        guard let length = UInt64(exactly: count) else {
            throw .invalidArgument.with(detail: "a negative count of bytes")
        }
        try unsafe IOMMUError.check(ciommu_memory_remove(handle, address.rawValue, length))
    }

    /// Waits until every access section that began before the call, in every unit of this map, has ended. Then nobody uses memory
    /// that was removed or replaced before, also by an unmap that ended with ``IOMMUError/timedOut``.
    ///
    /// - Throws: ``IOMMUError/timedOut``; ``IOMMUError/noMemory`` when memory of such an unmap is still registered.
    public func drain() throws(IOMMUError) {
        let released = try finishReleases()
        try unsafe IOMMUError.check(ciommu_memory_drain(handle))
        forget(released)
    }

    /// Sets, replaces or clears (nil) the closure that hears of every write the engine itself makes to registered memory:
    /// accessed and dirty bits, and the copy helpers. After the return the old closure is not called again.
    ///
    /// The closure gets output address and count of the bytes, possibly more than was written, never less. It runs when the
    /// section that wrote ends, on the writer's thread, and must not call this method. What a host writes through
    /// ``Segments`` it reports itself.
    ///
    /// - Throws: ``IOMMUError/noMemory``; ``IOMMUError/timedOut`` when the new closure is in force but the old may still be
    ///   called.
    public func setDirtyLog(_ log: (@Sendable (OutputAddress, Int) -> Void)?) throws(IOMMUError) {
        let hook = log.map(DirtyLogHook.init)
        // The closures that end here are handed out of the lock: what they captured may run code when released.
        var released: [DirtyLogHook] = []
        defer { extendLifetime(released) }
        try hooks.withLock { hooks throws(IOMMUError) in
            let context = unsafe hook.map { unsafe Unmanaged.passUnretained($0).toOpaque() }
            let status = unsafe ciommu_memory_set_dirty_log(
                handle, hook == nil ? nil : dirtyLogTrampoline, context)
            guard status == CIOMMU_OK || status == CIOMMU_TIMED_OUT else { throw IOMMUError(status) }
            if let old = hooks.current {
                hooks.retired.append(old)
            }
            hooks.current = hook
            try IOMMUError.check(status)
            released = hooks.retired
            hooks.retired = []
        }
    }

    static func range(
        _ host: UnsafeMutableRawBufferPointer, at address: OutputAddress, rights: AccessRights
    ) -> ciommu_memory_range {
        unsafe ciommu_memory_range(
            size: UInt32(MemoryLayout<ciommu_memory_range>.size), rights: rights.rawValue, address: address.rawValue,
            length: UInt64(host.count), host: host.baseAddress)
    }
}

/// Keeps a closure at an address that C can hold.
private final class DirtyLogHook: Sendable {
    let log: @Sendable (OutputAddress, Int) -> Void

    init(_ log: @escaping @Sendable (OutputAddress, Int) -> Void) {
        self.log = log
    }
}

/// What C calls; `context` is a hook that its memory map keeps alive.
private func dirtyLogTrampoline(context: UnsafeMutableRawPointer?, address: UInt64, length: UInt64) {
    guard let context = unsafe context else { return }
    let hook = unsafe Unmanaged<DirtyLogHook>.fromOpaque(context).takeUnretainedValue()
    hook.log(OutputAddress(address), Int(clamping: length))
}
