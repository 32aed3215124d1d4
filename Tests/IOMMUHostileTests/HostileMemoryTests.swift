// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Pointers to where no memory is, to read-only memory and to memory that has just gone; tables at the end of a range and across two;
// the top of the address space.

import IOMMU
import IOMMUTestSupport
import Testing

@Suite struct HostileMemoryTests {
    static let modes: [TableMode] = [
        .legacySecond(3), .legacySecond(5), .scalableSecond(4), .first(4), .first(5), .nested(first: 4, second: 4),
    ]

    @Test(arguments: modes)
    func pointersToWhereNoTableIsFaultAsTheReferenceSays(mode: TableMode) throws {
        var log = MismatchLog()
        let scene = try LoopScene(mode)
        let ram = try #require(scene.tables.image.regions.first)
        let targets: [UInt64] = [
            0, 0x1000, ram.address - 0x1000, ram.end, GuestImage.rom, GuestImage.rom + 64 << 12, GuestImage.hole,
            0xfee0_0000, 0x7fff_ffff_f000, 0xf_ffff_ffff_f000, 0x8_0000_0000_0000, ram.end - 0x1000,
        ]
        for stage in [scene.tables.first, scene.tables.second].compactMap({ $0 }) {
            let address = LoopScene.address(stage.levels)
            for level in 0..<stage.levels {
                for target in targets where !log.isFull {
                    stage.setEntry(address, level: level, target | 7)
                    try scene.compare([scene.input], &log, "\(stage.stage) entry \(level) to \(hex(target))")
                    try scene.mend()
                }
            }
        }
        log.expectNone("\(mode)")
    }

