// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Shape - which addresses are mapped for whom, through which tables and caches: a world in C and one in Swift are made from it.

import CIOMMUBench
import IOMMU

/// A world's measures. Addresses are those of the worlds in C.
struct Shape {
    enum Way {
        /// A guest's first-stage tables; the others are domains of the host.
        case first
        case second, nested, pass
    }

    static let input: UInt64 = 1 << 32
    static let guestData: UInt64 = 1 << 46
    static let output: UInt64 = 1 << 47

    var way = Way.second
    var pages: Int
    var pageLog2 = 12
    var sources = 1
    var pasids = 0
    var firstLevel = 256
    var iotlb = 65_536
    var walkCache = 256
    /// Pages lie 2 MiB apart.
    var isScattered = false

    init(_ way: Way = .second, pages: Int) {
        self.way = way
        self.pages = pages
    }

    /// Caches of these sizes instead of the default ones.
    func caches(firstLevel: Int, iotlb: Int, walks: Int) -> Shape {
        var shape = self
        (shape.firstLevel, shape.iotlb, shape.walkCache) = (firstLevel, iotlb, walks)
        return shape
    }

    func with<Value>(_ path: WritableKeyPath<Shape, Value>, _ value: Value) -> Shape {
        var shape = self
        shape[keyPath: path] = value
        return shape
    }

    var firstInput: UInt64 { way == .pass ? Self.output : Self.input }
    var distance: UInt64 { 1 << UInt64(isScattered ? 21 : pageLog2) }
    var spaces: Int { way == .pass ? 1 : max(pasids, 1) }

    func source(_ index: Int) -> SourceID { SourceID(UInt32(8 * (index + 1))) }

    func output(space: Int, page: Int) -> UInt64 {
        Self.output + UInt64(space * pages + page) << UInt64(pageLog2)
    }

    var inC: bench_world_config {
        var config = bench_world_config()
        let ways: [Way: bench_way] = [
            .first: BENCH_GUEST_FIRST, .second: BENCH_HOST_SECOND, .nested: BENCH_HOST_NESTED, .pass: BENCH_HOST_PASS,
        ]
        bench_world_config_init(&config, ways[way]!, UInt32(pages))
        config.page_lg2 = UInt32(pageLog2)
        config.sources = UInt32(sources)
        config.pasids = UInt32(pasids)
        config.lanes = 2
        config.first_level_entries = UInt32(firstLevel)
        config.iotlb_entries = UInt32(iotlb)
        config.walk_cache_entries = UInt32(walkCache)
        config.scattered = isScattered
        return config
    }
}
