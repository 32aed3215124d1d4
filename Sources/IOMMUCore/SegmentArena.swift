// SPDX-License-Identifier: LGPL-2.1-or-later
//
// SegmentArena - where a port keeps the segments of requests that its first level does not answer in one piece. A stack:
// nested accesses of one port push and pop in order. Grows on a miss only, up to a limit, so that a guest cannot exhaust the
// host's memory with one long request.

public import CIOMMU

/// A port's stack of segments. Used by the port's thread only.
@safe
@usableFromInline
final class SegmentArena {
    /// Most segments of one request.
    static let limit = 65_536

    /// Changes when the arena grows, so nobody keeps it.
    @usableFromInline
    private(set) var base: UnsafeMutablePointer<ciommu_segment>

    private(set) var used = 0
    private var capacity = 64

    init() {
        unsafe base = .allocate(capacity: capacity)
    }

    deinit {
        unsafe base.deallocate()
    }

    /// Where the next segments may be written, and how many there is room for; at least one.
    func room() -> (base: UnsafeMutablePointer<ciommu_segment>, count: Int) {
        if used == capacity {
            let larger = UnsafeMutablePointer<ciommu_segment>.allocate(capacity: capacity * 2)
            unsafe larger.moveInitialize(from: base, count: used)
            unsafe base.deallocate()
            unsafe base = unsafe larger
            capacity *= 2
        }
        return unsafe (base + used, capacity - used)
    }

    /// Keeps `count` segments that were written to the room.
    func push(_ count: Int) {
        precondition(count <= capacity - used, "more segments than there was room for")
        used += count
    }

    /// Drops everything from `mark` on.
    @usableFromInline
    func pop(to mark: Int) {
        used = mark
    }
}
