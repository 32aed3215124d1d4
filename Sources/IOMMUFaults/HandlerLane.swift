// SPDX-License-Identifier: LGPL-2.1-or-later
//
// HandlerLane - the calls for one device: one at a time, in order, on the host's executor. What is allowed when is
// decided by LaneState; here the decisions are carried out, outside of its lock.

internal import Dispatch
internal import IOMMUCore
internal import Synchronization

/// Runs calls one at a time, in the order of their submission.
///
/// Protocol
///   Submitters   any thread. A lane with work is on its executor once (`isScheduled`), never twice.
///   A turn       runs one call, then gives the executor to others by asking for another turn. So a lane with a thousand
///                calls delays another one on the same thread by one call.
///   Inline       an executor that runs its work at once would nest the next turn in this one; it is noticed and becomes
///                a loop instead.
///   Closing      from then on no call starts; ``close()`` returns when none runs, but the caller's own. What was not
///                started is released without being run.
package final class HandlerLane: Sendable {
    private let executor: HandlerExecutor
    private let state = Mutex(LaneState())

    package init(_ executor: HandlerExecutor) {
        self.executor = executor
    }

    /// Runs `call` after all that were submitted before.
    ///
    /// - Returns: False when the lane is closed: it will not run.
    @discardableResult
    package func submit(_ call: @escaping @Sendable () -> Void) -> Bool {
        switch state.withLock({ $0.submit(call) }) {
        case .refuse: return false
        case .wait: return true
        case .schedule:
            schedule()
            return true
        }
    }

    /// Ends the lane. When it returns no call runs and none will start. From inside a call of this lane it waits for
    /// nothing: that call is the only one. Two lanes whose calls close each other would wait for ever.
    package func close() {
        let gone = DispatchSemaphore(value: 0)
        let (mustWait, dropped) = state.withLock { $0.close(on: .current, gone) }
        extendLifetime(dropped)
        if mustWait, !broken(.closeDoesNotWait) {
            gone.wait()
        }
    }

    private func schedule() {
        var goesOn = true
        while goesOn {
            let hop = Hop()
            executor.run { [self] in
                if !hop.isNested() && turn() {
                    schedule()
                }
            }
            goesOn = hop.end() && turn()
        }
    }

    /// Runs one call.
    ///
    /// - Returns: There is another one.
    private func turn() -> Bool {
        guard let call = state.withLock({ $0.begin(on: .current) }) else { return false }
        call()
        let (more, waiters) = state.withLock { $0.end() }
        for waiter in waiters { waiter.signal() }
        return more
    }
}

/// One passage through the executor: notices an executor that runs its work before it returns.
private final class Hop: Sendable {
    private struct State {
        var isOpen = true
        var wasNested = false
    }

    private let thread = ThreadID.current
    private let state = Mutex(State())

    /// The work begins. True if that is inside the executor's call: then the work is left to whoever made the call.
    func isNested() -> Bool {
        guard thread == .current else { return false }
        return state.withLock { state in
            state.wasNested = state.isOpen
            return state.isOpen
        }
    }

    /// The executor's call has returned. True if the work was left.
    func end() -> Bool {
        state.withLock { state in
            state.isOpen = false
            return state.wasNested
        }
    }
}
