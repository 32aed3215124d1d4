// SPDX-License-Identifier: LGPL-2.1-or-later
//
// IOMMUError - misuse and exhaustion. What a guest does wrong is never here: that is a `Fault`, a result.

/// Why a call was refused or could not complete.
///
/// Two errors are equal when they are of the same kind; ``detail`` and the numbers do not count. So `error == .timedOut` and
/// `catch .timedOut` work whatever else the error says.
public struct IOMMUError: Error, Sendable {
    /// The kinds, in the order of the C statuses.
    enum Kind: Hashable, Sendable, CaseIterable {
        case noMemory, invalidArgument, misaligned, wraps, overlap, notFound, inUse, inSection, timedOut, noPort
        case unsupported, inconsistent, noHostMemory, readOnly, faulted, badDescriptor
        case noSpace, outOfRange, exists, occupied, notAttached, notOwned, otherUnit, notNestParent, notTracking
        case alreadyAnswered, closed, badState
    }

    let kind: Kind

    /// A sentence or phrase that says which rule was broken, where that is known.
    public internal(set) var detail: String?

    /// Of ``badDescriptor``: the invalidation-queue error information (IQEI) that hardware would report: 3, 4, 5 or 7
    /// [FORMATS-VTD B8].
    public internal(set) var invalidationQueueError: Int?

    /// Of ``timedOut``, where known: the port that was still inside an access section at the deadline.
    public internal(set) var portID: UInt32?

    init(_ kind: Kind) {
        self.kind = kind
    }

    /// The same error with a sentence.
    package func with(detail: String) -> IOMMUError {
        var error = self
        error.detail = detail
        return error
    }

    /// The host's allocator refused.
    public static let noMemory = IOMMUError(.noMemory)
    /// A size, a flag or a value outside its documented range.
    public static let invalidArgument = IOMMUError(.invalidArgument)
    /// An address, length or pointer lacks the documented alignment.
    public static let misaligned = IOMMUError(.misaligned)
    /// Address + length passes the end of the address space.
    public static let wraps = IOMMUError(.wraps)
    /// The range intersects one that is registered.
    public static let overlap = IOMMUError(.overlap)
    /// No such range, port or observer.
    public static let notFound = IOMMUError(.notFound)
    /// The object still has users.
    public static let inUse = IOMMUError(.inUse)
    /// The call waits for access sections and the caller's own port is inside one.
    public static let inSection = IOMMUError(.inSection)
    /// The change is published, but a port was still inside an access section at the deadline.
    public static let timedOut = IOMMUError(.timedOut)
    /// Every pooled port is taken, or the unit's port limit is reached.
    public static let noPort = IOMMUError(.noPort)
    /// The unit's capabilities do not offer this.
    public static let unsupported = IOMMUError(.unsupported)
    /// Capability fields contradict each other.
    public static let inconsistent = IOMMUError(.inconsistent)
    /// No registered memory backs an output address. Copy helpers report this as ``CopyProgress/End/noHostMemory`` instead.
    public static let noHostMemory = IOMMUError(.noHostMemory)
    /// Memory is registered as read-only. Copy helpers report this as ``CopyProgress/End/readOnly`` instead.
    public static let readOnly = IOMMUError(.readOnly)
    /// A DMA faulted. Copy helpers report this as ``CopyProgress/End/fault(_:)`` instead.
    public static let faulted = IOMMUError(.faulted)
    /// An invalidation descriptor was refused; nothing changed. ``detail`` and ``invalidationQueueError`` say why.
    public static let badDescriptor = IOMMUError(.badDescriptor)
    /// The unit's pool of domains, or a range of PASIDs, is used up.
    public static let noSpace = IOMMUError(.noSpace)
    /// Beyond an address width, or outside the allowed ranges.
    public static let outOfRange = IOMMUError(.outOfRange)
    /// The name or id is taken.
    public static let exists = IOMMUError(.exists)
    /// Something is attached or bound there already.
    public static let occupied = IOMMUError(.occupied)
    /// Nothing is attached or bound there.
    public static let notAttached = IOMMUError(.notAttached)
    /// The PASID lies outside what the device or the namespace owns.
    public static let notOwned = IOMMUError(.notOwned)
    /// The domain belongs to another unit.
    public static let otherUnit = IOMMUError(.otherUnit)
    /// The domain was not made as a nest parent.
    public static let notNestParent = IOMMUError(.notNestParent)
    /// Dirty tracking is off.
    public static let notTracking = IOMMUError(.notTracking)
    /// A page-request group was answered before: by another response, its deadline, a detach or a reset.
    public static let alreadyAnswered = IOMMUError(.alreadyAnswered)
    /// The queue or the interface is being destroyed.
    public static let closed = IOMMUError(.closed)
    /// The interrupt message is not in a state that allows this.
    public static let badState = IOMMUError(.badState)
}

extension IOMMUError: Hashable {
    /// Equal when of the same kind.
    public static func == (left: IOMMUError, right: IOMMUError) -> Bool {
        left.kind == right.kind
    }

    /// Hashes the kind.
    public func hash(into hasher: inout Hasher) {
        hasher.combine(kind)
    }
}
