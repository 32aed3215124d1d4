// SPDX-License-Identifier: LGPL-2.1-or-later
//
// MutationLog - what happened to tables and caches in a replay, in order, so that it can be undone. Written by the replay's
// own thread only.

internal import IOMMUCapture

/// Everything that can change an answer, in order.
package struct MutationLog {
    /// One happening.
    enum Entry {
        /// A word of memory changed; the value before.
        case store(address: UInt64, old: UInt64)
        /// An invalidation was applied: index in ``EventStream/descriptors``.
        case invalidation(Int)
        /// Everything that was cached was dropped.
        case everything
    }

    private(set) var entries: [Entry] = []

    /// Changes a word and remembers what was there.
    package mutating func store(_ store: ReplayPlan.Store, in memory: TableMemory) {
        let old = memory.load(store.address) ?? 0
        guard old != store.value else { return }
        entries.append(.store(address: store.address, old: old))
        memory.store(store.value, at: store.address)
    }

    /// Remembers an invalidation.
    package mutating func invalidation(_ index: Int) {
        entries.append(.invalidation(index))
    }

    /// Remembers that everything was dropped. What came before cannot count any more.
    package mutating func everything() {
        entries = [.everything]
    }
}
