// SPDX-License-Identifier: LGPL-2.1-or-later
//
// What a paging domain must look like, by brute force: runs of mapped addresses, and the rule that cuts a run into pages.

/// One page of a domain.
struct Page: Equatable, CustomStringConvertible {
    var iova: UInt64
    var address: UInt64
    var lg2: UInt32
    var rights: UInt32
    var isDirty: Bool
    var length: UInt64

    init(iova: UInt64, address: UInt64, lg2: UInt32, rights: UInt32, isDirty: Bool, length: UInt64? = nil) {
        self.iova = iova
        self.address = address
        self.lg2 = lg2
        self.rights = rights
        self.isDirty = isDirty
        self.length = length ?? 1 << UInt64(lg2)
    }

    var size: UInt64 { 1 << UInt64(lg2) }
    var last: UInt64 { iova + (size - 1) }

    var description: String { "\(hex(iova))→\(hex(address)) 2^\(lg2) rights \(rights)\(isDirty ? " dirty" : "")" }
}

/// Consecutive input addresses that lead to consecutive output addresses with the same rights.
struct Run: Equatable, CustomStringConvertible {
    var iova: UInt64
    var address: UInt64
    /// In bytes; the end may be 2^64.
    var length: UInt64
    var rights: UInt32 = readWrite
    var isDirty = true

    var last: UInt64 { iova + (length - 1) }

    var description: String {
        "\(hex(iova))+\(hex(length))→\(hex(address)) rights \(rights)\(isDirty ? " dirty" : "")"
    }

    /// The rule: from the start on, the largest page that both addresses are aligned to and that still fits.
    func pages(largest: UInt32) -> [Page] {
        var pages: [Page] = []
        var done: UInt64 = 0
        while done < length {
            let lg2 = [UInt32(30), 21, 12].first { lg2 in
                let size = UInt64(1) << UInt64(lg2)
                return lg2 <= largest && (iova + done) % size == 0 && (address + done) % size == 0
                    && length - done >= size
            }
            guard let lg2 else { fatalError("not a run of whole pages") }
            pages.append(
                Page(iova: iova + done, address: address + done, lg2: lg2, rights: rights, isDirty: isDirty))
            done += 1 << UInt64(lg2)
        }
        return pages
    }

    /// The part inside first...last, which must meet it.
    func clipped(_ first: UInt64, _ last: UInt64) -> Run {
        let start = max(first, iova)
        var run = self
        run.iova = start
        run.address = address + (start - iova)
        run.length = min(last, self.last) - start + 1
        return run
    }
}

/// A domain's content: disjoint runs in order, each as long as can be.
struct RunMap: Equatable {
    private(set) var runs: [Run] = []

    /// The index of the first run that ends at or above `iova`.
    private func index(_ iova: UInt64) -> Int {
        var low = 0
        var high = runs.count
        while low < high {
            let middle = (low + high) / 2
            if runs[middle].last < iova { low = middle + 1 } else { high = middle }
        }
        return low
    }

    func run(at iova: UInt64) -> Run? {
        let index = index(iova)
        return index < runs.count && runs[index].iova <= iova ? runs[index] : nil
    }

    /// What is mapped in first...last, cut at its ends.
    func slice(_ first: UInt64, _ last: UInt64) -> [Run] {
        var found: [Run] = []
        var at = index(first)
        while at < runs.count, runs[at].iova <= last {
            found.append(runs[at].clipped(first, last))
            at += 1
        }
        return found
    }

    /// Replaces whatever is in first...last.
    mutating func set(_ first: UInt64, _ last: UInt64, _ replacement: [Run]) {
        let low = index(first)
        var high = low
        var pieces: [Run] = []
        while high < runs.count, runs[high].iova <= last {
            if runs[high].iova < first { pieces.append(runs[high].clipped(runs[high].iova, first - 1)) }
            high += 1
        }
        pieces += replacement
        if high > low, runs[high - 1].last > last {
            pieces.append(runs[high - 1].clipped(last + 1, runs[high - 1].last))
        }
        // The neighbours take part, so that what belongs together becomes one run again.
        let from = max(0, low - 1)
        let to = min(runs.count, high + 1)
        runs.replaceSubrange(from..<to, with: RunMap.joined(Array(runs[from..<low]) + pieces + runs[high..<to]))
    }

    private static func joined(_ runs: [Run]) -> [Run] {
        var result: [Run] = []
        for run in runs {
            if let previous = result.last, previous.iova &+ previous.length == run.iova,
                previous.address &+ previous.length == run.address, previous.rights == run.rights,
                previous.isDirty == run.isDirty
            {
                result[result.count - 1].length += run.length
            } else {
                result.append(run)
            }
        }
        return result
    }

    /// What the engine must list when it merges whatever can be merged.
    func pages(largest: UInt32) -> [Page] {
        runs.flatMap { $0.pages(largest: largest) }
    }

    /// The runs that a listing amounts to, whatever its page sizes.
    init(_ pages: [Page]) {
        runs = RunMap.joined(
            pages.map {
                Run(iova: $0.iova, address: $0.address, length: $0.length, rights: $0.rights, isDirty: $0.isDirty)
            })
    }

    init() {}
}

/// The paging-structure pages that these pages need in a tree for `width` bits.
func tablesNeeded(_ pages: [Page], width: UInt32) -> Int {
    let levels = Int(width - 12) / 9
    var tables: Set<[UInt64]> = [[UInt64(levels - 1), 0]]
    for page in pages {
        let leaf = Int(page.lg2 - 12) / 9
        for level in leaf..<levels {
            tables.insert([UInt64(level), level == levels - 1 ? 0 : page.iova >> UInt64(12 + 9 * (level + 1))])
        }
    }
    return tables.count
}
