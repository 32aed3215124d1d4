// SPDX-License-Identifier: LGPL-2.1-or-later
//
// IOVAAllocator - chooses input addresses: next fit, so that one allocation after the other costs little, and such that
// large pages are possible where there is room.

/// Chooses free input addresses in a table of areas.
package struct IOVAAllocator: Sendable {
    /// What is wanted.
    package struct Wish: Sendable {
        /// Bytes, not zero.
        package var length: UInt64
        /// The address is a multiple of this power of two, whatever happens.
        package var alignment: UInt64
        /// Where it leads: the address is to be congruent to this modulo a large page.
        package var output: UInt64

        package init(length: UInt64, alignment: UInt64, output: UInt64 = 0) {
            self.length = length
            self.alignment = alignment
            self.output = output
        }
    }

    /// Where the search begins: after the last area that was made at a chosen address.
    package private(set) var cursor: UInt64 = 0

    package init() {}

    /// Page sizes that a domain may map with, largest first.
    private static let pageSizes: [UInt64] = [1 << 30, 1 << 21, 1 << 12]

    /// Chooses an address. Changes nothing but bounds in the table; ``commit(_:)`` moves the cursor.
    ///
    /// - Parameters:
    ///   - usable: Where it may lie: sorted and disjoint.
    ///   - table: What is taken.
    /// - Returns: The address, or nil when there is no room.
    package func allocate(
        _ wish: Wish, usable: [ClosedRange<UInt64>], table: inout AreaTable
    ) -> UInt64? {
        for page in Self.pageSizes where page > wish.alignment && page <= wish.length {
            if let place = search(wish, modulo: page, usable: usable, table: &table) { return place }
        }
        return search(wish, modulo: wish.alignment, usable: usable, table: &table)
    }

    /// The area at first...last was made: later searches begin after it.
    package mutating func commit(last: UInt64) {
        cursor = last &+ 1
    }

    private func search(
        _ wish: Wish, modulo page: UInt64, usable: [ClosedRange<UInt64>], table: inout AreaTable
    ) -> UInt64? {
        for range in usable where range.upperBound >= cursor {
            let first = max(range.lowerBound, cursor)
            if let place = search(wish, modulo: page, in: first...range.upperBound, table: &table) { return place }
        }
        // Once more from the beginning. What lies above the cursor was searched, but a gap may begin below and end
        // above it.
        for range in usable where range.lowerBound < cursor {
            if let place = search(wish, modulo: page, in: range, table: &table) { return place }
        }
        return nil
    }

    private func search(
        _ wish: Wish, modulo page: UInt64, in range: ClosedRange<UInt64>, table: inout AreaTable
    ) -> UInt64? {
        let remainder = wish.output & ~(wish.alignment - 1) & (page - 1)
        return table.findGap(in: range.lowerBound, range.upperBound, length: wish.length) { first, last in
            let shortfall = (remainder &- first) & (page - 1)
            guard shortfall <= last - first, last - first - shortfall >= wish.length - 1 else { return nil }
            return first + shortfall
        }
    }
}
