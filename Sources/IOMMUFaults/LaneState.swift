// SPDX-License-Identifier: LGPL-2.1-or-later
//
// LaneState - what a lane may do. Pure: each method says what follows, and whoever called it does that outside of the
// lock.

internal import Dispatch
internal import Foundation
internal import IOMMUCore

struct LaneState {
    typealias Call = @Sendable () -> Void

    enum Submission {
        case refuse, wait, schedule
    }

    private var calls: [Call] = []
    /// The first of them that has not begun; the others are cut off when they are more than half.
    private var next = 0
    private var isScheduled = false
    private var isClosed = false
    /// Runs the present call.
    private var runner: ThreadID?
    private var waiters: [DispatchSemaphore] = []

    mutating func submit(_ call: @escaping Call) -> Submission {
        guard !isClosed else { return .refuse }
        calls.append(call)
        defer { isScheduled = true }
        return isScheduled && !broken(.callsTogether) ? .wait : .schedule
    }

    mutating func begin(on thread: ThreadID) -> Call? {
        guard next < calls.count else {
            isScheduled = false
            return nil
        }
        let call = calls[next]
        next += 1
        if next * 2 > calls.count {
            calls.removeFirst(next)
            next = 0
        }
        runner = thread
        return call
    }

    /// The call has ended. Whether another turn is due, and who waited for this.
    mutating func end() -> (more: Bool, waiters: [DispatchSemaphore]) {
        runner = nil
        isScheduled = next < calls.count
        return (isScheduled, replace(&waiters, with: []))
    }

    /// Whether the caller has to wait for `gone`, and what is to be released.
    mutating func close(on thread: ThreadID, _ gone: DispatchSemaphore) -> (mustWait: Bool, dropped: [Call]) {
        isClosed = true
        next = 0
        let dropped = replace(&calls, with: [])
        guard let runner, runner != thread else { return (false, dropped) }
        waiters.append(gone)
        return (true, dropped)
    }
}

/// Names a thread while it exists.
struct ThreadID: Equatable, Sendable {
    fileprivate let value: UInt

    static var current: ThreadID {
        ThreadID(value: UInt(pthread_self()))
    }
}
