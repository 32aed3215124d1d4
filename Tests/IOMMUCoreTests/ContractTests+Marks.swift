// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Accessed and dirty bits [FORMATS-VTD A9]: which entries a request marks, when the right to write is reported, and that
// nothing is written when nothing is missing.

import IOMMU
import IOMMUTestSupport
import Testing

@Suite struct ContractMarkTests {
    /// Modes that keep marks; the second stage with SSADE.
    static let modes = TableMode.translating.filter { !$0.isLegacy }
    static let input: UInt64 = 0x12_3456_7000
    static let place: UInt64 = 0x34_5678_9000
    static let output: UInt64 = 0x45_6789_a000

    /// Tables with one mapping without marks at `level` in each stage.
    static func tables(_ mode: TableMode, level: Int, _ change: (inout PASIDEntry) -> Void = { _ in }) -> ModeTables {
        let tables = ModeTables(mode)
        tables.entry.enablesSecondMarks = tables.second != nil
        change(&tables.entry)
        tables.publish()
        let low = UInt64(1) << UInt64(12 + 9 * level) - 1
        tables.second?.map((tables.first == nil ? input : place) & ~low, to: output & ~low, level: level, flags: 7)
        tables.first?.map(input & ~low, to: (tables.second == nil ? output : place) & ~low, level: level, flags: 7)
        return tables
    }

    /// Marks of the path's entries in one stage, top first: 1 accessed, 2 dirty, 4 extended accessed.
    static func marks(_ tables: PagingTables?, _ input: UInt64, level: Int) -> [Int] {
        guard let tables else { return [] }
        return (level..<tables.levels).reversed().map { current in
            let entry = tables.entry(input, level: current)
            let shift: UInt64 = tables.stage == .first ? 5 : 8
            return Int(entry >> shift) & 3 | (tables.stage == .first && entry & 0x400 != 0 ? 4 : 0)
        }
    }

    /// First-stage marks, then those of the second stage for the final address.
    static func marks(_ tables: ModeTables, level: Int) -> [[Int]] {
        [
            marks(tables.first, input, level: level),
            marks(tables.second, tables.first == nil ? input : place, level: level),
        ]
    }

    @Test(arguments: modes, [0, 1, 2])
    func aReadSetsAccessedAndAWriteSetsDirtyAtTheLeaf(mode: TableMode, level: Int) throws {
        let tables = Self.tables(mode, level: level)
        let bench = try tables.bench()
        let clean = Self.marks(tables, level: level)
        #expect(clean.allSatisfy { $0.allSatisfy { $0 == 0 } })

        let read = tables.request(Self.input, [.read])
        #expect(try bench.answer(read).mapped?.rights == [.read])
        #expect(bench.expected(read).mapped?.rights == [.read])
        let accessed = clean.map { $0.map { _ in 1 } }
        #expect(Self.marks(tables, level: level) == accessed)
        #expect(bench.differences == [])

        // The cached answer does not permit the write, so the write walks and sets the dirty bit.
        let write = tables.request(Self.input, [.write])
        #expect(try bench.answer(write).mapped?.rights == [.read, .write])
        #expect(bench.expected(write).mapped?.rights == [.read, .write])
        let dirty: [[Int]] = accessed.map { Array($0.dropLast()) + ($0.isEmpty ? [] : [3]) }
        #expect(Self.marks(tables, level: level) == dirty)
        #expect(bench.differences == [])
        #expect(try bench.answer(read).mapped?.rights == [.read, .write])
    }

    @Test(arguments: modes, [0, 1, 2])
    func probesAndRequestsThatLeaveMarksChangeNothing(mode: TableMode, level: Int) throws {
        let tables = Self.tables(mode, level: level)
        let bench = try tables.bench()
        let before = tables.image.copy()
        for access: Access in [[], [.read], [.write], [.read, .write]] {
            var request = tables.request(Self.input, access)
            request.leavesMarks = !access.isProbe
            for isCached in [false, true, true] {
                let answer = try bench.answer(request, isCached: isCached)
                #expect(answer.mapped?.rights == [.read], "\(request)")
                #expect(answer == bench.expected(request))
            }
        }
        #expect(tables.image.differences(from: before) == [])
        // Nothing of this was cached in a way that keeps a later access from setting its marks.
        _ = try bench.answer(tables.request(Self.input, [.write]))
        #expect(Self.marks(tables, level: level).allSatisfy { $0.dropLast().allSatisfy { $0 == 1 } })
        #expect(Self.marks(tables, level: level).allSatisfy { $0.isEmpty || $0.last == 3 })
    }