    /// Tables in a range of their own, which goes, comes back, becomes read-only and writable again, with no invalidation by the guest.
    @Test(arguments: [TableMode.legacySecond(4), .scalableSecond(4), .first(4)], [false, true])
    func tablesInMemoryThatGoesAreNotReadAndComeBack(mode: TableMode, isCached: Bool) throws {
        var log = MismatchLog()
        let lent = GuestImage.Region(address: 0x2000_0000, pages: 16)
        let image = GuestImage(regions: GuestImage.standardRegions + [lent])
        let tables = ModeTables(mode, image: image)
        let stage = PagingTables(mode.firstLevels == nil ? .second : .first, levels: 4, in: image, region: 2)
        for page: UInt64 in 0..<4 { stage.map(page << 12, to: lent.address + 12 << 12) }
        tables.legacyContext.root = stage.root
        tables.entry.secondRoot = mode.firstLevels == nil ? stage.root : 0
        tables.entry.firstRoot = mode.firstLevels == nil ? 0 : stage.root
        tables.entry.enablesSecondMarks = mode.firstLevels == nil
        tables.publish()
        let bench = try tables.bench(configuration: isCached ? TestBench.smallCaches : .noCache)
        func compare(_ page: UInt64, _ access: Access, _ what: String) throws {
            let request = tables.request(page << 12, access)
            log.compare(try bench.answer(request, isCached: isCached), bench.expected(request), "\(what), \(request)")
            log.compare(bench.differences, [], "marks, \(what)")
        }
        func transfer() throws -> CopyProgress {
            let source = SourceID(UInt32(ModeTables.source))
            let pasid = mode.isLegacy ? nil : PASID(ModeTables.pasid)
            let bytes: [UInt8] = [1, 2, 3]
            return try bench.port.write(bytes.span, to: 0, source: source, pasid: pasid)
        }
        try image.protect(region: 2, isWritable: false, in: bench.memory)
        try compare(0, [.read], "read-only, unmarked")
        try compare(1, [.write], "read-only, unmarked")
        try image.protect(region: 2, isWritable: true, in: bench.memory)
        try compare(0, [.write], "writable")
        #expect(try transfer().isComplete)
        try image.protect(region: 2, isWritable: false, in: bench.memory)
        try compare(0, [.write], "read-only, marked")
        #expect(try transfer().end == .readOnly)
        try image.remove(region: 2, from: bench.memory)
        let gone = try transfer()
        #expect(gone.count == 0 && (gone.end == .noHostMemory || gone.fault != nil))
        for page: UInt64 in 2..<4 {
            // Not seen before, so walked: only table pointers may be cached, and they lead nowhere.
            let request = tables.request(page << 12, [.read])
            #expect(
                try bench.answer(request, isCached: isCached).fault?.code == bench.expected(request).fault?.code
                    || isCached)
            #expect(try bench.answer(request, isCached: isCached).fault != nil)
        }
        try image.protect(region: 2, isWritable: true, in: nil)
        try image.restore(region: 2, to: bench.memory)
        for page: UInt64 in 0..<4 { try compare(page, [.write], "back again") }
        #expect(try transfer().isComplete)
        log.expectNone("\(mode)")
    }

    /// A PASID directory of eight pages of which some lie in one range and some in the next, with different host memory behind them.
    @Test func aTableAcrossTwoRangesIsReadFromBoth() throws {
        var log = MismatchLog()
        let ram = GuestImage.Region(address: GuestImage.ram, pages: 512)
        let next = GuestImage.Region(address: ram.end, pages: 8)
        let image = GuestImage(regions: [ram, next])
        let tables = ModeTables(.scalablePassThrough, image: image)
        let directory = ram.end - 0x4000
        tables.context.directory = directory
        tables.context.directorySize = 5
        tables.publish()
        let entries = tables.builder.pasidEntryAddress(ModeTables.source, pasid: ModeTables.pasid) & ~0xfff
        for index: UInt64 in 0..<0x1000 where index % 3 != 0 { image[directory + 8 * index] = entries | 1 }
        let bench = try tables.bench()
        for pasid: UInt32 in (0..<0x1010).map({ $0 << 6 | ModeTables.pasid & 63 }) {
            var request = tables.request(0x1234_5000, [.read])
            request.pasid = pasid
            log.compare(try bench.answer(request, isCached: false), bench.expected(request), "\(request)")
        }
        log.expectNone("directory")
        // A transfer across the border has two pieces.
        let source = SourceID(UInt32(ModeTables.source))
        try bench.port.withAccess(
            to: IOVA(ram.end - 0x1000), count: 0x2000, access: .read, source: source,
            pasid: PASID(ModeTables.pasid | 64)
        ) { segments in
            #expect(segments.count == 2 && segments.isComplete)
        }
    }

    /// A range may end with the last byte of the 64-bit space, and nothing reaches past it.
    @Test func theTopOfTheAddressSpaceIsAnAddressLikeAnyOther() throws {
        let bench = try ModeTables(.disabled).bench()
        let page = UnsafeMutableRawBufferPointer.allocate(byteCount: 4096, alignment: 4096)
        defer { unsafe page.deallocate() }
        for byte in page.indices { unsafe page[byte] = UInt8(byte & 0xff) }
        let top: UInt64 = 0xffff_ffff_ffff_f000
        unsafe try bench.memory.add(page, at: OutputAddress(top))
        let source = SourceID(UInt32(ModeTables.source))
        for count in [1, 8, 4095] {
            let iova = IOVA(UInt64.max - UInt64(count) + 1)
            try bench.port.withAccess(to: iova, count: count, access: .read, source: source) { segments in
                #expect(segments.isComplete && segments.count == 1)
                let first = unsafe segments.bytes(of: 0)?.unsafeLoad(as: UInt8.self)
                #expect(first == UInt8((4096 - count) & 0xff))
            }
            #expect(throws: IOMMUError.wraps) {
                try bench.port.withAccess(to: iova, count: count + 1, access: .read, source: source) { _ in }
            }
        }
        #expect(throws: IOMMUError.overlap) { unsafe try bench.memory.add(page, at: OutputAddress(top)) }
        try bench.memory.remove(at: OutputAddress(top), count: 4096)
        try bench.port.withAccess(to: IOVA(top), count: 8, access: .read, source: source) { segments in
            #expect(segments.bytes(of: 0)?.byteCount == nil)
        }
    }
}
