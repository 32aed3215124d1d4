// SPDX-License-Identifier: LGPL-2.1-or-later
//
// TranslationSetup - which tables, caches and requesters a row about translations has.

internal import CIOMMUBench

/// A world of CIOMMUBench, described; rows with the same description share it.
struct TranslationSetup: Equatable {
    /// Who made the tables, and what they are.
    enum Way {
        case guestSecond, guestFirst, guestNested, guestPass, hostSecond, hostNested, hostPass
    }

    /// What the baselines have.
    enum Baselines {
        /// The designs, as they are.
        case cached
        /// Only their locks, and the walk.
        case walkOnly
        /// Nothing: they know no such tables.
        case none
    }

    var way: Way
    var pages: UInt32
    var pageLg2: UInt32 = 12
    var apartLg2: UInt32 = 0
    var sources: UInt32 = 1
    var pasids: UInt32 = 0
    var firstLevelEntries: UInt32 = 256
    var iotlbEntries: UInt32 = 1 << 16
    var walkCacheEntries: UInt32 = 256
    var baselines = Baselines.cached

    init(_ way: Way, pages: UInt32) {
        self.way = way
        self.pages = pages
        if way != .guestSecond && way != .guestNested {
            baselines = .none
        }
    }

    /// The IOTLB is twice the size of what is mapped, or the default one if that is enough.
    static func hits(_ way: Way, pages: UInt32) -> TranslationSetup {
        var setup = TranslationSetup(way, pages: pages)
        setup.iotlbEntries = max(setup.iotlbEntries, 2 * pages)
        return setup
    }

    /// Nothing is cached but, if wanted, parts of walks.
    static func walks(_ way: Way, pages: UInt32 = 512, walkCache: Bool) -> TranslationSetup {
        var setup = TranslationSetup(way, pages: pages)
        setup.firstLevelEntries = 0
        setup.iotlbEntries = 0
        setup.walkCacheEntries = walkCache ? setup.walkCacheEntries : 0
        if setup.baselines != .none {
            setup.baselines = walkCache ? .cached : .walkOnly
        }
        return setup
    }

    /// The same with something changed.
    func with(_ change: (inout TranslationSetup) -> Void) -> TranslationSetup {
        var copy = self
        change(&copy)
        return copy
    }

    func config(lanes: UInt32) -> bench_world_config {
        var config = bench_world_config()
        unsafe bench_world_config_init(&config, way.native, pages)
        config.page_lg2 = pageLg2
        config.apart_lg2 = apartLg2
        config.sources = sources
        config.pasids = pasids
        config.lanes = lanes
        config.first_level_entries = firstLevelEntries
        config.iotlb_entries = iotlbEntries
        config.walk_cache_entries = walkCacheEntries
        return config
    }
}

extension TranslationSetup.Way {
    var native: bench_way {
        switch self {
        case .guestSecond: BENCH_GUEST_SECOND
        case .guestFirst: BENCH_GUEST_FIRST
        case .guestNested: BENCH_GUEST_NESTED
        case .guestPass: BENCH_GUEST_PASS
        case .hostSecond: BENCH_HOST_SECOND
        case .hostNested: BENCH_HOST_NESTED
        case .hostPass: BENCH_HOST_PASS
        }
    }
}
