// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The one place where C statuses become Swift errors and back.

public import CIOMMU

extension IOMMUError {
    /// Throws unless `status` is CIOMMU_OK.
    @inline(__always)
    package static func check(_ status: ciommu_status) throws(IOMMUError) {
        if status != CIOMMU_OK {
            throw IOMMUError(status)
        }
    }

    /// The error that a status other than CIOMMU_OK stands for.
    package init(_ status: ciommu_status) {
        guard let kind = Kind.allCases.first(where: { $0.status == status }) else {
            preconditionFailure("the C library answered status \(status.rawValue), which its header does not have")
        }
        self.init(kind)
    }

    /// The same for what is inlined into hosts, kept out of their way.
    @usableFromInline
    @inline(never)
    static func refused(_ status: ciommu_status) -> IOMMUError {
        IOMMUError(status)
    }

    /// The C status that this error stands for.
    package var status: ciommu_status { kind.status }

    /// The positive errno value nearest to this error.
    public var errno: Int32 {
        ciommu_status_errno(kind.status)
    }
}

extension IOMMUError: CustomStringConvertible {
    /// A lower-case phrase for the kind, then ``detail`` and the numbers.
    public var description: String {
        var text = unsafe String(cString: ciommu_status_text(kind.status))
        if let detail {
            text += ": " + detail
        }
        if let invalidationQueueError {
            text += " (IQEI \(invalidationQueueError))"
        }
        if let portID {
            text += " (port \(portID))"
        }
        return text
    }
}

extension IOMMUError.Kind {
    fileprivate var status: ciommu_status {
        switch self {
        case .noMemory: CIOMMU_NO_MEMORY
        case .invalidArgument: CIOMMU_INVALID_ARGUMENT
        case .misaligned: CIOMMU_MISALIGNED
        case .wraps: CIOMMU_WRAPS
        case .overlap: CIOMMU_OVERLAP
        case .notFound: CIOMMU_NOT_FOUND
        case .inUse: CIOMMU_IN_USE
        case .inSection: CIOMMU_IN_SECTION
        case .timedOut: CIOMMU_TIMED_OUT
        case .noPort: CIOMMU_NO_PORT
        case .unsupported: CIOMMU_UNSUPPORTED
        case .inconsistent: CIOMMU_INCONSISTENT
        case .noHostMemory: CIOMMU_NO_HOST_MEMORY
        case .readOnly: CIOMMU_READ_ONLY
        case .faulted: CIOMMU_FAULTED
        case .badDescriptor: CIOMMU_BAD_DESCRIPTOR
        case .noSpace: CIOMMU_NO_SPACE
        case .outOfRange: CIOMMU_OUT_OF_RANGE
        case .exists: CIOMMU_EXISTS
        case .occupied: CIOMMU_OCCUPIED
        case .notAttached: CIOMMU_NOT_ATTACHED
        case .notOwned: CIOMMU_NOT_OWNED
        case .otherUnit: CIOMMU_OTHER_UNIT
        case .notNestParent: CIOMMU_NOT_NEST_PARENT
        case .notTracking: CIOMMU_NOT_TRACKING
        case .alreadyAnswered: CIOMMU_ALREADY_ANSWERED
        case .closed: CIOMMU_CLOSED
        case .badState: CIOMMU_BAD_STATE
        }
    }
}
