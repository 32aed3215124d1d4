// SPDX-License-Identifier: LGPL-2.1-or-later
//
// PageSignal - tells tasks that there may be a group to be read; and the asynchronous sequence of a queue's groups.

internal import Synchronization

/// Protocol: whoever is to wait notes the count before it looks for a group; `wait` returns at once if it has moved, so
/// nothing that came between is missed. Continuations are resumed outside of the lock.
final class PageSignal: Sendable {
    private struct State {
        var count: UInt64 = 0
        var hasEnded = false
        var name: UInt64 = 0
        var waiters: [UInt64: CheckedContinuation<Void, Never>] = [:]
        /// Tasks that were cancelled before they waited.
        var cancelled: Set<UInt64> = []
    }

    private let state = Mutex(State())

    var count: UInt64 { state.withLock { $0.count } }

    func notify() {
        resume { $0.count += 1 }
    }

    func end() {
        resume { state in
            state.count += 1
            state.hasEnded = true
        }
    }

    private func resume(_ change: (inout State) -> Void) {
        let waiters = state.withLock { state in
            change(&state)
            return replace(&state.waiters, with: [:])
        }
        for waiter in waiters.values { waiter.resume() }
    }

    /// Waits until the count is another than `count`, the end, or the task's cancellation.
    func wait(after count: UInt64) async {
        let name = state.withLock { state in
            state.name += 1
            return state.name
        }
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let isOver = state.withLock { state in
                    if state.cancelled.remove(name) != nil || state.count != count || state.hasEnded { return true }
                    state.waiters[name] = continuation
                    return false
                }
                if isOver {
                    continuation.resume()
                }
            }
        } onCancel: {
            let waiter = state.withLock { state in
                let waiter = state.waiters.removeValue(forKey: name)
                if waiter == nil {
                    state.cancelled.insert(name)
                }
                return waiter
            }
            waiter?.resume()
        }
        _ = state.withLock { $0.cancelled.remove(name) }
    }
}

extension PageQueue {
    /// The groups of a queue without a handler, as they come. Several iterations share them. It ends with the queue, or
    /// when the task is cancelled. An iteration does not keep the queue alive.
    public struct Groups: AsyncSequence, Sendable {
        /// Gives out the groups.
        public struct Iterator: AsyncIteratorProtocol {
            fileprivate let core: PageQueueCore

            /// The next group; nil when the queue has ended or the task is cancelled.
            public mutating func next() async -> PageGroup? {
                while !Task.isCancelled {
                    let count = core.box.signal.count
                    do {
                        if let group = try core.read() { return group }
                    } catch {
                        return nil
                    }
                    await core.box.signal.wait(after: count)
                }
                return nil
            }
        }

        fileprivate let core: PageQueueCore

        /// Begins an iteration.
        public func makeAsyncIterator() -> Iterator {
            Iterator(core: core)
        }
    }

    /// The groups as they come, for a queue without a handler.
    public var groups: Groups {
        Groups(core: core)
    }
}
