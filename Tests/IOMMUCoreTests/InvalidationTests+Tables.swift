// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Context-cache and PASID-cache invalidations: root, context, directory and PASID entries that change after they were used.

import IOMMU
import IOMMUTestSupport
import Testing

/// Eight functions of one device, each with its own page tables for the same input, old ones in use and new ones at hand.
private final class Functions {
    static let input: UInt64 = 0x12_3456_7000
    static let first: UInt16 = 0x0328

    let isScalable: Bool
    let image = GuestImage()
    let builder: TableBuilder
    private(set) var roots: [[UInt64]] = []
    private var bench: TestBench?

    /// Functions 0-3 are in domain 7, the others in domain 8.
    static func domain(_ function: Int) -> UInt64 { function < 4 ? 7 : 8 }
    static func output(_ function: Int, isNew: Bool) -> UInt64 {
        (isNew ? 0x80_0000_0000 : 0x40_0000_0000) + UInt64(function) << 12
    }

    init(isScalable: Bool) throws {
        self.isScalable = isScalable
        builder = TableBuilder(image, isScalable: isScalable)
        for function in 0..<8 {
            roots.append(
                [false, true].map { isNew in
                    let tables = PagingTables(.second, levels: 4, in: image)
                    tables.map(Self.input, to: Self.output(function, isNew: isNew))
                    return tables.root
                })
            publish(function, isNew: false)
        }
        bench = try TestBench(image, rootRegister: builder.rootRegister)
        for _ in 0..<2 {
            for function in 0..<8 { try expect(function, [false]) }
        }
    }

    func source(_ function: Int) -> UInt16 { Self.first + UInt16(function) }

    /// The guest points a function at its old or new tables.
    func publish(_ function: Int, isNew: Bool) {
        if isScalable {
            var entry = PASIDEntry()
            entry.type = .second
            entry.domain = Self.domain(function)
            entry.secondRoot = roots[function][isNew ? 1 : 0]
            builder.setContext(source(function), ScalableContext())
            builder.setPASID(source(function), pasid: 0, entry)
        } else {
            var context = LegacyContext()
            context.domain = Self.domain(function)
            context.root = roots[function][isNew ? 1 : 0]
            builder.setContext(source(function), context)
        }
    }

    func publishAll() {
        for function in 0..<8 { publish(function, isNew: true) }
    }

    func invalidate(_ descriptors: Descriptor...) throws {
        for descriptor in descriptors { try bench?.invalidate(descriptor) }
    }

    /// The function answers from its new tables, or (`isNew` both) from either.
    func expect(_ function: Int, _ isNew: [Bool], _ location: SourceLocation = #_sourceLocation) throws {
        let request = DMARequest(source: source(function), iova: Self.input, access: [.read])
        let address = try bench?.answer(request).mapped?.address
        let wanted = isNew.map { Self.output(function, isNew: $0) }
        #expect(address.map(wanted.contains) == true, "function \(function): \(address ?? 0)", sourceLocation: location)
    }

    func expectNew(where isCovered: (Int) -> Bool, _ location: SourceLocation = #_sourceLocation) throws {
        for function in 0..<8 { try expect(function, isCovered(function) ? [true] : [false, true], location) }
    }
}

@Suite struct TableInvalidationTests {
    @Test func contextCacheGranularitiesInLegacyMode() throws {
        let everything = try Functions(isScalable: false)
        everything.publishAll()
        try everything.invalidate(.contextGlobal, .iotlbGlobal)
        try everything.expectNew { _ in true }

        let domain = try Functions(isScalable: false)
        domain.publishAll()
        try domain.invalidate(.contextDomain(8), .iotlbDomain(8))
        try domain.expectNew { $0 >= 4 }
    }

    @Test(arguments: 0...3 as ClosedRange<UInt64>, 0..<8)
    func functionMasksCoverTheFunctionsThatTheyLeaveOut(mask: UInt64, named: Int) throws {
        // FM 0 compares all three function bits, 1 not bit 2, 2 not bits 2:1, 3 none.
        let ignored = [0, 4, 6, 7][Int(mask)]
        for domain: UInt64 in [7, 8] {
            let functions = try Functions(isScalable: false)
            functions.publishAll()
            try functions.invalidate(
                .contextDevice(domain, source: functions.source(named), mask: mask), .iotlbDomain(domain))
            try functions.expectNew { $0 & ~ignored == named & ~ignored && Functions.domain($0) == domain }
        }
    }

    @Test func pasidCacheGranularities() throws {
        let everything = try Functions(isScalable: true)
        everything.publishAll()
        try everything.invalidate(.pasidCacheGlobal, .iotlbGlobal)
        try everything.expectNew { _ in true }

        let domain = try Functions(isScalable: true)
        domain.publishAll()
        try domain.invalidate(.pasidCacheDomain(8), .iotlbDomain(8))
        try domain.expectNew { $0 >= 4 }

        let pasid = try Functions(isScalable: true)
        pasid.publishAll()
        try pasid.invalidate(.pasidCache(7, pasid: 0), .iotlbDomain(7))
        try pasid.expectNew { $0 < 4 }

        let another = try Functions(isScalable: true)
        another.publishAll()
        try another.invalidate(.pasidCache(7, pasid: 1), .pasidCache(9, pasid: 0))
        try another.expectNew { _ in false }
    }

