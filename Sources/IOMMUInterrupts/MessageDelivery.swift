// SPDX-License-Identifier: LGPL-2.1-or-later
//
// MessageDelivery - what became of an attempt to raise an entry.

internal import CIOMMU

/// What became of an attempt to raise an entry of an ``InterruptMessageStore``.
public enum MessageDelivery: Hashable, Sendable {
    /// To be signalled before the section ends.
    case delivered(InterruptMessage)
    /// The entry is masked; it was noted, and ``ArmedMessage/wasRaisedWhileMasked`` will say so.
    case masked
    /// The entry is free, or not armed yet.
    case notArmed
    /// The work carries another PASID than the entry's.
    case wrongPASID
    /// The work carries no PASID, and the entry's is looked at.
    case absentPASID
    /// The entry's PASID is no longer the device's (a slice was made over it), or no longer what the guest's PASID is bound to.
    case revoked
    /// Remapping blocked the message.
    case blocked(InterruptFault)

    /// What is to be signalled, if anything.
    public var message: InterruptMessage? {
        guard case .delivered(let message) = self else { return nil }
        return message
    }
}

extension MessageDelivery {
    init(_ c: ciommu_delivery) {
        switch unsafe c.outcome {
        case CIOMMU_MESSAGE_DELIVER.rawValue: self = unsafe .delivered(InterruptMessage(c.interrupt))
        case CIOMMU_MESSAGE_IS_MASKED.rawValue: self = .masked
        case CIOMMU_MESSAGE_NOT_ARMED.rawValue: self = .notArmed
        case CIOMMU_MESSAGE_WRONG_PASID.rawValue: self = .wrongPASID
        case CIOMMU_MESSAGE_ABSENT_PASID.rawValue: self = .absentPASID
        case CIOMMU_MESSAGE_REVOKED.rawValue: self = .revoked
        default: self = unsafe .blocked(InterruptFault(blocked: c.interrupt))
        }
    }
}
