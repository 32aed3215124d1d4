// SPDX-License-Identifier: LGPL-2.1-or-later
//
// AreaTable - the areas of a space in the order of their input addresses: a sorted array in chunks, so that a lookup is
// two binary searches and a change moves one chunk. Knows nothing of backings, pins or domains. Free gaps:
// AreaTable+Gaps.swift.

internal import IOMMUCore

/// Disjoint areas sorted by input address.
///
/// Invariants: no chunk is empty; `firsts[i] == chunks[i][0].first`; ends grow strictly through all chunks;
/// `gapBounds[i]` is at least the number of free addresses directly before any area of chunk `i`; `count` and `bytes`
/// are sums.
package struct AreaTable: Sendable {
    /// Areas in a full chunk. Implementation: 128 keeps the bytes that an insertion moves below 4 KiB on average.
    package static let chunkCapacity = 128

    /// Where an area stands. Any change of the table ends it.
    package struct Position: Sendable {
        var chunk: Int
        var index: Int
    }

    /// How many areas there are.
    package private(set) var count = 0
    /// Bytes in all areas. More than 64 bits: they may cover everything.
    package private(set) var bytes: UInt128 = 0

    package internal(set) var chunks: [[AreaRecord]] = []
    package internal(set) var firsts: [UInt64] = []
    package internal(set) var gapBounds: [UInt64] = []

    package init() {}

    // MARK: Reading

    /// The first area that ends at or above `address`; the end position if there is none.
    package func lowerBound(_ address: UInt64) -> Position {
        // The last chunk that begins at or below the address is the only one that may hold it.
        var low = 0
        var high = firsts.count
        while low < high {
            let middle = low + (high - low) / 2
            if firsts[middle] <= address {
                low = middle + 1
            } else {
                high = middle
            }
        }
        if low == 0 { return Position(chunk: 0, index: 0) }
        let chunk = low - 1
        let index = Self.lowerBound(address, in: chunks[chunk])
        return index < chunks[chunk].count ? Position(chunk: chunk, index: index) : Position(chunk: low, index: 0)
    }

    private static func lowerBound(_ address: UInt64, in chunk: [AreaRecord]) -> Int {
        var low = 0
        var high = chunk.count
        while low < high {
            let middle = low + (high - low) / 2
            if chunk[middle].last < address {
                low = middle + 1
            } else {
                high = middle
            }
        }
        return low
    }

    /// The area at a position; nil at the end.
    package func area(at position: Position) -> AreaRecord? {
        guard position.chunk < chunks.count else { return nil }
        return chunks[position.chunk][position.index]
    }

    /// The position after `position`, which is not the end.
    package func position(after position: Position) -> Position {
        position.index + 1 < chunks[position.chunk].count
            ? Position(chunk: position.chunk, index: position.index + 1)
            : Position(chunk: position.chunk + 1, index: 0)
    }

    /// The first area that touches the range; nil if none does.
    package func firstArea(touching first: UInt64, _ last: UInt64) -> AreaRecord? {
        guard let area = area(at: lowerBound(first)), area.first <= last else { return nil }
        return area
    }

    /// The area that holds an address.
    package func area(holding address: UInt64) -> AreaRecord? {
        firstArea(touching: address, address)
    }

    /// The first and the last area.
    package var ends: (first: AreaRecord, last: AreaRecord)? {
        guard let first = chunks.first?.first, let last = chunks.last?.last else { return nil }
        return (first, last)
    }

    /// Calls `body` for every area that touches the range, in order, until it returns false.
    package func forEach(
        touching first: UInt64, _ last: UInt64, _ body: (borrowing AreaRecord) -> Bool
    ) {
        var position = lowerBound(first)
        while position.chunk < chunks.count {
            guard chunks[position.chunk][position.index].first <= last, body(chunks[position.chunk][position.index])
            else { return }
            position = self.position(after: position)
        }
    }

    // MARK: Changing

    /// Adds an area, which touches no other.
    package mutating func insert(_ area: AreaRecord) {
        count += 1
        bytes += UInt128(area.length)
        guard !chunks.isEmpty else {
            chunks = [[area]]
            firsts = [area.first]
            gapBounds = [area.first]
            return
        }
        var position = lowerBound(area.first)
        if position.index == 0, position.chunk > 0 {
            // Between two chunks: the earlier one, at its end. The gap before the new area is a part of the one that
            // the later chunk counted, or of what follows the last area.
            position = Position(chunk: position.chunk - 1, index: chunks[position.chunk - 1].count)
            let previous = chunks[position.chunk][position.index - 1].last
            gapBounds[position.chunk] = max(gapBounds[position.chunk], area.first - previous - 1)
        }
        chunks[position.chunk].insert(area, at: position.index)
        if position.index == 0 {
            firsts[position.chunk] = area.first
        }
        if chunks[position.chunk].count > Self.chunkCapacity {
            split(position)
        }
    }

    /// Splits a chunk that became too long. One that grew at its end gives up only the new area, so that areas that
    /// come in ascending order leave full chunks.
    private mutating func split(_ grownAt: Position) {
        let chunk = grownAt.chunk
        let size = chunks[chunk].count
        let middle = grownAt.index == size - 1 ? size - 1 : size / 2
        var tail: [AreaRecord] = []
        tail.reserveCapacity(Self.chunkCapacity + 1)
        tail.append(contentsOf: chunks[chunk][middle...])
        chunks[chunk].removeSubrange(middle...)
        firsts.insert(tail[0].first, at: chunk + 1)
        chunks.insert(tail, at: chunk + 1)
        gapBounds.insert(gapBounds[chunk], at: chunk + 1)
    }

    /// Removes every area that touches the range and appends them to `removed`, in order.
    package mutating func remove(touching first: UInt64, _ last: UInt64, into removed: inout [AreaRecord]) {
        let position = lowerBound(first)
        var chunk = position.chunk
        var index = position.index
        while chunk < chunks.count {
            var end = index
            while end < chunks[chunk].count, chunks[chunk][end].first <= last {
                count -= 1
                bytes -= UInt128(chunks[chunk][end].length)
                end += 1
            }
            if end == index { break }
            removed.append(contentsOf: chunks[chunk][index..<end])
            let isLastOne = end < chunks[chunk].count
            if index == 0, end == chunks[chunk].count {
                chunks.remove(at: chunk)
                firsts.remove(at: chunk)
                gapBounds.remove(at: chunk)
            } else {
                chunks[chunk].removeSubrange(index..<end)
                if index == 0 { firsts[chunk] = chunks[chunk][0].first }
                if index == chunks[chunk].count {
                    chunk += 1
                    index = 0
                }
            }
            if isLastOne { break }
        }
        widenGap(before: Position(chunk: chunk, index: index))
        mergeIfSparse(min(chunk, chunks.count - 1))
    }

    /// Joins a chunk with its neighbours while that leaves room, so that the number of chunks follows the number of
    /// areas.
    private mutating func mergeIfSparse(_ chunk: Int) {
        var chunk = chunk
        if chunk > 0, chunks[chunk - 1].count + chunks[chunk].count <= Self.chunkCapacity / 2 {
            chunk -= 1
            joinNext(to: chunk)
        }
        if chunk >= 0, chunk + 1 < chunks.count,
            chunks[chunk].count + chunks[chunk + 1].count <= Self.chunkCapacity / 2
        {
            joinNext(to: chunk)
        }
    }

    private mutating func joinNext(to chunk: Int) {
        chunks[chunk].append(contentsOf: chunks[chunk + 1])
        gapBounds[chunk] = max(gapBounds[chunk], gapBounds[chunk + 1])
        chunks.remove(at: chunk + 1)
        firsts.remove(at: chunk + 1)
        gapBounds.remove(at: chunk + 1)
    }

    /// Raises the bound of the chunk at `position` for the gap before it.
    private mutating func widenGap(before position: Position) {
        guard position.chunk < chunks.count, !broken(.gapForgotten) else { return }
        let end = chunks[position.chunk][position.index].first
        var start: UInt64 = 0
        if position.index > 0 {
            start = chunks[position.chunk][position.index - 1].last + 1
        } else if position.chunk > 0 {
            start = chunks[position.chunk - 1][chunks[position.chunk - 1].count - 1].last + 1
        }
        gapBounds[position.chunk] = max(gapBounds[position.chunk], end - start)
    }

    /// Changes every area that touches the range. `body` must leave the addresses alone.
    package mutating func update(touching first: UInt64, _ last: UInt64, _ body: (inout AreaRecord) -> Void) {
        var position = lowerBound(first)
        while position.chunk < chunks.count, chunks[position.chunk][position.index].first <= last {
            body(&chunks[position.chunk][position.index])
            position = self.position(after: position)
        }
    }

    /// Makes two areas of the one that holds `address` and begins below it; otherwise changes nothing.
    ///
    /// - Returns: True if there are two now.
    package mutating func split(at address: UInt64) -> Bool {
        let position = lowerBound(address)
        guard let area = area(at: position), area.first < address else { return false }
        chunks[position.chunk][position.index] = area.part(area.first, address - 1)
        bytes -= UInt128(area.last - address + 1)
        insert(area.part(address, area.last))
        return true
    }
}
