// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Observers: closures that hear of every invalidation after it took effect, for device-TLBs and for shadowing elsewhere.

internal import CIOMMU

/// Names an observer of one unit.
public struct ObserverToken: Hashable, Sendable {
    /// Never used twice, so that a stale token cannot remove somebody else's observer.
    let serial: UInt64
    let unit: ObjectIdentifier
}

/// The closures that C may call, each under the serial number of its token.
struct ObserverTable {
    var last: UInt64 = 0
    var entries: [UInt64: (id: UInt32, box: ObserverBox)] = [:]
}

/// Keeps a closure at an address that C can hold.
final class ObserverBox: Sendable {
    let observer: @Sendable (Invalidation) -> Void

    init(_ observer: @escaping @Sendable (Invalidation) -> Void) {
        self.observer = observer
    }
}

extension RemappingUnit {
    /// Registers a closure that hears of every invalidation after it took effect, on the invalidating thread, outside locks and
    /// sections. It may call the unit, but must not remove itself. The unit keeps it: if it captures the unit, remove it.
    ///
    /// - Throws: ``IOMMUError/noMemory``.
    public func addObserver(
        _ observer: @escaping @Sendable (Invalidation) -> Void
    ) throws(IOMMUError) -> ObserverToken {
        let box = ObserverBox(observer)
        var id: UInt32 = 0
        // The box is alive here until it is in the table, so a call that comes at once finds it.
        try unsafe IOMMUError.check(
            ciommu_observer_add(handle, observerTrampoline, Unmanaged.passUnretained(box).toOpaque(), &id))
        let serial = observers.withLock { table in
            table.last += 1
            table.entries[table.last] = (id, box)
            return table.last
        }
        return ObserverToken(serial: serial, unit: ObjectIdentifier(self))
    }

    /// Removes an observer: after the return no call to it runs or will start. Waits for running calls, so it must not be called
    /// from inside the observer.
    ///
    /// - Throws: ``IOMMUError/notFound`` for a token of another unit or of an observer that is gone.
    public func removeObserver(_ token: ObserverToken) throws(IOMMUError) {
        guard token.unit == ObjectIdentifier(self),
            let (id, box) = observers.withLock({ $0.entries.removeValue(forKey: token.serial) })
        else { throw .notFound }
        // Out of the table first: C may give the id to another observer as soon as this one is gone.
        let status = unsafe ciommu_observer_remove(handle, id)
        precondition(status == CIOMMU_OK, "the table holds registered observers only")
        extendLifetime(box)
    }
}

/// What C calls; `context` is a box that its unit keeps alive.
private func observerTrampoline(context: UnsafeMutableRawPointer?, invalidation: UnsafePointer<ciommu_invalidation>?) {
    guard let context = unsafe context, let invalidation = unsafe invalidation else { return }
    let box = unsafe Unmanaged<ObserverBox>.fromOpaque(context).takeUnretainedValue()
    box.observer(Invalidation(unsafe invalidation.pointee))
}
