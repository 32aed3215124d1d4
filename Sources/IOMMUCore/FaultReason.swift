// SPDX-License-Identifier: LGPL-2.1-or-later
//
// FaultReason - why a request was refused, whatever the architecture. The native code of a fault says it exactly.

/// Why a request was refused, independent of the architecture; ``Fault/code`` is the architecture's own word.
public enum FaultReason: UInt32, Hashable, Sendable, CaseIterable {
    /// No reason: not seen in a fault.
    case none = 0
    /// A table lies where no memory is, or beyond the address width.
    case tableAccess
    /// A root, context or PASID entry is not present.
    case configAbsent
    /// A root, context or PASID entry is malformed.
    case configInvalid
    /// This kind of request is not allowed for this source.
    case requestBlocked
    /// The input address is out of range or not canonical.
    case inputAddress
    /// There is no mapping.
    case notPresent
    /// There is a mapping, and it does not grant the access.
    case permission
    /// A paging entry has reserved bits set.
    case malformedEntry
    /// The result lies in the interrupt range, 0xFEE00000 to 0xFEEFFFFF.
    case interruptRange
    /// An accessed or dirty bit could not be set.
    case adUpdate
    /// The unit aborts all DMA.
    case aborted
}

extension FaultReason: CustomStringConvertible {
    /// A lower-case English phrase.
    public var description: String {
        switch self {
        case .none: "none"
        case .tableAccess: "table access"
        case .configAbsent: "configuration absent"
        case .configInvalid: "configuration invalid"
        case .requestBlocked: "request blocked"
        case .inputAddress: "input address"
        case .notPresent: "not present"
        case .permission: "permission"
        case .malformedEntry: "malformed entry"
        case .interruptRange: "interrupt range"
        case .adUpdate: "accessed/dirty update"
        case .aborted: "aborted"
        }
    }
}
