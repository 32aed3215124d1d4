// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Dirty tracking: which writes set which bits at which page size, what clears them, and that a write after clearing is seen again
// although the port's caches are warm.

import CIOMMU
import IOMMUTestSupport
import Testing

@Suite(.serialized)
struct DirtyContractTests {
    private let base = 8 * pageBytes1G

    /// A tracked domain behind source 0x42.
    private func tracked(
        largest: UInt32 = 30, flags: UInt32 = 0, _ fill: (DomainBench, Domain) throws -> Void
    ) throws -> (DomainBench, Domain) {
        let bench = try DomainBench()
        let device = try bench.makeDevice()
        let domain = try bench.makePaging(largest: largest, flags: CIOMMU_PAGING_DIRTY_TRACKING)
        try check(bench.attach(device, domain))
        try fill(bench, domain)
        try check(bench.startTracking(domain, flags: flags))
        return (bench, domain)
    }

    @Test func aWriteSetsTheBitOfItsPageAndNoOther() throws {
        let (bench, domain) = try tracked(largest: 12) { bench, domain in
            try bench.map(domain, base, to: base, 300 * pageBytes)
        }
        #expect(try bench.dirtyBits(domain, base, 300 * pageBytes) == [])
        for page in [0, 1, 63, 64, 65, 255, 299] as [UInt64] {
            _ = try bench.ask(base + page * pageBytes + 4095, CIOMMU_WRITE)
        }
        #expect(try bench.dirtyBits(domain, base, 300 * pageBytes) == [0, 1, 63, 64, 65, 255, 299])
        #expect(try bench.dirtyBits(domain, base, 300 * pageBytes) == [])
    }

    @Test func readsAndProbesNeverDirty() throws {
        let (bench, domain) = try tracked { bench, domain in
            try bench.map(domain, base, to: base, pageBytes1G)
            try bench.map(domain, base + pageBytes1G, to: base, pageBytes)
        }
        for iova in [base, base + 12345, base + pageBytes1G] {
            for _ in 0..<3 {
                #expect(try bench.ask(iova, CIOMMU_READ).isMapped)
                #expect(try bench.ask(iova, 0).isMapped)
                #expect(try bench.ask(iova, CIOMMU_READ, flags: CIOMMU_NO_CACHE | CIOMMU_NO_FAULT).isMapped)
                _ = try bench.ask(iova, CIOMMU_WRITE, flags: CIOMMU_NO_AD | CIOMMU_NO_FAULT)
            }
            #expect(try bench.ask(iova, CIOMMU_READ).rights == CIOMMU_READ)
        }
        #expect(try bench.dirtyBits(domain, base, 2 * pageBytes1G) == [])
    }

    @Test func aDeniedWriteDoesNotDirty() throws {
        let (bench, domain) = try tracked { bench, domain in
            try bench.map(domain, base, to: base, pageBytes, CIOMMU_READ)
        }
        #expect(try !bench.ask(base, CIOMMU_WRITE).isMapped)
        #expect(try !bench.ask(base, readWrite).isMapped)
        #expect(try bench.dirtyBits(domain, base, pageBytes) == [])
    }

    /// The bits of a dirty page, at every granularity from 4 KiB to more than the page.
    @Test(arguments: [UInt32(12), 21, 30])
    func aDirtyPageShowsAtEveryPageSize(_ leaf: UInt32) throws {
        let size = UInt64(1) << UInt64(leaf)
        for granule in UInt64(12)...UInt64(33) {
            let unit = UInt64(1) << granule
            let length = max(3 * size + 100 * pageBytes, 4 * unit) / unit * unit
            guard length / unit <= 1 << 17 else { continue }
            let (bench, domain) = try tracked(largest: leaf) { bench, domain in
                // Three pages; the second is written.
                try bench.map(domain, base, to: base, 3 * size)
            }
            #expect(bench.next(domain, base)?.lg2 == leaf)
            _ = try bench.ask(base + size + size / 2 + 8, CIOMMU_WRITE)
            let first = size / unit
            let last = (2 * size - 1) / unit
            #expect(try bench.dirtyBits(domain, base, length, pageSize: unit) == (Int(first)...Int(last)).map { $0 })
            #expect(try bench.dirtyBits(domain, base, length, pageSize: unit) == [])
        }
    }

    @Test func aLookWithoutClearingClearsNothing() throws {
        let (bench, domain) = try tracked { bench, domain in
            try bench.map(domain, base, to: base, pageBytes2M)
        }
        _ = try bench.ask(base, CIOMMU_WRITE)
        for _ in 0..<3 {
            #expect(try bench.dirtyBits(domain, base, pageBytes2M, flags: CIOMMU_DIRTY_NO_CLEAR).count == 512)
        }
        #expect(bench.next(domain, base)?.isDirty == true)
        #expect(try bench.dirtyBits(domain, base, pageBytes2M).count == 512)
        #expect(bench.next(domain, base)?.isDirty == false)
        #expect(try bench.dirtyBits(domain, base, pageBytes2M, flags: CIOMMU_DIRTY_NO_CLEAR) == [])
    }

