// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The free gaps between areas: what the allocator of input addresses searches.

extension AreaTable {
    /// Searches the free gaps in first...last, in ascending order, for one that is at least `length` long and suits
    /// `fit`.
    ///
    /// Chunks whose bound says that no gap is long enough are passed over; a bound that turns out too large is
    /// tightened.
    ///
    /// - Parameter fit: Gets first and last free address, clipped to the range; answers a place, or nil for "next".
    package mutating func findGap(
        in first: UInt64, _ last: UInt64, length: UInt64, fit: (UInt64, UInt64) -> UInt64?
    ) -> UInt64? {
        var position = lowerBound(first)
        var free = first
        // The gap that the search starts in may be clipped, so its chunk's bound cannot be tightened.
        var isClipped = true
        while position.chunk < chunks.count {
            let chunk = position.chunk
            if position.index > 0 || gapBounds[chunk] >= length {
                var longest: UInt64 = 0
                for index in position.index..<chunks[chunk].count {
                    let area = (first: chunks[chunk][index].first, last: chunks[chunk][index].last)
                    if area.first > free {
                        let end = min(area.first - 1, last)
                        longest = max(longest, area.first - free)
                        if end >= free, end - free >= length - 1, let place = fit(free, end) { return place }
                    }
                    if area.last >= last { return nil }
                    free = area.last + 1
                }
                if position.index == 0, !isClipped { gapBounds[chunk] = longest }
            }
            guard let end = chunks[chunk].last?.last, end < last else { return nil }
            free = end + 1
            isClipped = false
            position = Position(chunk: chunk + 1, index: 0)
        }
        guard last - free >= length - 1 else { return nil }
        return fit(free, last)
    }
}
