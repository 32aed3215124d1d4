// SPDX-License-Identifier: LGPL-2.1-or-later
//
// PageSize - the sizes of pages in a paging domain.

/// A size of pages. The raw value is its base-2 logarithm.
public enum PageSize: UInt32, Hashable, Comparable, Sendable, CaseIterable {
    /// 4 KiB.
    case fourKiB = 12
    /// 2 MiB.
    case twoMiB = 21
    /// 1 GiB.
    case oneGiB = 30

    /// The size in bytes.
    public var bytes: UInt64 { 1 << UInt64(rawValue) }

    /// Orders by size.
    public static func < (left: PageSize, right: PageSize) -> Bool {
        left.rawValue < right.rawValue
    }
}

extension PageSize: CustomStringConvertible {
    /// The size in words, such as `2 MiB`.
    public var description: String {
        switch self {
        case .fourKiB: "4 KiB"
        case .twoMiB: "2 MiB"
        case .oneGiB: "1 GiB"
        }
    }
}
