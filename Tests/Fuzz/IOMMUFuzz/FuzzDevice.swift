// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A device with a cache of its own: it answers, answers wrongly, late or never, or calls back into the unit before it answers.

import IOMMU
import Synchronization
import VirtualVTd

final class FuzzDevice: Sendable {
    enum Manner: Int, CaseIterable {
        case fine, wrong, silent, late, calling

        /// It does not answer in time.
        var isSilent: Bool { self == .silent || self == .late }
    }

    private struct State {
        var manner = Manner.fine
        var requests: [DeviceTLBRequest] = []
        var time: UInt64 = 0
    }

    static let timeout = Duration.seconds(1)

    private let state = Mutex(State())
    private let calling: @Sendable () -> Void

    /// - Parameter calling: What a device does that calls back.
    init(calling: @escaping @Sendable () -> Void) { self.calling = calling }

    func setManner(_ manner: Manner) { state.withLock { $0.manner = manner } }

    /// What it was asked since the last call.
    func takeRequests() -> [DeviceTLBRequest] {
        state.withLock { state in
            defer { state.requests = [] }
            return state.requests
        }
    }

    func take(_ request: DeviceTLBRequest) {
        let manner = state.withLock { state in
            state.requests.append(request)
            return state.manner
        }
        switch manner {
        case .fine: request.answer()
        case .wrong: request.answer(fine: false)
        case .silent, .late: break
        case .calling:
            calling()
            request.answer()
        }
    }

    /// Nobody waits for real: whoever looks at the time of a device that does not answer makes it pass.
    func now() -> UInt64 {
        state.withLock { state in
            if state.manner.isSilent { state.time += 400_000_000 }
            return state.time
        }
    }
}
