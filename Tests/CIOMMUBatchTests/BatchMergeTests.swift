// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Merging: whatever a batch makes of its ranges, nothing that an entry covers stays stale.

import CIOMMU
import IOMMUTestSupport
import Testing

extension CacheWorld.Space {
    /// Whether a descriptor must make this space's `input` fresh.
    func mustBeFresh(_ input: UInt64, after effect: DescriptorEffect) -> Bool {
        guard case .translations(let pages) = effect else { return false }
        let isOfStage = tables.stage == .first ? pages.isFirstStage : pages.isSecondStage
        let own = UInt64(pasid ?? 0)
        return isOfStage && (pages.domain ?? domain) == domain && (pages.pasid ?? own) == own
            && pages.first <= input && input <= pages.last
    }
}

extension CacheWorld {
    /// Pages that must be fresh after all of these, by the reference.
    func mustBeFresh(after descriptors: [Descriptor]) -> [[Bool]] {
        let check = ReferenceDescriptorCheck(model: .full, tableMode: isWide ? 1 : 0)
        let effects = descriptors.map { check.effect($0.widened(isWide)) }
        return spaces.map { space in
            pages.map { page in effects.contains { space.mustBeFresh(page, after: $0) } }
        }
    }

    /// Any legal descriptor about these spaces.
    func randomDescriptor(_ random: inout SeededGenerator) -> Descriptor {
        let space = random.below(spaces.count)
        let page = random.below(pages.count)
        switch random.below(40) {
        case 0: return spaceDescriptor(space)
        case 1: return .iotlbDomain(spaces[space].domain)
        case 2 where random.oneIn(4): return .iotlbGlobal
        case 3: return .contextDevice(spaces[space].domain, source: spaces[space].source, mask: UInt64(random.below(4)))
        case 4: return .contextDomain(spaces[space].domain)
        case 5 where isWide: return .pasidCache(spaces[space].domain, pasid: spaces[space].pasid ?? 0)
        case 6: return Descriptor(5)
        case 7: return Descriptor(3 | UInt64(spaces[space].source) << 32, pages[page])
        default:
            let mask = UInt64(random.pick([0, 0, 0, 0, 1, 2, 3, 5, 9, 12]))
            return pageDescriptor(space, page, mask: mask, isLeafOnly: random.oneIn(2))
        }
    }
}

/// Coverage of what an observer heard, on the pages of a world.
private func heardCoverage(_ events: [HostEvent], _ world: CacheWorld) -> [[Bool]] {
    world.spaces.map { space in
        world.pages.map { page in
            events.contains { event in
                guard case .heard(let heard) = event, heard.kind == CIOMMU_INVALIDATE_TRANSLATIONS.rawValue else {
                    return false
                }
                let stage = space.tables.stage == .first ? CIOMMU_STAGES_FIRST : CIOMMU_STAGES_SECOND
                return heard.stages & stage != 0 && heard.covers(domain: space.domain)
                    && heard.covers(pasid: UInt64(space.pasid ?? 0)) && heard.first <= page && page <= heard.last
            }
        }
    }
}

private func differences(_ missing: [[Bool]], _ there: [[Bool]]) -> [[Int]] {
    zip(missing, there).enumerated().flatMap { space, pair in
        zip(pair.0, pair.1).enumerated().compactMap { page, both in both.0 && !both.1 ? [space, page] : nil }
    }
}

@Suite struct BatchMergeTests {
    /// Clusters of neighbours, and some that stand alone.
    private static let pages: [UInt64] =
        (0..<24).map { 0x4000_0000 + UInt64($0) << 12 } + (0..<16).map { 0x4020_0000 + UInt64($0) << 14 }
        + [0, 0x1000, 0x3fff_f000, 0x4080_0000, 0x7fff_ffff_e000, 0x7fff_ffff_f000]