    /// The port's caches grant the write; after clearing it must set the bit again.
    @Test(arguments: [UInt32(12), 21, 30], [UInt32(0), CIOMMU_DIRTY_SPLIT])
    func aWriteAfterClearingIsSeenAgain(_ leaf: UInt32, flags: UInt32) throws {
        guard leaf < 30 || flags == 0 else { return }
        let size = UInt64(1) << UInt64(leaf)
        let (bench, domain) = try tracked(largest: leaf, flags: flags) { bench, domain in
            try bench.map(domain, base, to: base, size)
        }
        let bits = flags == 0 ? Int(size / pageBytes) : 1
        for round in 0..<20 {
            for _ in 0..<3 {  // warm
                #expect(try bench.ask(base + 100, CIOMMU_WRITE).isMapped)
                #expect(try bench.ask(base + 100, CIOMMU_READ).isMapped)
            }
            #expect(try bench.dirtyBits(domain, base, size).count == bits, "round \(round)")
            #expect(try bench.ask(base + 100, CIOMMU_READ).rights == CIOMMU_READ, "round \(round)")
            #expect(try bench.dirtyBits(domain, base, size) == [], "round \(round)")
        }
    }

    @Test func splitPagesAreTrackedOneByOne() throws {
        let (bench, domain) = try tracked(largest: 30, flags: CIOMMU_DIRTY_SPLIT) { bench, domain in
            try bench.map(domain, base, to: base, 2 * pageBytes2M)
        }
        #expect(bench.statistics(domain).pages.0 == 1024)
        _ = try bench.ask(base + 700 * pageBytes, CIOMMU_WRITE)
        #expect(try bench.dirtyBits(domain, base, 2 * pageBytes2M) == [700])
        // What is mapped meanwhile is made of small pages as well, and clean.
        try bench.map(domain, base + pageBytes1G, to: base + pageBytes1G, pageBytes2M)
        #expect(bench.next(domain, base + pageBytes1G)?.lg2 == 12)
        #expect(try bench.dirtyBits(domain, base + pageBytes1G, pageBytes2M) == [])
        _ = try bench.ask(base + pageBytes1G + 3 * pageBytes, CIOMMU_WRITE)
        #expect(try bench.dirtyBits(domain, base + pageBytes1G, pageBytes2M) == [3])
        #expect(bench.stopTracking(domain) == CIOMMU_OK)
        #expect(bench.statistics(domain).pages.0 == 0)
        #expect(bench.statistics(domain).pages.1 == 3)
    }

    @Test func startingAgainCleansAgain() throws {
        let (bench, domain) = try tracked { bench, domain in
            try bench.map(domain, base, to: base, pageBytes2M)
        }
        for _ in 0..<3 {
            _ = try bench.ask(base, CIOMMU_WRITE)
            #expect(bench.startTracking(domain) == CIOMMU_OK)
            #expect(try bench.dirtyBits(domain, base, pageBytes2M, flags: CIOMMU_DIRTY_NO_CLEAR) == [])
            #expect(bench.stopTracking(domain) == CIOMMU_OK)
            #expect(bench.stopTracking(domain) == CIOMMU_OK)
            #expect(bench.next(domain, base)?.isDirty == true)
            #expect(bench.startTracking(domain) == CIOMMU_OK)
        }
    }

    /// Bits that no dirty page touches keep what they held, in the range and beyond it.
    @Test func otherBitsKeepWhatTheyHold() throws {
        let (bench, domain) = try tracked(largest: 12) { bench, domain in
            try bench.map(domain, base, to: base, 256 * pageBytes)
        }
        _ = try bench.ask(base + 3 * pageBytes, CIOMMU_WRITE)
        _ = try bench.ask(base + 130 * pageBytes, CIOMMU_WRITE)
        var bitmap: [UInt64] = [0x8000_0000_0000_0001, 0, 0, 0xdead_beef]
        #expect(bench.readDirty(domain, base, 128 * pageBytes, into: &bitmap) == CIOMMU_OK)
        #expect(bitmap == [0x8000_0000_0000_0009, 0, 0, 0xdead_beef])
        // What lay outside is still dirty.
        #expect(try bench.dirtyBits(domain, base + 128 * pageBytes, 128 * pageBytes) == [2])
        // An odd number of bits: the rest of the last word is not touched.
        _ = try bench.ask(base + 9 * pageBytes, CIOMMU_WRITE)
        bitmap = [~0 << 10]
        #expect(bench.readDirty(domain, base, 10 * pageBytes, into: &bitmap) == CIOMMU_OK)
        #expect(bitmap == [~0 << 9])
    }

