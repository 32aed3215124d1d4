// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Parts of large pages: unmapped or protected, all other pages stay as they are; filled again, the large page is back.

import CIOMMU
import IOMMUTestSupport
import Testing

/// A part of a large page.
struct Part: CustomTestStringConvertible {
    var lg2: UInt32
    /// From the page's start; may reach into its neighbours.
    var offset: Int64
    var length: UInt64

    var testDescription: String { "2^\(lg2) at \(offset) length \(length)" }

    static let all: [Part] = [UInt32(21), 30].flatMap { lg2 -> [Part] in
        let size = Int64(1) << Int64(lg2)
        let page = Int64(pageBytes)
        var parts = [
            (0, page), (size / 2, page), (size - page, page),  // first, middle, last
            (page, page), (size / 2 - page, 3 * page), (0, size / 2),
            (-page, 2 * page), (size - page, 2 * page),  // over an end
            (page, size - 2 * page),  // all but the ends
            (0, size),
        ]
        if lg2 == 30 {
            let large = Int64(pageBytes2M)
            parts += [
                (0, large), (100 * large, large), (size - large, large), (5 * large - page, large + 2 * page),
                (3 * large, 7 * large),
            ]
        }
        return parts.map { Part(lg2: lg2, offset: $0.0, length: UInt64($0.1)) }
    }
}

@Suite(.serialized)
struct PagingHoleTests {
    private let base = 8 * pageBytes1G

    /// The large page in the middle, half of one of 2 MiB on either side.
    private func content(_ part: Part) -> RunMap {
        var content = RunMap()
        let size = UInt64(1) << UInt64(part.lg2)
        let first = base - pageBytes2M / 2
        let last = base + size + pageBytes2M / 2 - 1
        content.set(first, last, [Run(iova: first, address: first + 64 * pageBytes1G, length: last - first + 1)])
        return content
    }

    private func warm(_ bench: DomainBench, _ pages: [Page]) throws {
        for page in pages.prefix(600) {
            for access in [CIOMMU_READ, CIOMMU_WRITE] { _ = try bench.ask(page.iova, access) }
        }
    }

    @Test(arguments: Part.all)
    func aHoleLeavesTheRestAlone(_ part: Part) throws {
        let bench = try DomainBench()
        let device = try bench.makeDevice()
        let domain = try bench.makePaging(largest: part.lg2)
        #expect(bench.attach(device, domain) == CIOMMU_OK)
        let original = content(part)
        let run = original.runs[0]
        try bench.map(domain, run.iova, to: run.address, run.length)
        var log = MismatchLog()
        bench.compareListing(domain, original.pages(largest: part.lg2), width: 48, "before", &log)
        try warm(bench, bench.listing(domain))
        _ = try bench.ask(base + 12345 * 8, CIOMMU_WRITE)

        let first = UInt64(Int64(base) + part.offset)
        let hole = run.clipped(first, first + part.length - 1)
        var holed = original
        holed.set(hole.iova, hole.last, [])
        log.compare(try bench.unmap(domain, hole.iova, hole.length), hole.length, "bytes unmapped")
        let rest = holed.pages(largest: part.lg2)
        bench.compareListing(domain, rest, width: 48, "with a hole", &log)
        try bench.compareTranslations(rest, "with a hole", &log)
        try bench.compareFaults([hole.iova, hole.iova + hole.length / 2, hole.last], "in the hole", &log)

        try bench.map(domain, hole.iova, to: hole.address, hole.length)
        let whole = original.pages(largest: part.lg2)
        bench.compareListing(domain, whole, width: 48, "filled again", &log)
        // Answers for 4 KiB pages may still be cached: they are as right as before.
        try bench.compareTranslations(whole, exactSize: false, "filled again", &log)
        #expect(log.isEmpty, "\(log)")
    }

    @Test(arguments: Part.all, [CIOMMU_READ, CIOMMU_WRITE])
    func protectingAPartLeavesTheRestAlone(_ part: Part, rights: UInt32) throws {
        let bench = try DomainBench()
        let device = try bench.makeDevice()
        let domain = try bench.makePaging(largest: part.lg2)
        #expect(bench.attach(device, domain) == CIOMMU_OK)
        let original = content(part)
        let run = original.runs[0]
        try bench.map(domain, run.iova, to: run.address, run.length)
        try warm(bench, bench.listing(domain))

        var log = MismatchLog()
        let first = UInt64(Int64(base) + part.offset)
        var changed = run.clipped(first, first + part.length - 1)
        changed.rights = rights
        var wanted = original
        wanted.set(changed.iova, changed.last, [changed])
        log.compare(bench.protect(domain, changed.iova, changed.length, rights), CIOMMU_OK, "protect")
        let pages = wanted.pages(largest: part.lg2)
        bench.compareListing(domain, pages, width: 48, "protected", &log)
        try bench.compareTranslations(pages, exactSize: false, "protected", &log)
        let inside = changed.pages(largest: part.lg2)
        try bench.compareTranslations(inside, exactSize: false, "the protected part", &log)

        log.compare(bench.protect(domain, changed.iova, changed.length, readWrite), CIOMMU_OK, "protect back")
        let whole = original.pages(largest: part.lg2)
        bench.compareListing(domain, whole, width: 48, "as before", &log)
        try bench.compareTranslations(whole, exactSize: false, "as before", &log)
        #expect(log.isEmpty, "\(log)")
    }

    /// Unmapped and mapped elsewhere: the new place, at once, at every address of the hole.
    @Test func aHoleMayLeadElsewhere() throws {
        let bench = try DomainBench()
        let device = try bench.makeDevice()
        let domain = try bench.makePaging()
        #expect(bench.attach(device, domain) == CIOMMU_OK)
        try bench.map(domain, base, to: base, pageBytes1G)
        for step in 0..<200 as Range<UInt64> {
            let page = base + (step * 7919) % (pageBytes1G / pageBytes) * pageBytes
            _ = try bench.ask(page)
            try bench.unmap(domain, page, pageBytes)
            #expect(try !bench.ask(page).isMapped)
            try bench.map(domain, page, to: 0x1000 * (step + 1), pageBytes)
            #expect(try bench.ask(page + 5).address == 0x1000 * (step + 1) + 5)
            #expect(try bench.ask(page ^ pageBytes).address == page ^ pageBytes)
            try bench.unmap(domain, page, pageBytes)
            try bench.map(domain, page, to: page, pageBytes)
            #expect(bench.statistics(domain).pages.2 == 1)
        }
    }
}
