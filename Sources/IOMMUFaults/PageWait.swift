// SPDX-License-Identifier: LGPL-2.1-or-later
//
// PageWait - a task that waits for the answer to a group: the answer, the deadline or the task's cancellation ends it,
// whichever comes first.

internal import IOMMUCore
internal import Synchronization

/// Protocol: all of it is under one lock; the continuation and the timer leave it with whoever ends the wait, who resumes
/// and cancels them outside. C holds a reference of its own until it has told the answer.
final class PageWait: Sendable {
    private enum State {
        case idle
        case waiting(CheckedContinuation<PageAnswer, any Error>)
        case ended(Result<PageAnswer, any Error>)
    }

    private let state = Mutex((state: State.idle, timer: Task<Void, Never>?.none))

    /// The task waits from now on; it may have ended already.
    func begin(_ continuation: CheckedContinuation<PageAnswer, any Error>, until deadline: ContinuousClock.Instant?) {
        let early = state.withLock { state -> Result<PageAnswer, any Error>? in
            if case .ended(let result) = state.state { return result }
            state.state = .waiting(continuation)
            if let deadline {
                state.timer = Task { [weak self] in
                    try? await Task.sleep(until: deadline, clock: .continuous)
                    if !Task.isCancelled {
                        self?.end(.failure(IOMMUError.timedOut))
                    }
                }
            }
            return nil
        }
        if let early {
            continuation.resume(with: early)
        }
    }

    /// Ends the wait, unless it has ended.
    func end(_ result: Result<PageAnswer, any Error>) {
        let (continuation, timer) = state.withLock { state in
            let before = state.state
            let timer = state.timer
            switch before {
            case .ended: return (CheckedContinuation<PageAnswer, any Error>?.none, Task<Void, Never>?.none)
            case .idle:
                state = (.ended(result), nil)
                return (nil, timer)
            case .waiting(let continuation):
                state = (.ended(result), nil)
                return (continuation, timer)
            }
        }
        timer?.cancel()
        continuation?.resume(with: result)
    }
}
