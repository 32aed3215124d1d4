// SPDX-License-Identifier: LGPL-2.1-or-later
//
// StageOneEntry - one entry of a batch against a nested domain, by field. Nothing is checked here: the unit does, and
// names the rule that is broken.

public import IOMMUCore

/// One stage-1 invalidation: pages of a guest's first stage that changed [FORMATS-IOMMUFD 5].
public struct StageOneEntry: Hashable, Sendable {
    /// The value of ``pageCount`` that means everything, with ``address`` 0.
    public static let everyPage = UInt64.max

    /// First input address, a multiple of 4096.
    public var address: IOVA
    /// 4 KiB pages from ``address`` on; ``everyPage`` for the whole address space. 0 drops one page, more than the
    /// address space has drops everything.
    public var pageCount: UInt64
    /// Only leaf entries changed, none that points to a table (LEAF, bit 0 of the flags).
    public var leafOnly: Bool

    /// Makes an entry from its fields.
    public init(address: IOVA, pageCount: UInt64, leafOnly: Bool = false) {
        self.address = address
        self.pageCount = pageCount
        self.leafOnly = leafOnly
    }

    /// Makes the entry that covers every page which a range touches.
    public init(covering range: ClosedRange<IOVA>, leafOnly: Bool = false) {
        let first = range.lowerBound.rawValue >> 12
        let last = range.upperBound.rawValue >> 12
        self.init(address: IOVA(first << 12), pageCount: last - first + 1, leafOnly: leafOnly)
    }

    /// Everything in the first stage changed.
    public static let everything = StageOneEntry(address: 0, pageCount: everyPage)
}

extension StageOneEntry: CustomStringConvertible {
    /// A phrase such as `16 pages from 0x1000, leaves only`.
    public var description: String {
        let pages =
            pageCount == Self.everyPage
            ? "every page from \(address)" : "\(pageCount) page\(pageCount == 1 ? "" : "s") from \(address)"
        return pages + (leafOnly ? ", leaves only" : "")
    }
}
