// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Port - a thread's way into a unit: owns the C port, with its first-level cache, walk caches, fault ring and section word.
// The one place where the C interface is public, so that a hit inlines into the host (Port+Translate, Port+Access, Segments).

public import CIOMMU

// @safe: the handle is private to this module, made once, and destroyed with this object.
/// A thread's way into a unit.
///
/// One thread uses a port at a time. It may move between threads if the host orders the hand-over, which is what the compiler
/// asks for: a port is not `Sendable` and can only be *sent*.
@safe
public final class Port {
    @usableFromInline
    package let handle: OpaquePointer

    @usableFromInline
    let arena: SegmentArena

    /// The unit that this port leads into; kept alive.
    public let unit: RemappingUnit

    init(handle: OpaquePointer, unit: RemappingUnit) {
        unsafe self.handle = unsafe handle
        self.unit = unit
        arena = SegmentArena()
    }

    deinit {
        let status = unsafe ciommu_port_destroy(handle)
        precondition(status == CIOMMU_OK, "a section keeps its port alive, so none can be open")
    }

    /// Small number that names the port in reports; no other port of the unit has it meanwhile.
    public var id: UInt32 {
        unsafe ciommu_port_id(handle)
    }

    /// Runs `body` inside one access section of this port. Accesses and translations in it then cost no enter and leave of their
    /// own.
    ///
    /// Until `body` returns, every invalidation and every change of the memory map waits: `body` must be short, and must not wait
    /// for anybody who invalidates. That includes page faults on registered memory that a user-space resolver answers.
    @inlinable
    public func withSection<Result: ~Copyable, Failure: Error>(
        _ body: () throws(Failure) -> Result
    ) throws(Failure) -> Result {
        enter()
        defer { leave() }
        return try body()
    }

    /// Takes recorded faults of this port, oldest first: for hosts without fault queues. Where the unit has any, what is taken
    /// here does not reach them, and what they have collected is not here.
    ///
    /// - Parameter max: At most this many, at least 1.
    /// - Returns: The faults, and how many were lost to a full ring since the port was made.
    public func takeFaults(max: Int = 64) -> (faults: [Fault], lost: UInt64) {
        precondition(max > 0, "asks for no faults")
        let capacity = min(max, unit.configuration.faultEntries)
        var lost: UInt64 = 0
        let faults = unsafe withUnsafeTemporaryAllocation(of: ciommu_fault.self, capacity: capacity) { buffer in
            unsafe buffer.initialize(repeating: .empty)
            let count = unsafe ciommu_port_take_faults(handle, buffer.baseAddress, UInt32(capacity), &lost)
            return unsafe buffer.prefix(Int(count)).map(Fault.init)
        }
        return (faults, lost)
    }

    /// Is a section of this port open? For the thread that uses the port.
    @inlinable
    @inline(__always)
    public var isInside: Bool {
        unsafe UnsafePointer<ciommu_port_head>(handle).pointee.depth != 0
    }

    /// Enters a section. Debug builds call the function, which notes the thread: calls that wait for sections then refuse instead
    /// of waiting for their own caller. Release builds inline it and note nothing.
    @inlinable
    @inline(__always)
    func enter() {
        #if DEBUG
            unsafe ciommu_port_enter(handle)
        #else
            unsafe ciommu_enter(handle)
        #endif
    }

    /// Leaves a section; uses `self`, so that the port outlives it.
    @inlinable
    @inline(__always)
    func leave() {
        unsafe ciommu_leave(handle)
        extendLifetime(self)
    }
}

@available(*, unavailable, message: "a port is used by one thread at a time; send it instead")
extension Port: Sendable {}