    /// Bit 0 is the range's start, whatever its address.
    @Test func bitsCountFromTheRangesStart() throws {
        let (bench, domain) = try tracked(largest: 12) { bench, domain in
            try bench.map(domain, base, to: base, 256 * pageBytes)
        }
        _ = try bench.ask(base + 77 * pageBytes, CIOMMU_WRITE)
        #expect(try bench.dirtyBits(domain, base + 70 * pageBytes, 20 * pageBytes) == [7])
        _ = try bench.ask(base + 77 * pageBytes, CIOMMU_WRITE)
        #expect(try bench.dirtyBits(domain, base + 64 * pageBytes, 64 * pageBytes, pageSize: 16 * pageBytes) == [0])
    }

    /// A range that cuts a large page must not lose what was written in the other part of it.
    @Test func aRangeThatCutsALargePageLosesNothing() throws {
        let (bench, domain) = try tracked(largest: 21) { bench, domain in
            try bench.map(domain, base, to: base, 2 * pageBytes2M)
        }
        let half = pageBytes2M / 2
        _ = try bench.ask(base + pageBytes2M + 5 * pageBytes, CIOMMU_WRITE)
        #expect(try bench.dirtyBits(domain, base + half, pageBytes2M).count == 256)
        #expect(try bench.dirtyBits(domain, base + pageBytes2M + half, half).count == 256)
        #expect(try bench.dirtyBits(domain, base, 2 * pageBytes2M).count == 512)
        #expect(try bench.dirtyBits(domain, base, 2 * pageBytes2M) == [])
    }

    /// Splitting, merging, protecting and mapping around it keep what is known of a page.
    @Test func changesOfOtherPagesKeepWhatWasWritten() throws {
        let (bench, domain) = try tracked(largest: 30) { bench, domain in
            try bench.map(domain, base, to: base, 2 * pageBytes2M)
        }
        _ = try bench.ask(base, CIOMMU_WRITE)
        try bench.unmap(domain, base + 7 * pageBytes, pageBytes)
        #expect(bench.protect(domain, base + 9 * pageBytes, pageBytes, CIOMMU_READ) == CIOMMU_OK)
        #expect(bench.protect(domain, base + pageBytes2M, pageBytes, CIOMMU_READ) == CIOMMU_OK)
        try bench.map(domain, base + 7 * pageBytes, to: base + 7 * pageBytes, pageBytes)
        let wanted = (0..<512).filter { $0 != 7 }
        #expect(try bench.dirtyBits(domain, base, 2 * pageBytes2M) == wanted)
        // Nothing was merged while tracking, so one page is one bit from now on.
        _ = try bench.ask(base + 3 * pageBytes, CIOMMU_WRITE)
        #expect(try bench.dirtyBits(domain, base, 2 * pageBytes2M) == [3])
    }

    @Test func theCopyHelperDirties() throws {
        let (bench, domain) = try tracked(largest: 12) { bench, domain in
            try bench.register(0x100_0000, bytes: 0x4000)
            try bench.map(domain, base, to: 0x100_0000, 4 * pageBytes)
        }
        #expect(bench.write(base + 2 * pageBytes + 16, 0x1234) == CIOMMU_OK)
        #expect(bench.peek(0x100_2010) == 0x1234)
        #expect(try bench.dirtyBits(domain, base, 4 * pageBytes) == [2])
        #expect(bench.write(base + pageBytes - 4, 0x1234) == CIOMMU_OK)  // over an end
        #expect(try bench.dirtyBits(domain, base, 4 * pageBytes) == [0, 1])
    }

