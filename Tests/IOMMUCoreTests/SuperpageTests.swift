// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Large pages: 4 KiB edited inside a cached 2 MiB or 1 GiB page and the other way round, splits and merges, the smaller page of two
// stages, and a large page over the interrupt range. A leaf is cached at its own size, or in parts of the second stage's size,
// and one invalidated page takes the whole leaf with it.

import IOMMU
import IOMMUTestSupport
import Testing

@Suite struct SuperpageTests {
    static let modes = TableMode.translating
    static let input: UInt64 = 0x12_4000_0000
    static let place: UInt64 = 0x23_4000_0000
    static let output: UInt64 = 0x34_4000_0000
    static let other: UInt64 = 0x45_8000_0000

    /// The stage that a test edits, with what it maps from and to; in nested modes the first stage over 1 GiB pages.
    struct Edited {
        let tables: ModeTables
        let stage: PagingTables
        let bench: TestBench
        private let outputs: [UInt64]

        init(_ mode: TableMode) throws {
            tables = ModeTables(mode)
            if let first = tables.first {
                stage = first
                tables.second?.map(SuperpageTests.place, to: SuperpageTests.output, level: 2)
                tables.second?.map(SuperpageTests.place + 1 << 30, to: SuperpageTests.other, level: 2)
                outputs =
                    tables.second == nil
                    ? [SuperpageTests.output, SuperpageTests.other]
                    : [SuperpageTests.place, SuperpageTests.place + 1 << 30]
                first.leafFlags = 0x67
            } else {
                stage = try #require(tables.second)
                outputs = [SuperpageTests.output, SuperpageTests.other]
            }
            bench = try tables.bench()
        }

        /// Maps a page of the edited stage; `isOther` to the second gigabyte of outputs.
        func map(_ offset: UInt64, level: Int, isOther: Bool = false) {
            stage.map(SuperpageTests.input + offset, to: outputs[isOther ? 1 : 0] + offset, level: level)
        }

        func request(_ offset: UInt64, _ access: Access = [.read]) -> DMARequest {
            tables.request(SuperpageTests.input + offset, access)
        }

        /// The page-selective invalidation that belongs to the edited stage.
        func invalidate(_ offset: UInt64, mask: UInt64 = 0, isLeafOnly: Bool = false) throws {
            let address = SuperpageTests.input + offset
            if tables.first != nil {
                try bench.invalidate(
                    .pasidIOTLBPages(
                        ModeTables.domain, pasid: ModeTables.pasid, at: address, mask: mask, isLeafOnly: isLeafOnly))
            } else {
                try bench.invalidate(
                    .iotlbPages(ModeTables.domain, at: address, mask: mask, isLeafOnly: isLeafOnly))
            }
        }

        /// The engine and the reference agree, and this is the answer.
        func check(_ offset: UInt64, isOther: Bool = false, _ line: SourceLocation = #_sourceLocation) throws {
            let answer = try bench.answer(request(offset))
            #expect(answer == bench.expected(request(offset)), sourceLocation: line)
            let base = isOther ? SuperpageTests.other : SuperpageTests.output
            #expect(answer.mapped?.address == base + offset, sourceLocation: line)
        }

        func checkAbsent(_ offset: UInt64, _ line: SourceLocation = #_sourceLocation) throws {
            let answer = try bench.answer(request(offset))
            #expect(answer == bench.expected(request(offset)), sourceLocation: line)
            #expect([0x06, 0x71, 0x79].contains(answer.fault?.code), sourceLocation: line)
        }
    }

    @Test(arguments: modes, [1, 2])
    func onePageInvalidatedInsideALargeLeafDropsTheWholeLeaf(mode: TableMode, level: Int) throws {
        let edited = try Edited(mode)
        let size = UInt64(1) << UInt64(12 + 9 * level)
        edited.map(0, level: level)
        for offset in [0, 0x5000, size / 2, size - 1] { try edited.check(offset) }
        edited.map(0, level: level, isOther: true)
        try edited.invalidate(0x5000)
        for offset in [0, 0x5000, size / 2, size - 1] { try edited.check(offset, isOther: true) }
    }

    /// The second stage's pages are smaller than the first stage's leaf, so it is cached in parts.
    @Test(arguments: modes.filter(\.isNested), [[1, 0], [2, 0], [2, 1]])
    func onePageInvalidatedInsideACutLeafDropsAllItsParts(mode: TableMode, levels: [Int]) throws {
        let tables = ModeTables(mode)
        let part = UInt64(1) << UInt64(12 + 9 * levels[1])
        let moved = Self.place + 1 << 30
        for offset in (0..<8).map({ $0 * part }) {
            tables.second?.map(Self.place + offset, to: Self.output + offset, level: levels[1])
            tables.second?.map(moved + offset, to: Self.other + offset, level: levels[1])
        }
        tables.first?.map(Self.input, to: Self.place, level: levels[0], flags: 0x67)
        let bench = try tables.bench()
        for output in [Self.output, Self.other] {
            if output == Self.other {
                tables.first?.map(Self.input, to: moved, level: levels[0], flags: 0x67)
                try bench.invalidate(
                    .pasidIOTLBPages(
                        ModeTables.domain, pasid: ModeTables.pasid, at: Self.input + 5 * part, mask: 0, isLeafOnly: true
                    ))
            }
            for offset in (0..<8).map({ $0 * part }) {
                let request = tables.request(Self.input + offset, [.read])
                let answer = try bench.answer(request)
                #expect(answer == bench.expected(request))
                #expect(answer.mapped?.address == output + offset)
            }
        }
    }

