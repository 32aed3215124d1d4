// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Stage - the part of the way of a request that an answer or a fault comes from.

/// Which part of the way of a request is meant.
public enum Stage: UInt32, Hashable, Sendable, CaseIterable, CustomStringConvertible {
    /// Root, context, PASID directory or PASID table, or no table at all.
    case none = 0
    /// First-stage paging structures [FORMATS-VTD A7].
    case first = 1
    /// Second-stage paging structures on their own [FORMATS-VTD A8].
    case second = 2
    /// The second stage on behalf of a first stage: of its tables or of its result [FORMATS-VTD A10].
    case nested = 3

    /// `none`, `first`, `second` or `nested`.
    public var description: String {
        switch self {
        case .none: "none"
        case .first: "first"
        case .second: "second"
        case .nested: "nested"
        }
    }
}
