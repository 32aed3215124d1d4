// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Requests at the edge of what can be asked for: the last PASID, the last addresses, lengths that wrap, lengths of nothing, and
// scatter lists far larger than any host keeps.

import IOMMU
import IOMMUTestSupport
import Testing

@Suite struct HostileRequestTests {
    static let source = SourceID(UInt32(ModeTables.source))

    /// PDTS 7: a directory of 16,384 entries, of which the last one leads to the last PASID.
    @Test func theLastPASIDIsAPASIDAndTheNextOneIsNot() throws {
        #expect(PASID(1 << 20) == nil && PASID(UInt32.max) == nil)
        var log = MismatchLog()
        let tables = ModeTables(.first(4))
        let image = tables.image
        let directory = image.allocatePages(32)
        let entries = image.allocatePage()
        for index: UInt64 in [0, 1, 0x1fff, 0x2000, 0x3ffe, 0x3fff] { image[directory + 8 * index] = entries | 1 }
        for index in 0..<64 where index % 2 == 1 {
            for (word, value) in tables.entry.words.enumerated() {
                image[entries + 64 * UInt64(index) + 8 * UInt64(word)] = value
            }
        }
        tables.first?.map(0x1000, to: 0x5000)
        tables.context.directory = directory
        for size: UInt64 in [0, 6, 7] {
            tables.context.directorySize = size
            tables.publish()
            let bench = try tables.bench()
            let bound = UInt32(1) << UInt32(size + 13)
            for pasid in [0, 1, 63, 64, bound - 64, bound - 2, bound - 1, bound, bound + 1, 0xf_ffff, 0xf_fffe] {
                guard PASID(pasid) != nil else { continue }
                var request = tables.request(0x1000, [.read])
                request.pasid = pasid
                for isCached in [false, true, true] {
                    let answer = try bench.answer(request, isCached: isCached)
                    log.compare(answer, bench.expected(request), "size \(size), \(request)")
                    log.compare(answer.fault?.code == 0x46, pasid >= bound, "size \(size), \(request)")
                }
            }
        }
        log.expectNone("PASIDs")
    }

    @Test(arguments: TableMode.translating + TableMode.unchanging)
    func addressesAtEveryEdgeAreJudgedAsTheReferenceDoes(mode: TableMode) throws {
        var log = MismatchLog()
        let tables = ModeTables(mode)
        // The last page of every width is mapped, where it has a place in the tables.
        for stage in [tables.first, tables.second].compactMap({ $0 }) {
            let last = UInt64(1) << UInt64(12 + 9 * stage.levels) - 0x1000
            // Marked, so that a cached answer has all rights from the first one on.
            for (place, output): (UInt64, UInt64) in [(0, 0x7000), (last, 0x6000), (last / 2 & ~0xfff, 0x5000)] {
                stage.map(place, to: output, flags: 0x367)
            }
        }
        let bench = try tables.bench()
        var inputs: Set<UInt64> = [0, .max]
        for bit: UInt64 in [32, 38, 39, 46, 47, 48, 51, 52, 56, 57, 58, 63] {
            for value: UInt64 in [1 << bit, UInt64.max << bit] {
                inputs.formUnion([value - 1, value, value &- 0x1000, value | 0xfff])
            }
        }
        for input in inputs.sorted() {
            for access: Access in [[], [.read], [.write]] {
                for isExplicit in [true, false] {
                    let request = tables.request(input, access, isPASIDExplicit: isExplicit)
                    for isCached in [false, true, true] {
                        let answer = try bench.answer(request, isCached: isCached)
                        log.compare(answer, bench.expected(request), "\(request)")
                    }
                }
            }
        }
        log.compare(bench.differences, [], "marks")
        log.expectNone("\(mode)")
    }

