// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Mapping: every largest page × width × alignment × length. The pages are those of the brute-force rule, translations agree at
// their edges, and unmapping everything gives everything back.

import CIOMMU
import IOMMUTestSupport
import Testing

/// How far input and output addresses agree.
enum Congruence: CaseIterable {
    case modulo1G
    case modulo2M
    case modulo4K

    /// An output address for `iova`.
    func output(_ iova: UInt64) -> UInt64 {
        let base = 0x20_0000_0000 + iova % pageBytes1G
        switch self {
        case .modulo1G: return base
        case .modulo2M: return base + 3 * pageBytes2M
        case .modulo4K: return base + 5 * pageBytes
        }
    }
}

/// A domain's geometry.
struct Geometry: CustomTestStringConvertible {
    var largest: UInt32
    var width: UInt32
    var congruence: Congruence

    static let all: [Geometry] = [UInt32(12), 21, 30].flatMap { largest in
        [UInt32(39), 48, 57].flatMap { width in
            Congruence.allCases.map { Geometry(largest: largest, width: width, congruence: $0) }
        }
    }

    var testDescription: String { "largest 2^\(largest), \(width) bits, \(congruence)" }

    /// Whether a mapping of a GiB takes few pages.
    var isCheapWhenLong: Bool { largest > 12 && congruence != .modulo4K }

    /// Ranges (iova, length) worth mapping: at all alignments and of all lengths that the rule tells apart.
    var ranges: [(UInt64, UInt64)] {
        let top = UInt64(1) << UInt64(width)
        let base = 7 * pageBytes1G
        var ranges: [(UInt64, UInt64)] = [
            (0, pageBytes),
            (base, pageBytes),
            (base + 5 * pageBytes, 3 * pageBytes),
            (base, pageBytes2M),
            (base, 2 * pageBytes2M),
            (base, pageBytes2M - pageBytes),
            (base, pageBytes2M + pageBytes),
            (base + pageBytes, pageBytes2M),  // no whole 2 MiB in it
            (base + pageBytes2M - 2 * pageBytes, 2 * pageBytes2M + 4 * pageBytes),  // head, large pages, tail
            (base + pageBytes2M - pageBytes, 2 * pageBytes),  // over the end of a table
            (base + pageBytes1G - pageBytes, 2 * pageBytes),  // over the end of a higher table
            (top - pageBytes, pageBytes),
            (top - pageBytes2M, pageBytes2M),
            (top - pageBytes2M - pageBytes, pageBytes2M + pageBytes),
        ]
        if width > 39 { ranges.append((1 << 39 - pageBytes, 2 * pageBytes)) }
        if width > 48 { ranges.append((1 << 48 - 2 * pageBytes, 5 * pageBytes)) }
        if isCheapWhenLong {
            ranges += [
                (base, pageBytes1G),
                (base, 2 * pageBytes1G),
                (base + pageBytes1G - pageBytes2M - 2 * pageBytes, pageBytes1G + 2 * pageBytes2M + 5 * pageBytes),
                (top - pageBytes1G, pageBytes1G),
                (top - pageBytes1G - pageBytes2M, pageBytes1G + pageBytes2M),
            ]
            if width > 39 { ranges.append((1 << 39 - pageBytes1G, 2 * pageBytes1G)) }
        }
        return ranges
    }
}

@Suite(.serialized)
struct PagingContractTests {
    @Test(arguments: Geometry.all)
    func mappingTakesTheLargestPages(_ geometry: Geometry) throws {
        let bench = try DomainBench()
        let device = try bench.makeDevice()
        let domain = try bench.makePaging(width: geometry.width, largest: geometry.largest)
        #expect(bench.attach(device, domain) == CIOMMU_OK)
        let empty = bench.statistics(domain)
        #expect(empty.mapped == 0 && empty.tables <= 1 && empty.attachments == 1)
        var log = MismatchLog()
        let top = UInt64(1) << UInt64(geometry.width)
        for (iova, length) in geometry.ranges where !log.isFull {
            let context = "\(hex(iova))+\(hex(length))"
            let run = Run(iova: iova, address: geometry.congruence.output(iova), length: length)
            let pages = run.pages(largest: geometry.largest)
            log.compare(bench.tryMap(domain, iova, to: run.address, length), CIOMMU_OK, context)
            bench.compareListing(domain, pages, width: geometry.width, context, &log)
            try bench.compareTranslations(pages, context, &log)
            var outside: [UInt64] = []
            if iova > 0 { outside += [iova - 1, iova - pageBytes] }
            outside += [run.last + 1, run.last + pageBytes2M]
            if geometry.width < 57 { outside.append(top) }  // more in addressesThatDifferAboveTheWidth
            try bench.compareFaults(outside, "\(context), outside", &log)
            log.compare(try bench.unmapAll(domain), length, "\(context): bytes unmapped")
            try bench.compareFaults([iova, run.last], "\(context), unmapped", &log)
            bench.compareListing(domain, [], width: geometry.width, "\(context), unmapped", &log)
        }
        #expect(log.isEmpty, "\(log)")
        #expect(bench.statistics(domain).tables <= 1 + UInt64(geometry.width - 12) / 9)
    }