    @Test(arguments: modes, [1, 2])
    func aLargeLeafSplitIntoPagesAnswersPageByPage(mode: TableMode, level: Int) throws {
        let edited = try Edited(mode)
        edited.map(0, level: level)
        for offset: UInt64 in [0x3000, 0x4000, 0x5000] { try edited.check(offset) }
        // The split: a new table that maps the same, except for one page that is gone and one that went elsewhere.
        edited.stage.setEntry(SuperpageTests.input, level: level, 0)
        for page in 0..<16 as Range<UInt64> where page != 4 { edited.map(page << 12, level: 0, isOther: page == 5) }
        try edited.invalidate(0, mask: UInt64(9 * level))
        try edited.check(0x3000)
        try edited.checkAbsent(0x4000)
        try edited.check(0x5000, isOther: true)
        #expect(try edited.bench.answer(edited.request(0x3000)).mapped?.pageSizeLog2 == 12)
    }

    @Test(arguments: modes, [1, 2])
    func pagesMergedIntoALargeLeafAnswerAsOne(mode: TableMode, level: Int) throws {
        let edited = try Edited(mode)
        for page in 0..<8 as Range<UInt64> { edited.map(page << 12, level: 0) }
        for page in 0..<8 as Range<UInt64> { try edited.check(page << 12) }
        edited.map(0, level: level, isOther: true)
        try edited.invalidate(0, mask: UInt64(9 * level))
        for offset: UInt64 in [0, 0x3000, 0x7fff, 0x1f_f000] { try edited.check(offset, isOther: true) }
        #expect(try edited.bench.answer(edited.request(0x3000)).mapped?.pageSizeLog2 == 12 + 9 * level)
    }

    @Test(arguments: modes)
    func unmappingOnePageOfASplitLeafLeavesItsNeighbours(mode: TableMode) throws {
        let edited = try Edited(mode)
        edited.map(0x20_0000, level: 1)
        for page in 0..<512 as Range<UInt64> { edited.map(page << 12, level: 0) }
        for page in 0..<512 as Range<UInt64> { try edited.check(page << 12) }
        try edited.check(0x20_0000)
        edited.stage.setEntry(SuperpageTests.input + 0x7000, level: 0, 0)
        try edited.invalidate(0x7000, isLeafOnly: true)
        try edited.checkAbsent(0x7000)
        for page in 0..<512 as Range<UInt64> where page != 7 { try edited.check(page << 12) }
        try edited.check(0x20_0000)
    }

    @Test(arguments: modes)
    func everyPageSizeLivesBesideTheOthers(mode: TableMode) throws {
        let edited = try Edited(mode)
        edited.map(0, level: 0)
        edited.map(0x20_0000, level: 1)
        edited.map(0x40_0000, level: 0)
        for _ in 0..<2 {
            for offset: UInt64 in [0x10, 0x20_0010, 0x3f_fff8, 0x40_0ff0] { try edited.check(offset) }
            for offset: UInt64 in [0x1000, 0x40_1000, 0x60_0000] { try edited.checkAbsent(offset) }
        }
        // 2 MiB appears where 4 KiB was, with an invalidation that covers the old page.
        edited.map(0x40_0000, level: 1, isOther: true)
        try edited.invalidate(0x40_0000, mask: 9)
        for offset: UInt64 in [0x40_0ff0, 0x40_1000, 0x5f_ffff] { try edited.check(offset, isOther: true) }
        try edited.check(0x20_0010)
    }

    @Test(arguments: TableMode.translating.filter(\.isNested))
    func theSmallerPageOfTwoStagesDecides(mode: TableMode) throws {
        for firstLevel in 0...2 {
            for secondLevel in 0...2 {
                let tables = ModeTables(mode)
                let (input, place, output) = (Self.input, Self.place, Self.output)
                tables.first?.map(input, to: place, level: firstLevel, flags: 0x67)
                tables.second?.map(place, to: output, level: secondLevel)
                // The next page of the second stage goes elsewhere, so an answer that is too large would be wrong.
                let size = UInt64(1) << UInt64(12 + 9 * secondLevel)
                tables.second?.map(place + size, to: Self.other, level: secondLevel)
                let bench = try tables.bench()
                for offset in [0, 0xfff, size - 1, size, size + 0x123] {
                    let request = tables.request(input + offset, [.read])
                    for _ in 0..<2 { #expect(try bench.answer(request) == bench.expected(request)) }
                }
                let answer = try bench.answer(tables.request(input, [.read]))
                #expect(answer.mapped?.pageSizeLog2 == 12 + 9 * min(firstLevel, secondLevel))
            }
        }
    }

    @Test(arguments: modes, [1, 2])
    func aLargeLeafOverTheInterruptRangeServesOnlyTheRest(mode: TableMode, level: Int) throws {
        let tables = ModeTables(mode)
        let low = UInt64(1) << UInt64(12 + 9 * level) - 1
        let (input, place): (UInt64, UInt64) = (0x12_fee0_0000, 0x23_fee0_0000)
        tables.second?.map((tables.first == nil ? input : place) & ~low, to: 0xfee0_0000 & ~low, level: level)
        tables.first?.map(
            input & ~low, to: (tables.second == nil ? 0xfee0_0000 : place) & ~low, level: level, flags: 0x67)
        let bench = try tables.bench()
        for offset in [0x10_0000, 0, 0xf_fff8, 0x1f_fff8, 0x10_0008, 0x8_0000] as [UInt64] {
            let request = tables.request(input + offset, [.read])
            for isCached in [true, true, false] {
                #expect(try bench.answer(request, isCached: isCached) == bench.expected(request), "\(request)")
            }
            #expect((try bench.answer(request).fault != nil) == (offset < 0x10_0000))
        }
    }
}
