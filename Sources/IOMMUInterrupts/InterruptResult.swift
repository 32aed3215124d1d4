// SPDX-License-Identifier: LGPL-2.1-or-later
//
// InterruptResult - what became of a message that went to the remapping hardware.

internal import CIOMMU

/// What became of an interrupt message.
public enum InterruptResult: Hashable, Sendable {
    /// Unchanged: remapping is off, or compatibility format is allowed.
    case passed(InterruptMessage)
    /// What an entry of the table made of it.
    case remapped(InterruptMessage)
    /// Nothing is to be signalled.
    case blocked(InterruptFault)

    /// What is to be signalled, if anything.
    public var message: InterruptMessage? {
        switch self {
        case .passed(let message), .remapped(let message): message
        case .blocked: nil
        }
    }
}

extension InterruptResult {
    init(_ c: ciommu_interrupt) {
        switch unsafe c.outcome {
        case CIOMMU_INTERRUPT_BLOCKED.rawValue: self = unsafe .blocked(InterruptFault(blocked: c))
        case CIOMMU_INTERRUPT_REMAPPED.rawValue: self = unsafe .remapped(InterruptMessage(c))
        default: self = unsafe .passed(InterruptMessage(c))
        }
    }
}
