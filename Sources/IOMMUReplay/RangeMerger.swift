// SPDX-License-Identifier: LGPL-2.1-or-later
//
// RangeMerger - adjacent mappings of the same kind become one range.

internal import IOMMU

/// Merges mappings that come by rising input address.
struct RangeMerger {
    /// Adjacent mappings.
    struct Merged: Hashable {
        let iova: UInt64
        let output: UInt64
        let pageSize: UInt64
        let rights: AccessRights
        var pages: Int

        /// Last input address.
        var last: UInt64 { iova &+ (UInt64(pages) &* pageSize &- 1) }
    }

    private(set) var ranges: [Merged] = []
    private(set) var pages = 0

    mutating func add(_ mapping: SpaceMapping) {
        pages += 1
        if let open = ranges.last, open.pageSize == mapping.size, open.rights == mapping.rights,
            open.last &+ 1 == mapping.iova, open.output &+ (open.last &- open.iova) &+ 1 == mapping.output
        {
            ranges[ranges.count - 1].pages += 1
            return
        }
        ranges.append(
            Merged(iova: mapping.iova, output: mapping.output, pageSize: mapping.size, rights: mapping.rights, pages: 1)
        )
    }
}