    /// Two addresses that differ only in a bit above the width are two addresses: one is mapped, the other is out of range.
    @Test(arguments: [UInt32(39), 48, 57], [UInt32(12), 21, 30])
    func addressesThatDifferAboveTheWidth(width: UInt32, largest: UInt32) throws {
        let bench = try DomainBench()
        let domain = try bench.makePaging(width: width, largest: largest)
        try check(bench.attach(bench.makeDevice(), domain))
        let base = 5 * pageBytes1G
        try bench.map(domain, base, to: base, 1 << UInt64(largest))
        var log = MismatchLog(limit: 4)
        for bit in UInt64(width)...63 {
            #expect(try bench.ask(base + 8).isMapped)
            try bench.compareFaults([base | 1 << bit, base + 8 | 1 << bit], "bit \(bit)", &log)
        }
        #expect(log.isEmpty, "\(log)")
    }

    /// The same content, however it came about: in pieces from either end, it is merged into the same pages.
    @Test(arguments: Geometry.all.filter { $0.width == 48 && $0.largest > 12 && $0.congruence != .modulo4K })
    func piecesMergeIntoTheLargestPages(_ geometry: Geometry) throws {
        let bench = try DomainBench()
        var log = MismatchLog()
        let iova = 9 * pageBytes1G
        let whole = Run(iova: iova, address: geometry.congruence.output(iova), length: 2 * pageBytes2M)
        let count = whole.length / pageBytes
        let cuts: [[UInt64]] = [
            Array(1..<count),  // every 4 KiB page by itself
            [1], [511], [512], [513], [count - 1], [3, 512, 700],
        ]
        for (index, cuts) in cuts.enumerated() {
            for backwards in [false, true] {
                let domain = try bench.makePaging(largest: geometry.largest)
                let starts = [0] + cuts
                let pieces = zip(starts, cuts + [count]).map {
                    whole.clipped(iova + $0 * pageBytes, iova + $1 * pageBytes - 1)
                }
                for piece in backwards ? pieces.reversed() : pieces {
                    try bench.map(domain, piece.iova, to: piece.address, piece.length)
                }
                bench.compareListing(
                    domain, whole.pages(largest: geometry.largest), width: 48, "cuts \(index) backwards \(backwards)",
                    &log)
                #expect(bench.destroy(domain) == CIOMMU_OK)
            }
        }
        #expect(log.isEmpty, "\(log)")
    }

    /// 512 pages of 2 MiB become one of 1 GiB, also when they became whole page by page.
    @Test func mergingClimbsLevels() throws {
        let bench = try DomainBench()
        let domain = try bench.makePaging(largest: 30)
        let base = 4 * pageBytes1G
        let hole = base + 77 * pageBytes2M + 13 * pageBytes
        try bench.map(domain, base, to: base, hole - base)
        try bench.map(domain, hole + pageBytes, to: hole + pageBytes, base + pageBytes1G - hole - pageBytes)
        #expect(bench.statistics(domain).pages.2 == 0)
        try bench.map(domain, hole, to: hole, pageBytes)
        #expect(bench.listing(domain) == [Page(iova: base, address: base, lg2: 30, rights: readWrite, isDirty: true)])
        #expect(bench.statistics(domain).tables <= 3)
    }

    /// Neighbours that differ in rights or in where they lead stay apart.
    @Test func whatDiffersIsNotMerged() throws {
        let bench = try DomainBench()
        let base = 4 * pageBytes1G
        let other = try bench.makePaging(largest: 21)
        try bench.map(other, base, to: base, pageBytes2M - pageBytes)
        try bench.map(other, base + pageBytes2M - pageBytes, to: base + pageBytes2M - pageBytes, pageBytes, CIOMMU_READ)
        #expect(bench.statistics(other).pages.0 == 512)
        #expect(bench.protect(other, base, pageBytes2M, CIOMMU_READ) == CIOMMU_OK)
        #expect(bench.statistics(other).pages.1 == 1)
        let third = try bench.makePaging(largest: 21)
        try bench.map(third, base, to: base, pageBytes2M - pageBytes)
        try bench.map(third, base + pageBytes2M - pageBytes, to: base + pageBytes2M, pageBytes)
        #expect(bench.statistics(third).pages.0 == 512)
    }

    /// Everything at once, whatever there is, and nothing is left of the tables.
    @Test func unmappingEverythingGivesEverythingBack() throws {
        let bench = try DomainBench()
        let domain = try bench.makePaging(width: 57)
        var bytes: UInt64 = 0
        for step in 0..<200 as Range<UInt64> {
            let iova = step * 0x3_7123_4000 & ~0xfff
            try bench.map(domain, iova, to: 0x10_0000_0000 + step * 0x40_0000, (step % 5 + 1) * pageBytes)
            bytes += (step % 5 + 1) * pageBytes
        }
        #expect(bench.statistics(domain).tables > 200)
        #expect(try bench.unmapAll(domain) == bytes)
        #expect(bench.statistics(domain).tables <= 5)
        #expect(bench.listing(domain).isEmpty)
        #expect(try bench.unmapAll(domain) == 0)
    }

    /// A range without mappings in it is no error, and the edges of a range that has some are kept.
    @Test func unmappingTellsHowMuchWasThere() throws {
        let bench = try DomainBench()
        let domain = try bench.makePaging()
        try bench.map(domain, 0x10_0000, to: 0x5_0000, 4 * pageBytes)
        #expect(try bench.unmap(domain, 0x40_0000, pageBytes2M) == 0)
        #expect(try bench.unmap(domain, 0x10_3000, 9 * pageBytes) == pageBytes)
        #expect(try bench.unmap(domain, 0, 0x10_1000) == pageBytes)
        #expect(try bench.unmap(domain, 0, 1 << 48) == 2 * pageBytes)
    }
}
