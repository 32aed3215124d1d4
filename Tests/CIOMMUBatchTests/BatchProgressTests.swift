// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A bad entry at every place of an array: those before it took effect, those after it did not.

import CIOMMU
import IOMMUTestSupport
import Testing

@Suite struct BatchProgressTests {
    /// Pages that do not touch, so that none is merged with another.
    private static func spread(_ count: Int) -> [UInt64] {
        (0..<count).map { 0x4000_0000 + UInt64($0) << 13 }
    }

    /// Entries that are bad in different ways, with their codes.
    private static let bad: [(Descriptor, UInt32)] = [
        (Descriptor(0), 3), (Descriptor(2), 4), (Descriptor(2 | 1 << 4, 1 << 7), 4), (Descriptor(5, 1), 4),
        (Descriptor(15), 3), (Descriptor(1 | 1 << 4, 1), 4),
    ]

    @Test(arguments: [1, 2, 63, 64, 65], [CacheWorld.Kind.legacy, .scalable])
    func descriptorsBeforeABadOneTookEffectAndLaterOnesDidNot(count: Int, kind: CacheWorld.Kind) {
        var log = MismatchLog()
        let world = CacheWorld(kind, spaces: 2, pages: Self.spread(count))
        for index in 0..<count {
            let space = index % 2
            for page in 0..<count { world.makeStale(space, page) }
            var descriptors = (0..<count).map { world.pageDescriptor(space, $0) }
            let (entry, code) = Self.bad[index % Self.bad.count]
            descriptors[index] = entry
            let result = world.apply(descriptors)
            log.compare(result.isRefusal(at: index, code: code), true, "\(count), \(index): \(result)")
            log.compare(result.merged, 0, "\(count), \(index)")
            for page in 0..<count {
                log.compare(world.view(space, page), page < index ? .new : .old, "\(count), \(index), page \(page)")
            }
            world.bench.setRoot(world.bench.root)
        }
        log.expectNone("\(kind)")
    }

    @Test(arguments: [1, 2, 63, 64, 65])
    func stage1EntriesBeforeABadOneTookEffectAndLaterOnesDidNot(count: Int) {
        var log = MismatchLog()
        let world = CacheWorld(.nested(levels: 4), pages: Self.spread(count))
        for index in 0..<count {
            for page in 0..<count { world.makeStale(0, page) }
            var entries = (0..<count).map { world.pageEntry($0) }
            let code: UInt32
            switch index % 3 {
            case 0:
                entries[index].flags = 0x8000_0001
                code = eopnotsupp
            case 1:
                entries[index].address |= 0x10
                code = einval
            default:
                entries[index].pages = .max
                code = einval
            }
            let result = world.apply(entries)
            log.compare(result.isRefusal(at: index, code: code), true, "\(count), \(index): \(result)")
            for page in 0..<count {
                log.compare(world.view(0, page), page < index ? .new : .old, "\(count), \(index), page \(page)")
            }
            _ = world.apply([.everything])
        }
        log.expectNone("stage 1")
    }

    /// Whole domains, each of which shows by itself whether it was dropped.
    @Test(arguments: [2, 63, 64, 65])
    func domainsBeforeABadEntryWereDroppedAndLaterOnesNot(count: Int) {
        var log = MismatchLog()
        let world = CacheWorld(.legacy, spaces: count, pages: [0x4000_0000])
        for index in 0..<count {
            for space in 0..<count { world.makeStale(space, 0) }
            var descriptors = (0..<count).map { world.spaceDescriptor($0) }
            descriptors[index] = Descriptor(6)
            let result = world.apply(descriptors)
            log.compare(result.isRefusal(at: index, code: 3), true, "\(count), \(index): \(result)")
            for space in 0..<count {
                log.compare(world.view(space, 0), space < index ? .new : .old, "\(count), \(index), domain \(space)")
            }
            // Not a new root: the pool of spaces would run out while the old ones wait for readers.
            _ = world.apply([.iotlbGlobal])
        }
        log.expectNone("domains")
    }

    /// The same at every place of 4,096, seen at the pages around the bad entry and at both ends.
    @Test(arguments: [CacheWorld.Kind.legacy, .nested(levels: 4)])
    func aBadEntryAtEveryPlaceOf4096(kind: CacheWorld.Kind) {
        let count = 4096
        var log = MismatchLog()
        let world = CacheWorld(kind, pages: Self.spread(count))
        let isStage1 = kind != .legacy
        let good =
            isStage1
            ? (0..<count).map { world.pageEntry($0).words } : (0..<count).map { world.pageDescriptor(0, $0).words }
        var words = good.flatMap { $0 }
        let width = isStage1 ? 3 : 2
        for index in 0..<count {
            let watched = Set([0, index - 64, index - 1, index, index + 1, index + 64, count - 1])
                .filter { (0..<count).contains($0) }
            for page in watched { world.makeStale(0, page) }
            // A flag that does not exist; a type that does not exist.
            let place = index * width + (isStage1 ? 2 : 0)
            words[place] ^= isStage1 ? 2 : 1 << 11
            let result = world.bench.apply(
                format: isStage1 ? CIOMMU_BATCH_VTD_S1 : CIOMMU_BATCH_VTD_128, words: words, count: count,
                domain: world.domain)
            words[place] ^= isStage1 ? 2 : 1 << 11
            log.compare(result.isRefusal(at: index, code: isStage1 ? eopnotsupp : 3), true, "\(index): \(result)")
            for page in watched {
                log.compare(world.view(0, page), page < index ? .new : .old, "\(index), page \(page)")
            }
            // What stayed stale is not to be in the way of the next round.
            if isStage1 { _ = world.apply([.everything]) } else { _ = world.apply([.iotlbGlobal]) }
            if log.isFull { break }
        }
        log.expectNone("\(kind)")
    }

    /// The whole array is applied when nothing is wrong with it, and every page is new.
    @Test(arguments: [1, 2, 63, 64, 65, 129, 4096])
    func aGoodArrayIsAppliedWhole(count: Int) {
        for isLeafOnly in [false, true] {
            let world = CacheWorld(.legacy, pages: Self.spread(count))
            world.makeAllStale()
            let result = world.apply((0..<count).map { world.pageDescriptor(0, $0, isLeafOnly: isLeafOnly) })
            #expect(result.isSuccess(of: count), "\(result)")
            #expect(result.segments == 1)
            #expect(!world.freshPages()[0].contains(false))
        }
    }
}