    @Test(arguments: [TableMode.disabled, .legacyPassThrough, .first(5), .legacySecond(3)])
    func lengthsThatWrapAreRefusedAndTouchNothing(mode: TableMode) throws {
        let tables = ModeTables(mode)
        let bench = try tables.bench()
        let pasid = mode.isLegacy ? nil : PASID(ModeTables.pasid)
        let before = bench.unit.statistics.faults
        let two: [UInt8] = [1, 2]
        let cases: [(UInt64, Int)] = [
            (.max, 2), (.max - 0xfff, 0x1001), (1 << 63, .max), (.max - 6, .max), (1 << 63 + 2, .max),
        ]
        for (start, count) in cases where start > UInt64.max - UInt64(count) + 1 {
            for access: AccessRights in [.read, .write, [.read, .write], []] {
                #expect(throws: IOMMUError.wraps, "\(start) \(count)") {
                    try bench.port.withAccess(
                        to: IOVA(start), count: count, access: access, source: Self.source, pasid: pasid
                    ) { _ in Issue.record("called") }
                }
            }
        }
        #expect(throws: IOMMUError.wraps) {
            try bench.port.write(two.span, to: IOVA(.max), source: Self.source, pasid: pasid)
        }
        #expect(bench.unit.statistics.faults == before)
        #expect(bench.differences.isEmpty)
    }

    @Test(arguments: TableMode.translating + TableMode.unchanging)
    func nothingAskedForIsNoPieceAndNoFault(mode: TableMode) throws {
        let tables = ModeTables(mode)
        let bench = try tables.bench()
        let pasid = mode.isLegacy ? nil : PASID(ModeTables.pasid)
        for start: UInt64 in [0, 0xfff, 0xfee0_0000, 1 << 57 - 1, .max] {
            try bench.port.withAccess(to: IOVA(start), count: 0, access: .write, source: Self.source, pasid: pasid) {
                #expect($0.count == 0 && $0.isComplete && $0.fault == nil && !$0.isInterrupt)
            }
            let nothing: [UInt8] = []
            let progress = try bench.port.write(
                nothing.span, to: IOVA(start), source: Self.source, pasid: pasid)
            #expect(progress.count == 0 && progress.isComplete)
        }
        #expect(bench.takeFaults().isEmpty && bench.differences.isEmpty)
    }

    /// A tebibyte whose every page is elsewhere than the one before, in tables that share what is below each level.
    @Test(arguments: [TableMode.first(4), .legacySecond(4), .nested(first: 4, second: 4)])
    func aTebibyteScatterListComesInPiecesOfBoundedNumber(mode: TableMode) throws {
        let tables = ModeTables(mode)
        let image = tables.image
        let pages = [image.allocatePage(), image.allocatePages(2) + 0x1000]
        let stage = try #require(tables.first ?? tables.second)
        for place in pages where mode.isNested { tables.second?.map(place, to: place) }
        for page: UInt64 in 0..<512 { stage.map(page << 12, to: pages[Int(page & 1)], flags: 0x367) }
        for level in 1..<3 {
            let shift = UInt64(12 + 9 * level)
            let shared = stage.entry(0, level: level)
            for index: UInt64 in 1..<512 { stage.setEntry(index << shift, level: level, shared) }
        }
        for index: UInt64 in 1..<3 { stage.setEntry(index << 39, level: 3, stage.entry(0, level: 3)) }
        let bench = try tables.bench()
        let pasid = mode.isLegacy ? nil : PASID(ModeTables.pasid)
        let terabyte = 1 << 40
        var start: UInt64 = 0x1230
        for _ in 0..<3 {
            let covered = try bench.port.withAccess(
                to: IOVA(start), count: terabyte, access: .read, source: Self.source, pasid: pasid
            ) { segments in
                #expect(segments.count == 65_536 && !segments.isComplete && segments.fault == nil)
                #expect(segments.bytes(of: segments.count - 1)?.byteCount == 4096)
                return segments.bytesCovered
            }
            #expect(covered == 65_536 << 12 - Int(start & 0xfff))
            start += UInt64(covered)
        }
        // Its last byte is there, and the first one after it is not.
        let end = UInt64(3) << 39
        try bench.port.withAccess(to: IOVA(end - 1), count: 2, access: .read, source: Self.source, pasid: pasid) {
            #expect($0.bytesCovered == 1 && $0.fault?.address == IOVA(end))
        }
    }
}