    @Test(arguments: [CacheWorld.Kind.legacy, .scalable], [false, true])
    func randomBatchesDropWhatTheirEntriesDropOneByOne(kind: CacheWorld.Kind, isObserved: Bool) {
        var random = SeededGenerator.forTest()
        let batched = CacheWorld(kind, spaces: 6, pages: Self.pages)
        let single = CacheWorld(kind, spaces: 6, pages: Self.pages)
        if isObserved { batched.bench.observe() }
        var more = 0
        var merged: UInt32 = 0
        for round in 0..<(isLong ? 2000 : 60) {
            batched.makeAllStale()
            single.makeAllStale()
            _ = batched.bench.takeEvents()
            let count = random.pick([1, 2, 5, 20, 64, 65, 100, 200])
            let descriptors = (0..<count).map { _ in batched.randomDescriptor(&random) }
            let result = batched.apply(descriptors)
            single.bench.applyEach(descriptors, isWide: single.isWide)
            #expect(result.isSuccess(of: count), "\(result)")
            merged += result.merged
            let required = batched.mustBeFresh(after: descriptors)
            let (fresh, freshSingle) = (batched.freshPages(), single.freshPages())
            let place = "round \(round) of \(kind), IOMMU_TEST_SEED=\(random.seed)"
            #expect(differences(required, fresh) == [], "stale: \(place)")
            #expect(differences(freshSingle, fresh) == [], "stale, but fresh one by one: \(place)")
            more += differences(fresh, freshSingle).count
            if isObserved {
                #expect(differences(required, heardCoverage(batched.bench.takeEvents(), batched)) == [], "\(place)")
            }
        }
        #expect(merged > 0)
        print("\(kind): \(merged) entries merged, \(more) pages dropped that no entry covers")
    }

