// SPDX-License-Identifier: LGPL-2.1-or-later
//
// After the guest's edit and the descriptor that covers it, the new answer is seen by every port, at every granularity
// [FORMATS-VTD C2, C3]. What a descriptor does not cover may answer old or new, and nothing else. This file: translations.

import IOMMU
import IOMMUTestSupport
import Testing

/// An address space whose pages can be moved from an old output to a new one, warm in the caches of two ports.
final class MovablePages {
    static let oldBase: UInt64 = 0x20_0000_0000
    static let newBase: UInt64 = 0x40_0000_0000

    let tables: ModeTables
    let stage: PagingTables
    let bench: TestBench
    private let secondPort: Port
    private var pages: [(input: UInt64, number: UInt64)] = []

    /// Maps every input at `level` of the first stage, if there is one, else of the second.
    init(_ mode: TableMode, inputs: [UInt64], level: Int = 0, model: UnitModel = .full) throws {
        tables = ModeTables(mode)
        stage = try #require(tables.first ?? tables.second)
        // Nested: the second stage maps old and new outputs onto themselves with its largest pages.
        for gigabyte in 0..<UInt64(mode.isNested ? 32 : 0) {
            for base in [Self.oldBase, Self.newBase] {
                tables.second?.map(base + gigabyte << 30, to: base + gigabyte << 30, level: 2)
            }
        }
        stage.leafFlags = tables.first == nil ? 7 : 0x67
        let size = UInt64(12 + 9 * level)
        for (number, input) in inputs.enumerated() {
            pages.append((input, UInt64(number) << size))
            stage.map(input, to: Self.oldBase + UInt64(number) << size, level: level)
        }
        bench = try tables.bench(model: model)
        secondPort = try bench.unit.makePort()
        for _ in 0..<2 {
            for page in pages { try expect(page.input, bases: [Self.oldBase]) }
        }
    }

    /// The guest moves a page: one store to its leaf.
    func move(_ input: UInt64, level: Int = 0) {
        stage.update(input, level: level) { $0 = $0 &+ Self.newBase &- Self.oldBase }
    }

    func moveAll(level: Int = 0) {
        for page in pages { move(page.input, level: level) }
    }

    func expectNew(_ input: UInt64, _ location: SourceLocation = #_sourceLocation) throws {
        try expect(input, bases: [Self.newBase], location)
    }

    func expectOld(_ input: UInt64, _ location: SourceLocation = #_sourceLocation) throws {
        try expect(input, bases: [Self.oldBase], location)
    }

    func expectOldOrNew(_ input: UInt64, _ location: SourceLocation = #_sourceLocation) throws {
        try expect(input, bases: [Self.oldBase, Self.newBase], location)
    }

    private func expect(_ input: UInt64, bases: [UInt64], _ location: SourceLocation = #_sourceLocation) throws {
        let number = pages.first { $0.input == input }?.number ?? 0
        let wanted = bases.map { $0 + number + 0x10 }
        for access: Access in [[.read], [.write]] {
            let request = tables.request(input + 0x10, access)
            for port in [bench.port, secondPort] {
                let address = try port.answer(request).mapped?.address
                #expect(address.map(wanted.contains) == true, "\(request): \(address ?? 0)", sourceLocation: location)
            }
        }
    }

    /// A page-selective invalidation of the kind that belongs to this address space.
    func pages(_ address: UInt64, mask: UInt64, isLeafOnly: Bool) -> Descriptor {
        tables.first == nil
            ? .iotlbPages(ModeTables.domain, at: address, mask: mask, isLeafOnly: isLeafOnly)
            : .pasidIOTLBPages(
                ModeTables.domain, pasid: ModeTables.pasid, at: address, mask: mask, isLeafOnly: isLeafOnly)
    }
}

@Suite struct InvalidationTests {
    static let modes = TableMode.translating
    static let base: UInt64 = 0x12_4000_0000