    @Test(arguments: modes, [0, 1, 2])
    func fullyMarkedTablesInReadOnlyMemoryServeWrites(mode: TableMode, level: Int) throws {
        let tables = Self.tables(mode, level: level)
        let bench = try tables.bench()
        _ = try bench.answer(tables.request(Self.input, [.write]))
        _ = bench.expected(tables.request(Self.input, [.write]))
        try tables.image.protect(region: 0, isWritable: false, in: bench.memory)
        for isCached in [false, true] {
            let request = tables.request(Self.input, [.write])
            #expect(try bench.answer(request, isCached: isCached).mapped?.rights == [.read, .write])
            #expect(bench.expected(request).mapped?.rights == [.read, .write])
        }
    }

    @Test(arguments: modes.filter { $0.firstLevels != nil })
    func extendedAccessedIsSetWithAccessedWhenEnabled(mode: TableMode) throws {
        let tables = Self.tables(mode, level: 0) { $0.hasExtendedAccessed = true }
        let bench = try tables.bench()
        _ = try bench.answer(tables.request(Self.input, [.read]))
        #expect(Self.marks(tables.first, Self.input, level: 0).allSatisfy { $0 == 5 })
        // Accessed alone is not enough: the extended bit is set later, too.
        let last = try #require(tables.first)
        last.update(Self.input, level: 0) { $0 &= ~0x400 }
        _ = try bench.answer(tables.request(Self.input, [.read]), isCached: false)
        #expect(Self.marks(last, Self.input, level: 0).last == 5)
    }

    @Test(arguments: TableMode.translating.filter { $0.firstLevels == nil })
    func aSecondStageWithoutMarksIsNeverWritten(mode: TableMode) throws {
        let tables = Self.tables(mode, level: 0) { $0.enablesSecondMarks = false }
        let bench = try tables.bench()
        let before = tables.image.copy()
        for access: Access in [[.read], [.write]] {
            #expect(try bench.answer(tables.request(Self.input, access)).mapped?.rights == [.read, .write])
        }
        #expect(tables.image.differences(from: before) == [])
    }

    @Test(arguments: TableMode.translating.filter(\.isNested))
    func markingAFirstStageEntryDirtiesItsPageInTheSecondStage(mode: TableMode) throws {
        let tables = Self.tables(mode, level: 0)
        let bench = try tables.bench()
        let (first, second) = (try #require(tables.first), try #require(tables.second))
        _ = try bench.answer(tables.request(Self.input, [.read]))
        for level in 0..<first.levels {
            let page = first.entryPointer(Self.input, level: level)
            #expect(Self.marks(second, page, level: 0).last == 3)
        }
        // The page that was only read is not dirty.
        #expect(Self.marks(second, Self.place, level: 0).last == 1)
    }

    @Test(arguments: modes)
    func entriesAboveAFaultingEntryStayMarkedAndTheFaultingOneIsNot(mode: TableMode) throws {
        let tables = Self.tables(mode, level: 0)
        let bench = try tables.bench()
        tables.first?.update(Self.input, level: 0) { $0 &= ~2 }
        if tables.first == nil { tables.second?.update(Self.input, level: 0) { $0 &= ~2 } }
        let request = tables.request(Self.input, [.write])
        let answer = try bench.answer(request)
        #expect(answer.fault?.code == 0x85)
        #expect(answer == bench.expected(request))
        let stage = try #require(tables.first ?? tables.second)
        #expect(Self.marks(stage, Self.input, level: 0) == (1..<stage.levels).map { _ in 1 } + [0])
        #expect(bench.differences == [])
    }
}
