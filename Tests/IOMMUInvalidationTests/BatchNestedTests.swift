// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Stage-1 entries against a nested domain, with translations before and after [FORMATS-IOMMUFD 5].

import IOMMU
import IOMMUTestSupport
import Testing

@Suite struct BatchNestedTests {
    private static let base: UInt64 = 0x7fff_4000_0000

    /// 4 KiB pages of a guest, all in use by the device.
    private func guest(pages: Int) throws -> NestedGuest {
        let guest = try NestedGuest(try InvalidationBench())
        for page in 0..<UInt64(pages) { guest.map(Self.base + page << 12, at: page << 12) }
        for page in 0..<UInt64(pages) { #expect(try guest.isAt(NestedGuest.old, Self.base + page << 12, page << 12)) }
        return guest
    }

    @Test func whatAnEntryCoversIsNew() throws {
        let guest = try guest(pages: 64)
        for page in 0..<UInt64(64) { guest.map(Self.base + page << 12, at: page << 12, moved: true) }
        let entries = [3, 7, 8, 9, 40].map {
            StageOneEntry(address: IOVA(Self.base + UInt64($0) << 12), pageCount: 1, leafOnly: true)
        }
        let result = try guest.domain.invalidate(batch: entries, port: guest.bench.port)
        #expect(result.isComplete && result.handled == 5 && result.segments == 1)
        for page: UInt64 in [3, 7, 8, 9, 40] {
            #expect(try guest.isAt(NestedGuest.new, Self.base + page << 12, page << 12))
        }
        #expect(try guest.domain.invalidate(batch: [.everything]).isComplete)
        for page in 0..<UInt64(64) { #expect(try guest.isAt(NestedGuest.new, Self.base + page << 12, page << 12)) }
    }

    @Test func nothingOfASuperpageSurvivesTheInvalidationOfAPageInIt() throws {
        for (level, size) in [(1, UInt64(2) << 20), (2, UInt64(1) << 30)] {
            for leafOnly in [true, false] {
                let guest = try NestedGuest(try InvalidationBench())
                guest.map(Self.base, at: 0, level: level)
                let places: [UInt64] = [0, 0x1000, 0x5000, size / 2, size - 0x1000, size - 1]
                for place in places { #expect(try guest.isAt(NestedGuest.old, Self.base + place, place)) }
                guest.map(Self.base, at: 0, level: level, moved: true)
                try guest.domain.invalidate(
                    batch: [StageOneEntry(address: IOVA(Self.base + 0x5000), pageCount: 1, leafOnly: leafOnly)])
                for place in places { #expect(try guest.isAt(NestedGuest.new, Self.base + place, place)) }
            }
        }
    }

    @Test func aSuperpageBecomesATable() throws {
        let guest = try NestedGuest(try InvalidationBench())
        guest.map(Self.base, at: 0, level: 1)
        #expect(try guest.isAt(NestedGuest.old, Self.base + 0x3000, 0x3000))
        guest.tables.setEntry(Self.base, level: 1, 0)
        guest.map(Self.base + 0x3000, at: 0x8000, moved: true)
        try guest.domain.invalidate(batch: [StageOneEntry(address: IOVA(Self.base), pageCount: 512)])
        #expect(try guest.isAt(NestedGuest.new, Self.base + 0x3000, 0x8000))
        #expect(try guest.bench.output(Self.base + 0x4000) == nil)
    }

    @Test(arguments: [0, 2, 4])
    func entriesBeforeARefusedOneAreComplete(index: Int) throws {
        let guest = try guest(pages: 5)
        for page in 0..<UInt64(5) { guest.map(Self.base + page << 12, at: page << 12, moved: true) }
        let entries = (0..<5).map { page in
            StageOneEntry(address: IOVA(Self.base + UInt64(page) << 12 + (page == index ? 1 : 0)), pageCount: 1)
        }
        let result = try guest.domain.invalidate(batch: entries)
        #expect(result.handled == index && result.refusedIndex == index)
        #expect(result.hardwareError == HardwareError(.errno, code: 22))
        #expect(result.rule == "stage-1 entry: addr is not a multiple of 4096")
        for page in 0..<UInt64(index) {
            #expect(try guest.isAt(NestedGuest.new, Self.base + page << 12, page << 12))
        }
    }

    @Test func eachRuleHasItsCode() throws {
        let guest = try guest(pages: 1)
        let cases: [(words: [UInt64], extra: [UInt8], code: Int?)] = [
            ([0x1000, 1, 0], [], nil), ([0x1000, 1, 1], [], nil), ([0x1000, 1, 2], [], 95),
            ([0x1000, 1, 0x8000_0000], [], 95), ([0x1000, 1, 1 << 32], [], 95), ([0x1001, 1, 2], [], 95),
            ([0x1800, 1, 0], [], 22), ([0x1000, .max, 0], [], 22), ([0, .max, 0], [], nil),
            ([0x1000, 0, 0], [], nil), ([.max & ~0xfff, .max - 1, 0], [], nil),
            ([0x1000, 1, 0], [0, 0, 0], nil), ([0x1000, 1, 0], [0, 0, 1], 7), ([0x1001, 1, 0], [1, 0, 0], 7),
        ]
        for (words, extra, code) in cases {
            let bytes = words.flatMap { word in (0..<8).map { UInt8(truncatingIfNeeded: word >> ($0 * 8)) } } + extra
            let result = try unsafe bytes.withUnsafeBytes { bytes in
                try unsafe guest.domain.invalidate(rawEntries: bytes, entryLength: 24 + extra.count)
            }
            #expect(result.hardwareError == code.map { HardwareError(.errno, code: $0) }, "\(words) \(extra)")
            #expect(result.handled == (code == nil ? 1 : 0))
        }
    }

    @Test func rangesThatTouchAreMerged() throws {
        let guest = try guest(pages: 32)
        for page in 0..<UInt64(32) { guest.map(Self.base + page << 12, at: page << 12, moved: true) }
        let entries = (0..<UInt64(32)).map { StageOneEntry(address: IOVA(Self.base + $0 << 12), pageCount: 1) }
        let before = guest.bench.unit.invalidationStatistics
        let result = try guest.domain.invalidate(batch: entries)
        let after = guest.bench.unit.invalidationStatistics
        #expect(result.isComplete && result.merged == 31)
        #expect(after.invalidations == before.invalidations + 1)
        #expect(after.drains == before.drains + 1)
        for page in 0..<UInt64(32) { #expect(try guest.isAt(NestedGuest.new, Self.base + page << 12, page << 12)) }
    }

    @Test func randomBatchesDropWhatTheyCover() throws {
        var random = SeededGenerator.forTest()
        let guest = try guest(pages: 512)
        var isMoved = [Bool](repeating: false, count: 512)
        for round in 0..<30 {
            var entries: [StageOneEntry] = []
            for _ in 0...random.below(150) {
                let first = random.below(512)
                let count = 1 + random.below(random.oneIn(10) ? 512 - first : min(8, 512 - first))
                for page in first..<first + count {
                    isMoved[page].toggle()
                    guest.map(Self.base + UInt64(page) << 12, at: UInt64(page) << 12, moved: isMoved[page])
                }
                entries.append(
                    StageOneEntry(
                        address: IOVA(Self.base + UInt64(first) << 12), pageCount: UInt64(count),
                        leafOnly: random.oneIn(2)))
            }
            #expect(try guest.domain.invalidate(batch: entries).isComplete)
            for page in 0..<512 {
                let place = isMoved[page] ? NestedGuest.new : NestedGuest.old
                #expect(
                    try guest.isAt(place, Self.base + UInt64(page) << 12, UInt64(page) << 12),
                    "round \(round) page \(page), IOMMU_TEST_SEED=\(random.seed)")
            }
        }
    }

    @Test func aStageOneBatchNeedsNoPort() throws {
        let bench = try InvalidationBench(pooledPorts: 0)
        let guest = try NestedGuest(bench)
        #expect(try guest.domain.invalidate(batch: [.everything]).isComplete)
        #expect(try guest.domain.invalidate(batch: []).isComplete)
    }
}
