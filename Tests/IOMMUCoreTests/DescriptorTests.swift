// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Which invalidation descriptors are accepted, and with which error information the others are refused [FORMATS-VTD C1-C4]. A
// refusal changes nothing.

import IOMMU
import IOMMUTestSupport
import Testing

/// A unit with a translation in its caches whose table has changed since: what is dropped can be seen.
private final class DescriptorBench {
    let tables: ModeTables
    let bench: TestBench
    let check: ReferenceDescriptorCheck

    /// Tables for `tableMode` (TTM); 2 and 3 use scalable tables while the translation is cached.
    init(_ tableMode: UInt64, model: UnitModel = .full) throws {
        tables = ModeTables(tableMode == 0 ? .legacySecond(4) : .scalableSecond(4))
        if !model.has(.deviceTLB) { tables.context.allowsDeviceTLB = false }
        tables.publish()
        tables.second?.map(0x5000, to: 0x9000)
        bench = try tables.bench(model: model)
        check = ReferenceDescriptorCheck(model: model, tableMode: tableMode)
        if tableMode > 1 {
            try bench.setRoot(tables.builder.rootTable | tableMode << 10)
            return
        }
        _ = try bench.answer(tables.request(0x5000, [.read]))
        tables.second?.map(0x5000, to: 0xa000)
    }

    /// What the cache says: 0x9000 while the old translation is there.
    var cached: UInt64? {
        get throws { try bench.answer(tables.request(0x5000, [.read])).mapped?.address }
    }

    /// The error information of a refusal; nil when accepted.
    func refusal(_ descriptor: Descriptor) throws -> Int? {
        do throws(IOMMUError) {
            try bench.unit.invalidate(descriptor: descriptor.native)
            return nil
        } catch {
            guard error == .badDescriptor else { throw error }
            #expect(error.detail?.isEmpty == false)
            return error.invalidationQueueError
        }
    }
}

@Suite struct DescriptorTests {
    /// One legal descriptor of every type and granularity.
    static let legal: [Descriptor] = [
        .contextGlobal, .contextDomain(3), .contextDevice(3, source: 0x18, mask: 2),
        .iotlbGlobal, .iotlbDomain(3), .iotlbPages(3, at: 0x1000),
        Descriptor(3), Descriptor(4), Descriptor(4 | 1 << 4), Descriptor(5), Descriptor(5 | 1 << 5, 0x1000),
        .pasidIOTLB(3, pasid: 9), .pasidIOTLBPages(3, pasid: 9, at: 0x1000),
        .pasidCacheDomain(3), .pasidCache(3, pasid: 9), .pasidCacheGlobal, Descriptor(8), Descriptor(9),
    ]

    /// Table mode and descriptor width: those that a guest can have, right or wrong.
    static let queues: [(tableMode: UInt64, isWide: Bool)] = [
        (0, false), (0, true), (1, true), (1, false), (3, true), (3, false), (2, false), (2, true),
    ]

    @Test(arguments: queues)
    func everyTypeIsLegalWhereItsModeSays(tableMode: UInt64, isWide: Bool) throws {
        let bench = try DescriptorBench(tableMode)
        for descriptor in Self.legal {
            let type = descriptor.words[0] & 15
            let expected: Int? =
                switch (tableMode, isWide) {
                case (2, _): 7
                case (1, false), (3, false): 5
                case (0, _): type <= 5 ? nil : 3
                default: nil
                }
            #expect(try bench.refusal(descriptor.widened(isWide)) == expected, "\(descriptor)")
            #expect(bench.check.refusal(descriptor.widened(isWide)) == expected, "reference, \(descriptor)")
        }
    }

    @Test(arguments: queues)
    func everyFlippedBitIsAcceptedOrRefusedByTheRules(tableMode: UInt64, isWide: Bool) throws {
        var log = MismatchLog()
        let bench = try DescriptorBench(tableMode)
        for descriptor in Self.legal {
            for bit in 0..<(isWide ? 256 : 128) {
                var changed = descriptor.widened(isWide)
                changed.words[bit / 64] ^= 1 << UInt64(bit % 64)
                // Private data of old page-group responses: not specified here.
                if changed.words[0] & 0xe0f == 9 && bit >= 128 { continue }
                log.compare(try bench.refusal(changed), bench.check.refusal(changed), "bit \(bit) of \(descriptor)")
            }
        }
        log.expectNone("mode \(tableMode) wide \(isWide)")
    }

    @Test(arguments: queues)
    func randomDescriptorsAreJudgedByTheRules(tableMode: UInt64, isWide: Bool) throws {
        var log = MismatchLog()
        var random = SeededGenerator.forTest()
        let bench = try DescriptorBench(tableMode)
        for _ in 0..<4000 {
            var descriptor = random.pick(Self.legal).widened(isWide)
            for _ in 0..<random.below(4) {
                descriptor.words[random.below(2)] ^= 1 << UInt64(random.below(64))
            }
            if random.oneIn(4) { descriptor.words[1] = random.next() & random.next() }
            if random.oneIn(16) { descriptor.words[0] = random.next() & random.next() & random.next() }
            log.compare(
                try bench.refusal(descriptor), bench.check.refusal(descriptor),
                "IOMMU_TEST_SEED=\(random.seed), \(descriptor)")
        }
        log.expectNone("mode \(tableMode) wide \(isWide)")
    }

