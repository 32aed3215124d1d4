// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The ranges of one space in a segment are applied as one set: each of them takes effect all the same.

import CIOMMU
import IOMMUTestSupport
import Testing

@Suite struct BatchSetTests {
    /// Two pages in each of three leaf tables; none of them touch.
    private static let pages: [UInt64] = [0, 0x20_0000, 0x40_0000].flatMap { [0x4000_0000 + $0, 0x4000_2000 + $0] }

    private func apply(_ world: CacheWorld, _ pages: [(page: Int, isLeafOnly: Bool)]) -> BatchResult {
        if case .nested = world.kind {
            return world.apply(pages.map { world.pageEntry($0.page, isLeafOnly: $0.isLeafOnly) })
        }
        return world.apply(pages.map { world.pageDescriptor(0, $0.page, isLeafOnly: $0.isLeafOnly) })
    }

    /// One entry of a set says that a table changed, wherever it stands: walks begin at the root again.
    @Test(arguments: [CacheWorld.Kind.legacy, .scalable, .nested(levels: 4)])
    func oneEntryThatIsNotLeafOnlyForgetsTables(kind: CacheWorld.Kind) {
        for place in 0..<3 {
            let world = CacheWorld(
                kind, pages: Self.pages, configuration: BatchBench.configuration { $0.walk_cache_entries = 256 })
            let changed = 2 * place
            for page in Self.pages.indices { world.warm(0, page) }
            world.changeTable(0, changed)
            // All leaf-only, so the walk cache may go on to the old table; if it does not, this test shows nothing.
            #expect(apply(world, [0, 2, 4].map { ($0, true) }).isSuccess(of: 3))
            #expect(world.view(0, changed) == .old, "\(kind)")
            #expect(apply(world, [0, 2, 4].map { ($0, $0 != changed) }).isSuccess(of: 3))
            #expect(world.view(0, changed) == .new, "\(kind), place \(place)")
            for page in Self.pages.indices where page != changed { #expect(world.view(0, page) == .new) }
        }
    }

    /// A leaf is dropped by any page of it, and not by its neighbours', whatever sizes are in use together.
    @Test func pagesOfSuperpagesDropThem() throws {
        let world = CacheWorld(.legacy, pages: [0x1000])
        let (source, tables) = (world.spaces[0].source, world.spaces[0].tables)
        let large = (0..<5).map { 0x8000_0000 + UInt64($0) << 21 }
        func map(_ version: UInt64) {
            for input in large { tables.map(input, to: 0x20_0000_0000 * version + input, level: 1, flags: 3) }
        }
        func versions() -> [UInt64?] {
            large.map { input in
                world.bench.address(input + 0x5000, source: source, pasid: nil).map { $0 / 0x20_0000_0000 }
            }
        }
        map(1)
        world.makeStale(0, 0)
        #expect(versions() == [1, 1, 1, 1, 1])
        map(2)
        #expect(versions() == [1, 1, 1, 1, 1], "nothing is cached")
        let inputs = [large[3] + 0x1f_f000, large[0], large[1] + 0x7000, 0x1000]
        #expect(world.apply(inputs.map { .iotlbPages(1, at: $0, isLeafOnly: true) }).isSuccess(of: 4))
        #expect(versions() == [2, 2, 1, 2, 1])
        #expect(world.view(0, 0) == .new)
        // One range over both sizes.
        #expect(world.apply([.iotlbPages(1, at: large[2], mask: 8), .iotlbPages(1, at: 0x1000)]).isSuccess(of: 2))
        #expect(versions() == [2, 2, 2, 2, 1])
    }
}
