// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Endpoint - a device with a cache of its own behind a virtual unit: it remembers what it was asked to drop, and answers as it is told.

import IOMMU
import Synchronization

/// A device whose device-TLB the unit knows.
final class Endpoint: Sendable {
    enum Manner { case fine, wrong, silent }

    private struct State {
        var requests: [DeviceTLBRequest] = []
        var manner: Manner
    }

    private let state: Mutex<State>

    init(_ manner: Manner = .fine) {
        state = Mutex(State(manner: manner))
    }

    var requests: [DeviceTLBRequest] { state.withLock { $0.requests } }

    func setManner(_ manner: Manner) { state.withLock { $0.manner = manner } }

    func forget() { state.withLock { $0.requests = [] } }

    /// The handler: answers at once, or leaves it to ``answerAll()``.
    func take(_ request: DeviceTLBRequest) {
        let manner = state.withLock { state in
            state.requests.append(request)
            return state.manner
        }
        switch manner {
        case .fine: request.answer()
        case .wrong: request.answer(fine: false)
        case .silent: break
        }
    }

    /// Answers what it was asked so far.
    ///
    /// - Returns: How many of the requests were still open.
    func answerAll() -> Int {
        requests.count { $0.answer() }
    }
}

/// Time that a test moves, or that passes by itself whenever somebody looks.
final class TestClock: Sendable {
    private let now = Atomic<UInt64>(0)
    private let looks = Atomic<Int>(0)
    private let step: UInt64

    /// - Parameter step: What passes with every look, so that a deadline comes without waiting.
    init(step: Duration = .zero) {
        self.step =
            UInt64(step.components.seconds) * 1_000_000_000 + UInt64(step.components.attoseconds / 1_000_000_000)
    }

    /// How often somebody looked.
    var lookCount: Int { looks.load(ordering: .acquiring) }

    func set(_ nanoseconds: UInt64) { now.store(nanoseconds, ordering: .releasing) }

    func read() -> UInt64 {
        looks.add(1, ordering: .releasing)
        return now.add(step, ordering: .acquiringAndReleasing).newValue
    }
}
