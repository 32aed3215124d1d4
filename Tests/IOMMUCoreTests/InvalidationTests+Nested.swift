// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Second-stage invalidations below a first stage: a guest-physical address selects no input address, so the nested spaces of
// the domain are dropped whole. And the units that several devices share.

import IOMMU
import IOMMUTestSupport
import Testing

@Suite struct NestedInvalidationTests {
    static let modes = TableMode.translating.filter(\.isNested)
    static let input: UInt64 = 0x12_3456_7000
    static let place: UInt64 = 0x23_4567_8000
    static let old: UInt64 = 0x40_0000_0000
    static let new: UInt64 = 0x80_0000_0000

    /// A nested space with one page, its second stage at `level`, warm.
    private func warm(_ mode: TableMode, level: Int = 0) throws -> (ModeTables, TestBench) {
        let tables = ModeTables(mode)
        let low = UInt64(1) << UInt64(12 + 9 * level) - 1
        tables.second?.map(Self.place & ~low, to: Self.old, level: level)
        tables.first?.map(Self.input, to: Self.place, flags: 0x67)
        let bench = try tables.bench()
        for access: Access in [[.read], [.write], [.read]] {
            let request = tables.request(Self.input, access)
            #expect(try bench.answer(request).mapped?.address == Self.old + Self.place & low)
        }
        return (tables, bench)
    }

    /// Every descriptor that covers a guest-physical page of the second stage.
    private static func covering(_ page: UInt64, isLeafOnly: Bool) -> [Descriptor] {
        let domain = ModeTables.domain
        return [
            .iotlbGlobal, .iotlbDomain(domain), .iotlbPages(domain, at: page, isLeafOnly: isLeafOnly),
            .iotlbPages(domain, at: page, mask: 9, isLeafOnly: isLeafOnly),
            .iotlbPages(domain, at: page, mask: 27, isLeafOnly: isLeafOnly),
        ]
    }

    @Test(arguments: modes, [0, 1, 2])
    func aSecondStageLeafReachesTheNestedTranslation(mode: TableMode, level: Int) throws {
        let low = UInt64(1) << UInt64(12 + 9 * level) - 1
        for descriptor in Self.covering(Self.place, isLeafOnly: true) {
            let (tables, bench) = try warm(mode, level: level)
            tables.second?.map(Self.place & ~low, to: Self.new, level: level)
            try bench.invalidate(descriptor)
            let request = tables.request(Self.input, [.read])
            #expect(try bench.answer(request).mapped?.address == Self.new + Self.place & low, "\(descriptor)")
        }
    }

    @Test(arguments: modes)
    func aMovedFirstStageTableIsSeen(mode: TableMode) throws {
        let levels = mode.firstLevels ?? 4
        for level in 0..<levels {
            for index in 0..<5 {
                let (tables, bench) = try warm(mode)
                let (first, second) = (try #require(tables.first), try #require(tables.second))
                // The guest-physical page of one table moves to a copy in which the path ends elsewhere.
                let page = first.entryPointer(Self.input, level: level) & ~0xfff
                let copy = tables.image.allocatePage()
                let original = first.entryAddress(Self.input, level: level) & ~0xfff
                for slot in 0..<512 as Range<UInt64> {
                    tables.image[copy + 8 * slot] = tables.image[original + 8 * slot]
                }
                tables.image[copy | first.entryAddress(Self.input, level: level) & 0xfff] = 0
                second.map(page, to: copy)
                try bench.invalidate(Self.covering(page, isLeafOnly: true)[index])
                let request = tables.request(Self.input, [.read])
                #expect(try bench.answer(request).fault?.code == 0x71, "level \(level)")
                #expect(try bench.answer(request) == bench.expected(request))
            }
        }
    }

    @Test(arguments: modes)
    func aSecondStageTablePointerReachesTheNestedTranslation(mode: TableMode) throws {
        for level in 1...2 {
            let (tables, bench) = try warm(mode)
            let second = try #require(tables.second)
            let shadow: UInt64 = Self.place + 0x20_0000_0000
            second.map(shadow, to: Self.new)
            second.setEntry(Self.place, level: level, second.entry(shadow, level: level))
            try bench.invalidate(.iotlbPages(ModeTables.domain, at: Self.place, mask: UInt64(9 * level)))
            #expect(try bench.answer(tables.request(Self.input, [.read])).mapped?.address == Self.new)
        }
    }

    @Test(arguments: modes)
    func secondStagePermissionsThatShrinkAreSeen(mode: TableMode) throws {
        let (tables, bench) = try warm(mode)
        tables.second?.update(Self.place, level: 0) { $0 &= ~2 }
        try bench.invalidate(.iotlbPages(ModeTables.domain, at: Self.place, isLeafOnly: true))
        let write = tables.request(Self.input, [.write])
        #expect(try bench.answer(write).fault?.code == 0x85)
        #expect(try bench.answer(write) == bench.expected(write))
    }

    @Test(arguments: modes)
    func aFirstStageInvalidationLeavesTheSecondStageRight(mode: TableMode) throws {
        let (tables, bench) = try warm(mode)
        let other = Self.place + 0x5000
        tables.second?.map(other, to: Self.new)
        tables.first?.map(Self.input, to: other, flags: 0x67)
        try bench.invalidate(
            .pasidIOTLBPages(ModeTables.domain, pasid: ModeTables.pasid, at: Self.input, isLeafOnly: true))
        #expect(try bench.answer(tables.request(Self.input, [.read])).mapped?.address == Self.new)
    }

    /// Several PASIDs nest on one second stage and one uses it directly: one descriptor reaches all.
    @Test func aSharedSecondStageReachesEveryUser() throws {
        let tables = ModeTables(.nested(first: 4, second: 4))
        let second = try #require(tables.second)
        second.map(Self.place, to: Self.old)
        var users: [UInt32] = []
        for pasid in UInt32(10)..<20 {
            let first = PagingTables(
                nestedOn: second, levels: 4, in: tables.image, firstPage: 0x4000_0000 + UInt64(pasid) << 20)
            first.map(Self.input, to: Self.place, flags: 0x67)
            var entry = tables.entry
            entry.firstRoot = first.root
            tables.builder.setPASID(ModeTables.source, pasid: pasid, entry)
            users.append(pasid)
        }
        var direct = tables.entry
        direct.type = .second
        tables.builder.setPASID(ModeTables.source, pasid: 20, direct)
        let bench = try tables.bench()
        func check(_ address: UInt64) throws {
            for pasid in users {
                let request = DMARequest(source: ModeTables.source, pasid: pasid, iova: Self.input, access: [.read])
                #expect(try bench.answer(request).mapped?.address == address, "\(request)")
            }
            let request = DMARequest(source: ModeTables.source, pasid: 20, iova: Self.place, access: [.read])
            #expect(try bench.answer(request).mapped?.address == address)
        }
        try check(Self.old)
        try check(Self.old)
        second.map(Self.place, to: Self.new)
        try bench.invalidate(.iotlbPages(ModeTables.domain, at: Self.place, isLeafOnly: true))
        try check(Self.new)
    }
}
