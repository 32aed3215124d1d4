// SPDX-License-Identifier: LGPL-2.1-or-later
//
// CompareExchangeResult - what an atomic operation on guest memory found and did.

/// What became of ``Port/compareExchange(at:expected:desired:source:pasid:access:options:)``.
public struct CompareExchangeResult<Value: FixedWidthInteger & UnsignedInteger & Sendable>: Hashable, Sendable {
    /// The desired value was stored.
    public let exchanged: Bool
    /// What was found in memory; nil if the access was refused.
    public let original: Value?
    /// Complete, or what refused the access.
    public let progress: CopyProgress
}
