// SPDX-License-Identifier: LGPL-2.1-or-later
//
// ATS translation requests of a guest's source ids [FORMATS-VTD A9b, A11]: what must be accessed untranslated, and how long an
// answer may be stored by its token.

import IOMMU
import IOMMUTestSupport
import Testing

@Suite struct ATSTests {
    static let input: UInt64 = 0x12_3456_7000
    static let modes: [TableMode] = [.legacySecond(4), .scalableSecond(4), .first(4), .nested(first: 4, second: 4)]

    /// Tables that allow ATS and lead `input`, and 2 MiB around 0xFEE00000, somewhere.
    static func tables(_ mode: TableMode) -> ModeTables {
        let tables = ModeTables(mode)
        tables.legacyContext.translationType = 1
        tables.publish()
        for (input, level) in [(Self.input, 0), (0xfee0_0000, 1)] as [(UInt64, Int)] {
            let between = tables.first == nil ? input : input + 0x20_0000_0000
            tables.second?.map(between, to: input + 0x40_0000_0000, level: level)
            tables.first?.map(
                input, to: tables.second == nil ? input + 0x40_0000_0000 : between, level: level, flags: 0x67)
        }
        return tables
    }

    func ask(
        _ bench: TestBench, _ mode: TableMode, _ address: UInt64 = Self.input, hasPASID: Bool = true
    ) throws -> (result: TranslationResult, token: ATSToken?) {
        try bench.port.requestTranslation(
            IOVA(address), access: .read, source: SourceID(UInt32(ModeTables.source)),
            pasid: hasPASID && !mode.isLegacy ? PASID(ModeTables.pasid) : nil)
    }

    func isStored(_ bench: TestBench, _ token: ATSToken?) throws -> Bool {
        let token = try #require(token)
        return bench.port.storeIfValid(token) { true } ?? false
    }

    // MARK: Untranslated only

    @Test(arguments: modes)
    func theInterruptRangeIsForUntranslatedRequests(mode: TableMode) throws {
        let bench = try Self.tables(mode).bench()
        let (result, token) = try ask(bench, mode, 0xfee0_1234, hasPASID: false)
        let translation = try #require(result.translation)
        #expect(translation.isUntranslatedOnly && translation.rights == .write)
        #expect(translation.address.rawValue == 0xfee0_1234 && token == nil)
        // The rest of the page is DMA, in an answer that does not cover the range.
        let beside = try #require(try ask(bench, mode, 0xfef0_1000, hasPASID: false).result.translation)
        #expect(!beside.isUntranslatedOnly && beside.pageSizeLog2 == 12)
        #expect(beside.address.rawValue == 0x40_fef0_1000)
        guard !mode.isLegacy else { return }
        let tagged = try #require(try ask(bench, mode, 0xfee0_1234).result.translation)
        #expect(!tagged.isUntranslatedOnly && tagged.pageSizeLog2 == 21)
        #expect(tagged.address.rawValue == 0x40_fee0_1234)
    }

    @Test func requestsAreRefusedBeforeTheInterruptRangeIsLookedAt() throws {
        let legacy = Self.tables(.legacySecond(4))
        legacy.legacyContext.translationType = 0
        legacy.publish()
        #expect(try ask(legacy.bench(), legacy.mode, 0xfee0_0000).result.fault?.code == 0x0d)
        let scalable = Self.tables(.first(4))
        scalable.context.allowsDeviceTLB = false
        scalable.publish()
        #expect(try ask(scalable.bench(), scalable.mode, 0xfee0_0000, hasPASID: false).result.fault?.code == 0x44)
    }

    @Test func nothingIsStoredWhileTranslationIsDisabled() throws {
        let bench = try Self.tables(.first(4)).bench()
        try bench.setTranslation(false)
        let (result, token) = try ask(bench, .first(4))
        #expect(result.translation?.isUntranslatedOnly == true && token == nil)
        #expect(result.translation?.address.rawValue == Self.input)
    }

    // MARK: Tokens

    @Test(arguments: modes)
    func aTokenDiesWithEveryDescriptorThatCoversItsAnswer(mode: TableMode) throws {
        let bench = try Self.tables(mode).bench()
        let domain = ModeTables.domain
        var descriptors = [
            Descriptor.contextGlobal, .contextDomain(domain), .contextDevice(domain, source: ModeTables.source),
            .iotlbGlobal, .iotlbDomain(domain),
        ]
        if mode.firstLevels == nil {
            descriptors.append(.iotlbPages(domain, at: Self.input))
        } else {
            descriptors += [
                .pasidIOTLB(domain, pasid: ModeTables.pasid),
                .pasidIOTLBPages(domain, pasid: ModeTables.pasid, at: Self.input, isLeafOnly: true),
            ]
        }
        if !mode.isLegacy {
            descriptors += [
                .pasidCacheGlobal, .pasidCacheDomain(domain), .pasidCache(domain, pasid: ModeTables.pasid),
            ]
        }
        for descriptor in descriptors {
            let (result, token) = try ask(bench, mode)
            #expect(result.translation?.address.rawValue == Self.input + 0x40_0000_0000)
            #expect(try isStored(bench, token))
            try bench.invalidate(.iotlbDomain(domain + 1))
            #expect(try isStored(bench, token), "something else was dropped")
            try bench.invalidate(descriptor)
            #expect(try !isStored(bench, token), "\(descriptor)")
        }
    }

    @Test func aTokenDiesWithTheRootTable() throws {
        let mode = TableMode.first(4)
        let tables = Self.tables(mode)
        let bench = try tables.bench()
        let (_, token) = try ask(bench, mode)
        try bench.setRoot(bench.reference.rootRegister)
        #expect(try !isStored(bench, token))
    }

    @Test func aTokenIsGoodForAnyPortOfItsUnitAndForNoOther() throws {
        let mode = TableMode.first(4)
        let bench = try Self.tables(mode).bench()
        let other = try Self.tables(mode).bench()
        let token = try #require(try ask(bench, mode).token)
        let port = try bench.unit.makePort()
        #expect(port.storeIfValid(token) { 7 } == 7)
        #expect(!port.isValid(token), "in no section")
        #expect(port.withSection { port.isValid(token) })
        #expect(other.port.storeIfValid(token) { 7 } == nil)
        #expect(throws: IOMMUError.faulted) { try port.storeIfValid(token) { throw IOMMUError.faulted } }
        #expect(!port.isValid(token), "the section has ended")
    }

    @Test func faultsHaveNoToken() throws {
        let mode = TableMode.first(4)
        let bench = try Self.tables(mode).bench()
        let (result, token) = try ask(bench, mode, 0x7000)
        #expect(result.fault?.isRecoverable == true && result.fault?.isRecorded == false && token == nil)
    }
}