    /// Every descriptor that covers a whole address space in this mode.
    static func wholeSpace(_ mode: TableMode) -> [Descriptor] {
        var descriptors: [Descriptor] = [.iotlbGlobal]
        if mode.secondLevels != nil { descriptors.append(.iotlbDomain(ModeTables.domain)) }
        if mode.firstLevels != nil { descriptors.append(.pasidIOTLB(ModeTables.domain, pasid: ModeTables.pasid)) }
        return descriptors
    }

    @Test(arguments: modes)
    func coarseGranularitiesDropTheWholeSpace(mode: TableMode) throws {
        for descriptor in Self.wholeSpace(mode) {
            for level in 0...2 {
                let size = UInt64(1) << UInt64(12 + 9 * level)
                let inputs = (0..<6).map { Self.base + $0 * size }
                let pages = try MovablePages(mode, inputs: inputs, level: level)
                pages.moveAll(level: level)
                try pages.bench.invalidate(descriptor)
                for input in inputs { try pages.expectNew(input) }
            }
        }
    }

    @Test(arguments: modes, [false, true])
    func onePageIsDroppedAndItsNeighboursStayRight(mode: TableMode, isLeafOnly: Bool) throws {
        let inputs = (0..<8).map { Self.base + $0 << 12 }
        let pages = try MovablePages(mode, inputs: inputs)
        pages.moveAll()
        try pages.bench.invalidate(pages.pages(inputs[3], mask: 0, isLeafOnly: isLeafOnly))
        try pages.expectNew(inputs[3])
        for input in inputs where input != inputs[3] { try pages.expectOldOrNew(input) }
        for input in inputs {
            try pages.bench.invalidate(pages.pages(input, mask: 0, isLeafOnly: isLeafOnly))
        }
        for input in inputs { try pages.expectNew(input) }
    }

    /// Address masks, with pages at the edges of the block, inside it and around it. The descriptor names a page in the middle.
    @Test(arguments: modes, [1, 9, 18] as [UInt64])
    func anAddressMaskCoversItsAlignedBlock(mode: TableMode, mask: UInt64) throws {
        let size = UInt64(1) << (12 + mask)
        let start = (Self.base + 0x40_0000_0000) & ~(size - 1)
        let last = start + size - 0x1000
        let inside = [start, start + size / 2, last]
        let around = [start - 0x1000, start + size]
        let inputs = Array(Set(inside + around)).sorted()
        for isLeafOnly in [false, true] {
            for named in [start, start + size / 2 + 0x1000 & ~0xfff, last] where named <= last {
                let pages = try MovablePages(mode, inputs: inputs)
                pages.moveAll()
                try pages.bench.invalidate(pages.pages(named, mask: mask, isLeafOnly: isLeafOnly))
                for input in inside { try pages.expectNew(input) }
                for input in around { try pages.expectOldOrNew(input) }
            }
        }
    }

    @Test(arguments: modes.filter { $0.firstLevels ?? $0.secondLevels ?? 0 >= 4 })
    func anAddressMaskOf35CoversHalfOfAFourLevelSpace(mode: TableMode) throws {
        let inputs: [UInt64] = [0, 0x1000, 1 << 30, 1 << 39 + 0x5000, 1 << 46, 1 << 47 - 0x1000]
        let pages = try MovablePages(mode, inputs: inputs)
        pages.moveAll()
        try pages.bench.invalidate(pages.pages(1 << 45, mask: 35, isLeafOnly: false))
        for input in inputs { try pages.expectNew(input) }
    }

    @Test(arguments: modes.filter { $0.firstLevels != nil }, [0, 1, 9, 18, 35] as [UInt64])
    func canonicalAddressesOfTheHighHalfAreInvalidated(mode: TableMode, mask: UInt64) throws {
        let high: UInt64 = mode.firstLevels == 5 ? 0xff00_0000_0000_0000 : 0xffff_8000_0000_0000
        let inputs = [high, high + 0x1000, high + 0x20_0000, UInt64.max - 0xfff, UInt64.max - 0x1fff]
        for named in inputs {
            let pages = try MovablePages(mode, inputs: inputs)
            pages.moveAll()
            try pages.bench.invalidate(pages.pages(named, mask: mask, isLeafOnly: mask == 0))
            let low = UInt64(1) << (12 + mask) - 1
            for input in inputs {
                if input & ~low == named & ~low { try pages.expectNew(input) } else { try pages.expectOldOrNew(input) }
            }
        }
    }