    @Test(arguments: [TableMode.first(4), .scalableSecond(4), .nested(first: 4, second: 4), .scalablePassThrough])
    func aPASIDEntryThatGoesAwayIsSeen(mode: TableMode) throws {
        let (domain, pasid) = (ModeTables.domain, ModeTables.pasid)
        for descriptor in [Descriptor.pasidCache(domain, pasid: pasid), .pasidCacheDomain(domain), .pasidCacheGlobal] {
            let tables = ModeTables(mode)
            tables.second?.map(tables.first == nil ? 0x5000 : 0x7000, to: 0x9000)
            tables.first?.map(0x5000, to: tables.second == nil ? 0x9000 : 0x7000, flags: 0x67)
            let bench = try tables.bench()
            let request = tables.request(0x5000, [.read])
            #expect(try bench.answer(request).fault == nil)
            tables.image[tables.builder.pasidEntryAddress(ModeTables.source, pasid: pasid)] &= ~1
            try bench.invalidate(descriptor)
            if mode.firstLevels != nil && mode.secondLevels == nil || mode == .scalablePassThrough {
                try bench.invalidate(.pasidIOTLB(domain, pasid: pasid))
            } else {
                try bench.invalidate(.iotlbDomain(domain))
            }
            #expect(try bench.answer(request).fault?.code == 0x59, "\(descriptor)")
        }
    }

    /// In scalable mode a context entry has no domain: a device-selective invalidation names the device, a domain-selective
    /// one nothing in particular, whatever the domain.
    @Test(arguments: [0, ModeTables.domain])
    func aScalableContextEntryThatChangesIsSeen(domain: UInt64) throws {
        let device = Descriptor.contextDevice(domain, source: ModeTables.source)
        for descriptor in [device, .contextDomain(domain), .contextGlobal] {
            let tables = ModeTables(.first(4))
            tables.first?.map(0x5000, to: 0x9000, flags: 0x67)
            let bench = try tables.bench()
            let request = tables.request(0x5000, [.read])
            #expect(try bench.answer(request).fault == nil)
            tables.context.allowsPASID = false
            tables.publish()
            try bench.invalidate(descriptor)
            #expect(try bench.answer(request).fault?.code == 0x45, "\(descriptor)")
        }
    }

    @Test(arguments: [TableMode.legacySecond(4), .scalableSecond(4)])
    func aRootEntryThatChangesIsSeenAfterAGlobalContextInvalidation(mode: TableMode) throws {
        let tables = ModeTables(mode)
        tables.second?.map(0x5000, to: 0x9000)
        let bench = try tables.bench()
        let request = tables.request(0x5000, [.read])
        #expect(try bench.answer(request).fault == nil)
        tables.image[tables.builder.rootEntryAddress(ModeTables.source)] &= ~1
        try bench.invalidate(.contextGlobal)
        if !mode.isLegacy { try bench.invalidate(.pasidCacheGlobal) }
        try bench.invalidate(.iotlbGlobal)
        #expect(try bench.answer(request).fault?.code == (mode.isLegacy ? 0x01 : 0x39))
    }

    @Test func aDirectoryEntryThatChangesIsSeenAfterADomainInvalidation() throws {
        let tables = ModeTables(.scalableSecond(4))
        tables.second?.map(0x5000, to: 0x9000)
        let bench = try tables.bench()
        let request = tables.request(0x5000, [.read])
        #expect(try bench.answer(request).fault == nil)
        tables.image[tables.builder.directoryEntryAddress(ModeTables.source, pasid: ModeTables.pasid)] &= ~1
        try bench.invalidate(.pasidCacheDomain(ModeTables.domain), .iotlbDomain(ModeTables.domain))
        #expect(try bench.answer(request).fault?.code == 0x51)
    }

    @Test(arguments: TableMode.translating)
    func aNewRootTableAndAResetForgetEverything(mode: TableMode) throws {
        let tables = ModeTables(mode)
        tables.second?.map(tables.first == nil ? 0x5000 : 0x7000, to: 0x9000)
        tables.first?.map(0x5000, to: tables.second == nil ? 0x9000 : 0x7000, flags: 0x67)
        let bench = try tables.bench()
        let request = tables.request(0x5000, [.read])
        #expect(try bench.answer(request).mapped?.address == 0x9000)
        let empty = tables.image.allocatePage()
        try bench.setRoot(empty | bench.reference.rootRegister & 0xc00)
        #expect(try bench.answer(request).fault?.code == (mode.isLegacy ? 0x01 : 0x39))
        try bench.setRoot(tables.builder.rootRegister)
        #expect(try bench.answer(request).mapped?.address == 0x9000)
        try bench.setTranslation(false)
        #expect(try bench.answer(request).mapped?.address == 0x5000)
        try bench.setTranslation(true)
        #expect(try bench.answer(request).mapped?.address == 0x9000)
        try bench.reset()
        #expect(try bench.answer(request).mapped?.address == 0x5000)
    }

    /// Without caching mode the step from absent to present needs no invalidation: absence is never cached.
    @Test(arguments: TableMode.translating)
    func whatBecomesPresentNeedsNoInvalidation(mode: TableMode) throws {
        let tables = ModeTables(mode)
        let bench = try tables.bench()
        let stage = try #require(tables.first ?? tables.second)
        let request = tables.request(0x5000, [.read])
        #expect(try bench.answer(request).fault != nil)
        tables.second?.map(0x7000, to: 0x9000)
        stage.map(0x5000, to: mode.isNested ? 0x7000 : 0x9000, flags: tables.first == nil ? 7 : 0x67)
        #expect(try bench.answer(request).mapped?.address == 0x9000)
    }
}