    @Test(arguments: [4, 5])
    func randomStage1BatchesDropWhatTheyCover(levels: Int) {
        var random = SeededGenerator.forTest()
        let pages = Self.pages + [0xffff_8000_0000_0000, 0xffff_8000_0000_1000, 0xffff_ffff_ffff_f000]
        let world = CacheWorld(.nested(levels: levels), pages: pages)
        for round in 0..<(isLong ? 2000 : 100) {
            world.makeAllStale()
            let entries = (0..<random.pick([1, 2, 10, 64, 65, 150])).map { _ in
                world.pageEntry(
                    random.below(pages.count), count: UInt64(random.pick([1, 1, 1, 2, 3, 8, 100, 513])),
                    isLeafOnly: random.oneIn(2))
            }
            #expect(world.apply(entries).isSuccess(of: entries.count))
            for (page, input) in pages.enumerated() {
                let isCovered = entries.contains { $0.address <= input && (input - $0.address) >> 12 < $0.pages }
                guard isCovered else { continue }
                #expect(
                    world.view(0, page) == .new, "\(hex(input)), round \(round), IOMMU_TEST_SEED=\(random.seed)")
            }
        }
    }

    /// A guest may leave the upper half of first-stage addresses unextended; each of these alone does its work.
    @Test(arguments: [4, 5])
    func unextendedNeighboursAcrossTheMiddleAreBothDropped(levels: Int) {
        let middle: UInt64 = levels == 4 ? 1 << 47 : 1 << 56
        let pages = [middle - 0x1000, 0 &- middle]
        for order in [[0, 1], [1, 0]] {
            let world = CacheWorld(.nested(levels: levels), pages: pages)
            let entries = [
                Stage1Entry(address: middle - 0x1000, pages: 1), Stage1Entry(address: middle, pages: 1),
            ]
            for entry in entries {
                world.makeAllStale()
                #expect(world.apply([entry]).isSuccess(of: 1))
                #expect(world.view(0, entry == entries[0] ? 0 : 1) == .new)
            }
            world.makeAllStale()
            #expect(world.apply(order.map { entries[$0] }).isSuccess(of: 2))
            #expect(world.view(0, 0) == .new)
            #expect(world.view(0, 1) == .new, "merged across the middle of the address space")
            // The same as one entry of two pages.
            world.makeAllStale()
            #expect(world.apply([Stage1Entry(address: middle - 0x1000, pages: 2)]).isSuccess(of: 1))
            #expect(world.view(0, 0) == .new)
            #expect(world.view(0, 1) == .new, "one range across the middle of the address space")
        }
    }

    @Test func adjacentOverlappingAndEqualRangesAreMerged() {
        let world = CacheWorld(.legacy, spaces: 2, pages: Self.pages)
        func merged(_ descriptors: [Descriptor]) -> UInt32 {
            world.apply(descriptors).merged
        }
        let page = { (index: Int) in world.pageDescriptor(0, index) }
        #expect(merged([page(0)]) == 0)
        #expect(merged([page(0), page(1)]) == 1)
        #expect(merged([page(1), page(0)]) == 1)
        #expect(merged([page(0), page(0), page(0)]) == 2)
        #expect(merged([page(0), page(2)]) == 0)
        #expect(merged([page(0), page(2), page(1)]) == 2)
        #expect(merged([world.pageDescriptor(0, 0, mask: 3), page(5), page(8)]) == 2)
        #expect(merged([.iotlbDomain(1), page(5)]) <= 1)
        #expect(merged([page(0), world.pageDescriptor(1, 1)]) == 0)
        #expect(merged((0..<24).map(page)) == 23)
        #expect(merged((0..<24).reversed().map(page)) == 23)
        // Never across a wait.
        #expect(merged([page(0), Descriptor(5), page(1)]) == 0)
        #expect(merged([.contextGlobal, .contextGlobal]) == 1)
        #expect(merged([.contextDevice(1, source: 1), .contextDevice(1, source: 2)]) == 0)
    }

    @Test(arguments: [false, true], [65, 100, 128, 130])
    func moreThan64TargetsAreAllDropped(isObserved: Bool, count: Int) {
        var random = SeededGenerator.forTest()
        for kind in [CacheWorld.Kind.legacy, .scalable] {
            let world = CacheWorld(
                kind, spaces: count, pages: [0x4000_0000, 0x4000_2000], imagePages: 4096,
                configuration: BatchBench.configuration {
                    $0.iotlb_entries = 1 << 16
                    $0.spaces = 512
                    $0.bindings = 512
                })
            if isObserved { world.bench.observe() }
            world.makeAllStale()
            _ = world.bench.takeEvents()
            var descriptors = (0..<count).flatMap { [world.pageDescriptor($0, 0), world.pageDescriptor($0, 1)] }
            descriptors.shuffle(using: &random)
            let result = world.apply(descriptors)
            #expect(result.isSuccess(of: 2 * count), "\(result)")
            let stale = world.freshPages().enumerated().filter { $0.element.contains(false) }.map(\.offset)
            #expect(stale == [], "\(kind), IOMMU_TEST_SEED=\(random.seed)")
            guard isObserved else { continue }
            let everything = [[Bool]](repeating: [true, true], count: count)
            #expect(differences(everything, heardCoverage(world.bench.takeEvents(), world)) == [])
        }
    }

    /// Observers hear when it has taken effect: no section that began before is left.
    @Test(arguments: [1, 64, 65, 200])
    func observersHearAfterTheDrain(count: Int) throws {
        let world = CacheWorld(.legacy, pages: [0x1000])
        world.bench.observe()
        let other = world.bench.makePort()
        let section = HeldSection(other, milliseconds: 60)
        var early = 0
        world.bench.log.atHeard = { if !section.isEnding { early += 1 } }
        let result = world.apply((0..<count).map { Descriptor.iotlbPages(1, at: UInt64($0) << 14) })
        world.bench.log.atHeard = nil
        section.close()
        #expect(result.isSuccess(of: count))
        #expect(early == 0)
        #expect(world.bench.takeEvents().count >= 1)
    }

    /// Past the threshold of pages the ranges of a space become the whole space; a single range, and other spaces, do not.
    @Test func manyPagesBecomeTheWholeSpace() {
        let pages = (0..<64).map { 0x4000_0000 + UInt64($0) << 22 }
        for (mask, isWhole) in [(0, false), (3, false), (4, true), (8, true)] as [(UInt64, Bool)] {
            let world = CacheWorld(.legacy, spaces: 2, pages: pages)
            world.bench.observe()
            world.makeAllStale()
            _ = world.bench.takeEvents()
            let result = world.apply((0..<60).map { world.pageDescriptor(0, $0, mask: mask) })
            #expect(result.isSuccess(of: 60))
            let fresh = world.freshPages()
            #expect(!fresh[0][0..<60].contains(false), "mask \(mask)")
            #expect(fresh[0][60...].contains(true) == isWhole, "mask \(mask)")
            #expect(!fresh[1].contains(true), "another space")
            let events = world.bench.takeEvents()
            #expect(events.count == (isWhole ? 1 : 60), "mask \(mask)")
            #expect(result.merged == (isWhole ? 59 : 0), "mask \(mask)")
            if isWhole, case .heard(let heard)? = events.first {
                #expect(heard.first == 0 && heard.last == .max)
            }
        }
    }
}
