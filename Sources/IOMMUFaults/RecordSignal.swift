// SPDX-License-Identifier: LGPL-2.1-or-later
//
// RecordSignal - tells consumers that there is something to read. SignalState decides, RecordSignal resumes outside of
// the lock.

internal import Synchronization

final class RecordSignal: Sendable {
    private let state = Mutex(SignalState())

    /// There is something to read. From any thread.
    func give() {
        resume(state.withLock { $0.give() }, true)
    }

    /// There will be nothing any more.
    func finish() {
        resume(state.withLock { $0.finish() }, false)
    }

    /// Waits for the signal.
    ///
    /// - Returns: False when it is finished, or the task cancelled.
    func wait() async -> Bool {
        let waiter = state.withLock { $0.newWaiter() }
        return await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                if let answer = state.withLock({ $0.wait(as: waiter, continuation) }) {
                    continuation.resume(returning: answer)
                }
            }
        } onCancel: {
            resume(state.withLock { $0.cancel(waiter) }, false)
        }
    }

    private func resume(_ continuations: [SignalState.Continuation], _ answer: Bool) {
        for continuation in continuations {
            continuation.resume(returning: answer)
        }
    }
}

/// Who waits. Each method returns whom to resume.
struct SignalState {
    typealias Continuation = CheckedContinuation<Bool, Never>

    private enum Waiter {
        /// Named, and on its way to wait.
        case coming
        case waiting(Continuation)
        /// Before it came to wait.
        case cancelled
    }

    private var isGiven = false
    private var isFinished = false
    private var waiters: [UInt64: Waiter] = [:]
    private var lastWaiter: UInt64 = 0

    mutating func newWaiter() -> UInt64 {
        lastWaiter += 1
        waiters[lastWaiter] = .coming
        return lastWaiter
    }

    /// The answer, if there is one already.
    mutating func wait(as waiter: UInt64, _ continuation: Continuation) -> Bool? {
        if isFinished {
            waiters[waiter] = nil
            return false
        }
        if case .cancelled = waiters[waiter] {
            waiters[waiter] = nil
            return false
        }
        if isGiven {
            isGiven = false
            waiters[waiter] = nil
            return true
        }
        waiters[waiter] = .waiting(continuation)
        return nil
    }

    mutating func give() -> [Continuation] {
        let waiting = takeWaiting()
        isGiven = waiting.isEmpty
        return waiting
    }

    mutating func finish() -> [Continuation] {
        isFinished = true
        return takeWaiting()
    }

    /// The task was cancelled: before, while or after it waits.
    mutating func cancel(_ waiter: UInt64) -> [Continuation] {
        switch waiters[waiter] {
        case .coming:
            waiters[waiter] = .cancelled
            return []
        case .waiting(let continuation):
            waiters[waiter] = nil
            return [continuation]
        case .cancelled, nil:
            return []
        }
    }

    private mutating func takeWaiting() -> [Continuation] {
        var taken: [Continuation] = []
        for (waiter, state) in waiters {
            if case .waiting(let continuation) = state {
                taken.append(continuation)
                waiters[waiter] = nil
            }
        }
        return taken
    }
}
