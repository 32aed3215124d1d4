// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Builds paging structures of either stage, entry by entry, in a guest image. Shares no code with a walker.

/// One set of paging structures: a root and everything below it.
package final class PagingTables {
    /// The two entry layouts.
    package enum Stage: Hashable, Sendable {
        case first, second
    }

    package let stage: Stage
    package let levels: Int
    /// The root pointer, as a PASID or context entry holds it: an output address, or a guest-physical one in nested use.
    package let root: UInt64
    /// Flags of entries above a leaf unless a call says otherwise: everything allowed, no marks.
    package var tableFlags: UInt64
    /// Flags of leaves unless a call says otherwise.
    package var leafFlags: UInt64

    private let image: GuestImage
    private let region: Int
    /// The second stage below nested tables, and where each guest-physical page of a table went.
    private let parent: PagingTables?
    private var nestedPages: [UInt64: UInt64] = [:]
    private var nextNestedPage: UInt64

    /// Tables that lie at output addresses, in range number `region` of the image.
    package convenience init(_ stage: Stage, levels: Int, in image: GuestImage, region: Int = 0) {
        self.init(stage, levels: levels, in: image, region: region, parent: nil, firstNestedPage: 0)
    }

    /// First-stage tables that lie in guest-physical pages from `firstPage` on, which `parent` maps to pages of the image.
    package convenience init(
        nestedOn parent: PagingTables, levels: Int, in image: GuestImage, region: Int = 0,
        firstPage: UInt64 = 0x4000_0000
    ) {
        self.init(.first, levels: levels, in: image, region: region, parent: parent, firstNestedPage: firstPage)
    }

    private init(
        _ stage: Stage, levels: Int, in image: GuestImage, region: Int, parent: PagingTables?, firstNestedPage: UInt64
    ) {
        self.stage = stage
        self.levels = levels
        self.image = image
        self.region = region
        self.parent = parent
        tableFlags = 7
        leafFlags = 7
        nextNestedPage = firstNestedPage
        let page = image.allocatePage(in: region)
        guard let parent else {
            root = page
            return
        }
        root = firstNestedPage
        nestedPages[firstNestedPage] = page
        nextNestedPage += 0x1000
        parent.map(firstNestedPage, to: page)
    }

    /// Maps one page: `level` 0 is 4 KiB, 1 is 2 MiB, 2 is 1 GiB. Tables on the way are made where they are missing.
    package func map(
        _ input: UInt64, to output: UInt64, level: Int = 0, flags: UInt64? = nil, tableFlags: UInt64? = nil
    ) {
        let size: UInt64 = level > 0 ? 1 << 7 : 0
        setEntry(input, level: level, output | (flags ?? leafFlags) | size, tableFlags: tableFlags)
    }

    /// Stores any value as the entry that translates `input` at `level`.
    package func setEntry(_ input: UInt64, level: Int, _ value: UInt64, tableFlags: UInt64? = nil) {
        image[entryAddress(input, level: level, tableFlags: tableFlags)] = value
    }

    /// The entry that translates `input` at `level`.
    package func entry(_ input: UInt64, level: Int) -> UInt64 {
        image[entryAddress(input, level: level)]
    }

    /// Changes the entry that translates `input` at `level`.
    package func update(_ input: UInt64, level: Int, _ change: (inout UInt64) -> Void) {
        change(&image[entryAddress(input, level: level)])
    }

    /// Output address of the entry that translates `input` at `level`; tables above it are made where they are missing.
    package func entryAddress(_ input: UInt64, level: Int, tableFlags: UInt64? = nil) -> UInt64 {
        place(entryPointer(input, level: level, tableFlags: tableFlags))
    }

    /// The same as the walker computes it: nested tables give a guest-physical address.
    package func entryPointer(_ input: UInt64, level: Int, tableFlags: UInt64? = nil) -> UInt64 {
        var table = root
        for current in (level + 1..<levels).reversed() {
            let slot = place(table + index(input, current))
            if image[slot] & (stage == .first ? 1 : 3) == 0 {
                image[slot] = allocate() | (tableFlags ?? self.tableFlags)
            }
            table = image[slot] & 0x000f_ffff_ffff_f000
        }
        return table + index(input, level)
    }

    /// Makes the entry at `level` point to a table that is given, such as one shared with other tables or a page of garbage.
    package func link(_ input: UInt64, level: Int, to table: UInt64) {
        setEntry(input, level: level, table | tableFlags)
    }

    private func index(_ input: UInt64, _ level: Int) -> UInt64 {
        ((input >> UInt64(12 + 9 * level)) & 0x1ff) * 8
    }

    private func place(_ pointer: UInt64) -> UInt64 {
        guard parent != nil else { return pointer }
        guard let page = nestedPages[pointer & ~0xfff] else { preconditionFailure("no table at \(hex(pointer))") }
        return page | pointer & 0xfff
    }

    private func allocate() -> UInt64 {
        let page = image.allocatePage(in: region)
        guard let parent else { return page }
        let nested = nextNestedPage
        nextNestedPage += 0x1000
        nestedPages[nested] = page
        parent.map(nested, to: page)
        return nested
    }
}
