// SPDX-License-Identifier: LGPL-2.1-or-later
//
// CopyProgress - how far a copy came and what ended it. Whatever the guest can cause is here; only the host's misuse is an error.

internal import CIOMMU

/// How far a copy helper of a ``Port`` came.
public struct CopyProgress: Hashable, Sendable {
    /// What ended a transfer.
    public enum End: Hashable, Sendable {
        /// Every byte was transferred.
        case complete
        /// The next byte's page refuses the access.
        case fault(Fault)
        /// The next byte is an interrupt message, not memory [FORMATS-VTD A11].
        case interrupt
        /// No registered memory backs the next byte's output address.
        case noHostMemory
        /// The next byte's output address is registered as read-only.
        case readOnly
    }

    /// Bytes transferred, from the first one on.
    public let count: Int
    /// What ended the transfer.
    public let end: End

    /// Makes a report from its parts.
    public init(count: Int, end: End) {
        self.count = count
        self.end = end
    }

    /// Every byte was transferred.
    public var isComplete: Bool { end == .complete }

    /// The fault, if one ended the transfer.
    public var fault: Fault? {
        if case .fault(let fault) = end { fault } else { nil }
    }
}

extension CopyProgress {
    /// Reads what a copy helper of C answered; throws what only the host can have caused.
    init(_ status: ciommu_status, _ progress: ciommu_progress, of request: ciommu_request) throws(IOMMUError) {
        let end: End
        switch status {
        case _ where Self.stopsAtInterrupt(progress, of: request):
            end = .interrupt
        case CIOMMU_FAULTED:
            end = .fault(Fault(progress.fault))
        case CIOMMU_NO_HOST_MEMORY:
            end = .noHostMemory
        case CIOMMU_READ_ONLY:
            end = .readOnly
        default:
            try IOMMUError.check(status)
            end = .complete
        }
        self.init(count: Int(progress.done), end: end)
    }

    /// C has no status for an interrupt message, and a piece before it may be what ended the copy: so the next byte decides.
    private static func stopsAtInterrupt(_ progress: ciommu_progress, of request: ciommu_request) -> Bool {
        progress.outcome == CIOMMU_INTERRUPT.rawValue && (request.iova &+ progress.done) >> 20 == 0xfee
    }
}

extension ciommu_progress {
    /// Zero, with every `size` filled in.
    static var empty: ciommu_progress {
        var progress = ciommu_progress()
        progress.size = UInt32(MemoryLayout<ciommu_progress>.size)
        progress.fault = .empty
        return progress
    }
}
