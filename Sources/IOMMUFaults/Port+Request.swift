// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A translation that waits for its page: no section is held while it waits.

public import IOMMUCore

extension Port {
    /// Translates one address; where a page is missing that its owner may provide, asks for it, waits for the answer
    /// outside of any section, and translates again.
    ///
    /// The task that calls uses this port meanwhile; nobody else may. Address-only: what is done with the address after
    /// this returned races with invalidations. So do not keep it: translate again, or use `withAccess`, which then finds
    /// the page.
    ///
    /// - Parameters:
    ///   - iova: The input address.
    ///   - access: What is wanted.
    ///   - pasid: The PASID that the request carries; nil for none.
    ///   - interface: The device's page requests; the request's source id is the device's.
    ///   - deadline: The latest moment to wait to; nil for as long as the queue's own deadlines last.
    /// - Returns: The translation; or a fault that no page request cures, or whose page the owner refused. Faults that
    ///   were cured are not recorded, others are.
    /// - Throws: `CancellationError` when the task is cancelled while it waits; ``IOMMUError/timedOut`` at the deadline;
    ///   ``IOMMUError/inSection`` inside a section of this port; otherwise as ``translate(_:access:source:pasid:options:)``
    ///   and ``PageRequestInterface/request(_:port:)``.
    public nonisolated(nonsending) func translateOrRequest(
        _ iova: IOVA, access: AccessRights, pasid: PASID? = nil, via interface: PageRequestInterface,
        deadline: ContinuousClock.Instant? = nil
    ) async throws -> TranslationResult {
        let source = interface.configuration.source
        var patience = PagePatience(deadline: deadline)
        while true {
            let result = try translate(iova, access: access, source: source, pasid: pasid, options: .noFault)
            guard let fault = result.fault else { return result }
            guard fault.isRecoverable, patience.allowsAnother else { break }
            let answer: PageAnswer
            do {
                let page = RequestedPage(iova, access: access.forPageRequest)
                answer = try await interface.answer(for: [page], pasid: pasid, deadline: deadline, from: self)
            } catch let error as IOMMUError where error == .noSpace {
                try await patience.pause()  // too much of this device is outstanding
                continue
            } catch let error as IOMMUError where error == .faulted {
                break  // the guest's tables forbid page requests, which was recorded
            }
            guard answer.response == .success else { break }
            if answer.cause == .overflow {
                try await patience.pause()
            } else {
                patience.answered()
            }
        }
        // As a plain request: this one is recorded.
        return try translate(iova, access: access, source: source, pasid: pasid)
    }
}

/// How long a translation goes on asking.
private struct PagePatience {
    /// Successes of an owner that provided nothing.
    private var successes = 0
    private var nap = Duration.milliseconds(1)
    private let deadline: ContinuousClock.Instant?

    init(deadline: ContinuousClock.Instant?) {
        self.deadline = deadline
    }

    /// A page may go again before the request is repeated, but not for ever.
    var allowsAnother: Bool { successes < 16 }

    mutating func answered() {
        successes += 1
    }

    /// Gives others time; longer each time.
    mutating func pause() async throws {
        let end = ContinuousClock.now + nap
        if let deadline, end >= deadline {
            try await Task.sleep(until: deadline, clock: .continuous)
            throw IOMMUError.timedOut
        }
        nap = min(nap * 2, .milliseconds(64))
        try await Task.sleep(until: end, clock: .continuous)
    }
}

extension AccessRights {
    /// As a page request may ask: for execution alone, because execution with read is invalid [FORMATS-VTD D1].
    fileprivate var forPageRequest: AccessRights {
        contains(.execute) ? subtracting(.read) : self
    }
}