    /// A pointer above the leaf changes, and one descriptor covers all that hangs on it.
    @Test(arguments: modes)
    func aChangedTablePointerIsSeenAfterANonLeafInvalidation(mode: TableMode) throws {
        for level in 1...2 {
            let inputs = [Self.base, Self.base + 0x1000, Self.base + 0x1f_f000]
            let pages = try MovablePages(mode, inputs: inputs)
            // A second copy of the tables below `level`, with every leaf moved.
            let shadow: UInt64 = Self.base + 0x40_0000_0000
            for (number, input) in inputs.enumerated() {
                pages.stage.map(input - Self.base + shadow, to: MovablePages.newBase + UInt64(number) << 12)
            }
            pages.stage.setEntry(Self.base, level: level, pages.stage.entry(shadow, level: level))
            try pages.bench.invalidate(pages.pages(Self.base, mask: UInt64(9 * level), isLeafOnly: false))
            for input in inputs { try pages.expectNew(input) }
        }
    }

    /// The same with a descriptor for a single page: that page at least is right.
    @Test(arguments: modes)
    func aNonLeafInvalidationOfOnePageCoversTheWholePathToIt(mode: TableMode) throws {
        for level in 1...2 {
            let inputs = [Self.base, Self.base + 0x1000]
            let pages = try MovablePages(mode, inputs: inputs)
            let shadow: UInt64 = Self.base + 0x40_0000_0000
            for (number, input) in inputs.enumerated() {
                pages.stage.map(input - Self.base + shadow, to: MovablePages.newBase + UInt64(number) << 12)
            }
            pages.stage.setEntry(Self.base, level: level, pages.stage.entry(shadow, level: level))
            try pages.bench.invalidate(pages.pages(inputs[1], mask: 0, isLeafOnly: false))
            try pages.expectNew(inputs[1])
            try pages.expectOldOrNew(inputs[0])
        }
    }

    @Test(arguments: modes)
    func anotherDomainOrPASIDIsNotTouchedNeedlesslyNorAnsweredWrong(mode: TableMode) throws {
        let inputs = [Self.base, Self.base + 0x1000]
        let pages = try MovablePages(mode, inputs: inputs)
        pages.moveAll()
        let (domain, pasid) = (ModeTables.domain, ModeTables.pasid)
        try pages.bench.invalidate(.iotlbDomain(domain + 1), .iotlbPages(domain + 1, at: Self.base, mask: 9))
        if !mode.isLegacy {
            try pages.bench.invalidate(
                .pasidIOTLB(domain, pasid: pasid + 1), .pasidIOTLB(domain + 1, pasid: pasid),
                .pasidIOTLBPages(domain, pasid: pasid + 1, at: Self.base, mask: 9),
                .pasidCache(domain, pasid: pasid + 1))
        }
        for input in inputs { try pages.expectOldOrNew(input) }
        for descriptor in Self.wholeSpace(mode) { try pages.bench.invalidate(descriptor) }
        for input in inputs { try pages.expectNew(input) }
    }

    @Test(arguments: modes)
    func loweredPermissionsAreSeenAfterwards(mode: TableMode) throws {
        let pages = try MovablePages(mode, inputs: [Self.base])
        pages.stage.update(Self.base, level: 0) { $0 &= ~2 }
        try pages.bench.invalidate(pages.pages(Self.base, mask: 0, isLeafOnly: true))
        let write = pages.tables.request(Self.base, [.write])
        #expect(try pages.bench.answer(write).fault?.code == (mode.isLegacy ? 0x05 : 0x85))
        #expect(try pages.bench.answer(pages.tables.request(Self.base, [.read])).mapped?.rights == [.read])
        pages.stage.setEntry(Self.base, level: 0, 0)
        try pages.bench.invalidate(pages.pages(Self.base, mask: 0, isLeafOnly: true))
        #expect(try pages.bench.answer(pages.tables.request(Self.base, [.read])).fault != nil)
    }
}