    @Test(arguments: [false, true])
    func aRefusedDescriptorChangesNothing(isScalable: Bool) throws {
        let bench = try DescriptorBench(isScalable ? 1 : 0)
        #expect(try bench.cached == 0x9000)
        let before = bench.bench.unit.statistics.invalidations
        var refused = 0
        for descriptor in Self.legal where isScalable || descriptor.words[0] & 15 <= 5 {
            for bit in 0..<256 {
                var changed = descriptor.widened(isScalable)
                guard bit < 64 * changed.words.count else { continue }
                changed.words[bit / 64] ^= 1 << UInt64(bit % 64)
                guard bench.check.refusal(changed) != nil else { continue }
                _ = try bench.refusal(changed)
                refused += 1
            }
        }
        #expect(refused > 500)
        #expect(bench.bench.unit.statistics.invalidations == before)
        #expect(try bench.cached == 0x9000)
        try bench.bench.invalidate(.iotlbDomain(ModeTables.domain))
        #expect(try bench.cached == 0xa000)
    }

    @Test func capabilitiesDecideWhatIsLegal() throws {
        // A change of the model, a descriptor, and the verdict in scalable mode.
        let cases: [(UnitModel, Descriptor, Int?)] = [
            (.withoutDeviceTLB, Descriptor(3), 3),
            (.withoutDeviceTLB, Descriptor(8), 3),
            (.withoutPageRequests, Descriptor(9), 3),
            (.withoutPageRequests, Descriptor(8), nil),
            (.full.with(.interruptRemapping, 0), Descriptor(4), 3),
            (.full.with(.pageSelective, 0), .iotlbPages(3, at: 0), 4),
            (.full.with(.pageSelective, 0), .iotlbDomain(3), nil),
            (.full.with(.pageSelective, 0), .pasidIOTLBPages(3, pasid: 0, at: 0, mask: 63), nil),
            (.full.with(.maximumAddressMask, 9), .iotlbPages(3, at: 0, mask: 9), nil),
            (.full.with(.maximumAddressMask, 9), .iotlbPages(3, at: 0, mask: 10), 4),
            (.full.with(.maximumAddressMask, 9), .iotlbPages(3, at: 0, mask: 63), 4),
            (.full.with(.maximumAddressMask, 9), .pasidIOTLBPages(3, pasid: 0, at: 0, mask: 63), nil),
            (.full, Descriptor(5 | 1 << 7), nil),
            (.full.with(.pageRequestDrain, 0), Descriptor(5 | 1 << 7), 4),
            (.full.with(.hostAddressMaskValue, 3), Descriptor(4 | 1 << 4 | 3 << 27), nil),
            (.full.with(.hostAddressMaskValue, 3), Descriptor(4 | 1 << 4 | 4 << 27), 4),
            (.full.with(.hostAddressMaskValue, 3), Descriptor(4 | 4 << 27), nil),
        ]
        for (model, descriptor, expected) in cases {
            let bench = try DescriptorBench(1, model: model)
            #expect(try bench.refusal(descriptor.widened()) == expected, "\(model), \(descriptor)")
            #expect(bench.check.refusal(descriptor.widened()) == expected, "reference, \(model), \(descriptor)")
        }
    }

    @Test func wideDescriptorsNeedAUnitThatKnowsThem() throws {
        let narrow = UnitModel.legacyOnly
        for (model, expected) in [(narrow, 5), (narrow.with(.abortMode, 1), nil), (.full, nil)] as [(UnitModel, Int?)] {
            let bench = try DescriptorBench(0, model: model)
            #expect(try bench.refusal(Descriptor.iotlbGlobal.widened()) == expected)
            #expect(bench.check.refusal(Descriptor.iotlbGlobal.widened()) == expected)
            #expect(try bench.refusal(.iotlbGlobal) == nil)
        }
    }

    @Test func undefinedTypesAreRefused() throws {
        let bench = try DescriptorBench(1)
        for high: UInt64 in 0..<8 {
            for low: UInt64 in 0..<16 where high > 0 || !(1...9).contains(low) {
                #expect(try bench.refusal(Descriptor(low | high << 9).widened()) == 3)
            }
        }
    }

    @Test func addressAndMaskCountOnlyForPages() throws {
        let bench = try DescriptorBench(1)
        for descriptor in [Descriptor.iotlbGlobal, .iotlbDomain(3), .pasidIOTLB(3, pasid: 1)] {
            var changed = descriptor.widened()
            changed.words[1] = 0xffff_ffff_ffff_f07f
            #expect(try bench.refusal(changed) == nil, "\(changed)")
            changed.words[1] |= 1 << 7
            #expect(try bench.refusal(changed) == 4, "\(changed)")
        }
    }
}

extension UnitModel {
    /// A unit of the time before scalable mode.
    static let legacyOnly = UnitModel.full.with { model in
        let fields: [Field] = [
            .scalableMode, .abortMode, .firstStage, .secondStage, .nesting, .pageRequests, .pageRequestDrain, .pasid,
            .pasidWidth, .secondStageMarks, .snoopedWalks, .requestPASID, .requestPrivilege, .supervisorRequests,
            .extendedAccessed, .firstStage1GiB, .firstStage5Level,
        ]
        for field in fields { model[field] = 0 }
    }
}