    /// A write through a nested domain marks the parent's page that it reaches.
    @Test(arguments: [false, true])
    func aWriteThroughAChildMarksTheParentsPage(isLargeInParent: Bool) throws {
        let bench = try DomainBench()
        let device = try bench.makeDevice()
        let parent = try bench.makePaging(
            largest: isLargeInParent ? 21 : 12, flags: CIOMMU_PAGING_DIRTY_TRACKING | CIOMMU_PAGING_NEST_PARENT)
        let guest = try GuestTables(bench, parent: parent)
        let data = 32 * pageBytes1G
        try bench.map(parent, data, to: 0x40_0000_0000, 2 * pageBytes2M)
        // Input pages in another order than the parent's.
        for page in 0..<16 as Range<UInt64> { guest.map(page * pageBytes, to: data + (15 - page) * pageBytes) }
        let child = try bench.makeNested(on: parent, root: guest.root)
        #expect(bench.attach(device, child, pasid: 9) == CIOMMU_OK)
        for page in 0..<16 as Range<UInt64> { #expect(try bench.ask(page * pageBytes, pasid: 9).isMapped) }
        #expect(bench.startTracking(parent) == CIOMMU_OK)
        for page in 0..<16 as Range<UInt64> { #expect(try bench.ask(page * pageBytes, pasid: 9).isMapped) }
        #expect(try bench.dirtyBits(parent, data, 2 * pageBytes2M) == [])
        for round in 0..<5 {
            for page in [2, 2, 11] as [UInt64] {
                #expect(try bench.ask(page * pageBytes, CIOMMU_WRITE, pasid: 9).isMapped)
            }
            let wanted = isLargeInParent ? Array(0..<512) : [4, 13]
            #expect(try bench.dirtyBits(parent, data, 2 * pageBytes2M) == wanted, "round \(round)")
        }
    }

    @Test func errorsChangeNothing() throws {
        let bench = try DomainBench()
        let untracked = try bench.makePaging()
        #expect(bench.startTracking(untracked) == CIOMMU_UNSUPPORTED)
        #expect(bench.startTracking(bench.blocked) != CIOMMU_OK)
        #expect(bench.startTracking(bench.identity) != CIOMMU_OK)
        let domain = try bench.makePaging(flags: CIOMMU_PAGING_DIRTY_TRACKING)
        try check(bench.attach(bench.makeDevice(), domain))
        try bench.map(domain, base, to: base, pageBytes2M)
        var bitmap: [UInt64] = [UInt64](repeating: 0xa5, count: 64)
        let original = bitmap
        #expect(bench.readDirty(domain, base, pageBytes, into: &bitmap) == CIOMMU_NOT_TRACKING)
        #expect(bench.startTracking(domain, flags: 1 << 9) == CIOMMU_INVALID_ARGUMENT)
        #expect(bench.readDirty(domain, base, pageBytes, into: &bitmap) == CIOMMU_NOT_TRACKING)
        #expect(bench.startTracking(domain) == CIOMMU_OK)
        _ = try bench.ask(base, CIOMMU_WRITE)
        let cases: [(String, UInt64, UInt64, UInt64, UInt32, ciommu_status)] = [
            ("iova", base + 1, pageBytes, pageBytes, 0, CIOMMU_MISALIGNED),
            ("iova of larger granule", base + pageBytes, pageBytes2M, pageBytes2M, 0, CIOMMU_MISALIGNED),
            ("length", base, pageBytes + 8, pageBytes, 0, CIOMMU_MISALIGNED),
            ("length of larger granule", base, pageBytes2M + pageBytes, pageBytes2M, 0, CIOMMU_MISALIGNED),
            ("no page size", base, pageBytes, 0, 0, CIOMMU_INVALID_ARGUMENT),
            ("small page size", base, pageBytes, 2048, 0, CIOMMU_INVALID_ARGUMENT),
            ("odd page size", base, 3 * pageBytes, 3 * pageBytes, 0, CIOMMU_INVALID_ARGUMENT),
            ("unknown flag", base, pageBytes, pageBytes, 1 << 7, CIOMMU_INVALID_ARGUMENT),
            ("wraps", 0 &- pageBytes, 2 * pageBytes, pageBytes, 0, CIOMMU_WRAPS),
            ("over the width", (1 << 48) - pageBytes, 2 * pageBytes, pageBytes, 0, CIOMMU_OUT_OF_RANGE),
        ]
        for (name, iova, length, pageSize, flags, wanted) in cases {
            #expect(
                bench.readDirty(domain, iova, length, pageSize: pageSize, flags: flags, into: &bitmap) == wanted,
                "\(name)")
            #expect(bitmap == original, "\(name)")
        }
        #expect(try bench.dirtyBits(domain, base, pageBytes2M, flags: CIOMMU_DIRTY_NO_CLEAR).count == 512)
    }

    /// Holes in the range are clean; what is unmapped takes its bit with it; what is mapped anew is clean.
    @Test func onlyWhatIsMappedShows() throws {
        let (bench, domain) = try tracked(largest: 12) { bench, domain in
            try bench.map(domain, base, to: base, 4 * pageBytes)
        }
        for page in 0..<4 as Range<UInt64> { _ = try bench.ask(base + page * pageBytes, CIOMMU_WRITE) }
        try bench.unmap(domain, base + pageBytes, 2 * pageBytes)
        try bench.map(domain, base + 2 * pageBytes, to: base, pageBytes)
        #expect(try bench.dirtyBits(domain, base - 10 * pageBytes, 64 * pageBytes) == [10, 13])
    }
}
