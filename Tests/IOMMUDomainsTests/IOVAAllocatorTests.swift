// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The choice of input addresses, against a search of every page.

import IOMMU
import IOMMUTestSupport
import Testing

@Suite struct IOVAAllocatorTests {
    private typealias Wish = IOVAAllocator.Wish

    private func area(_ first: UInt64, _ length: UInt64) -> AreaRecord {
        AreaRecord(first: first, last: first + (length - 1), output: 0, rights: .read)
    }

    @Test func addressesFollowOneAnother() {
        var table = AreaTable()
        var allocator = IOVAAllocator()
        for index in 0..<1000 as Range<UInt64> {
            let wish = Wish(length: 0x1000, alignment: 0x1000)
            #expect(allocator.allocate(wish, usable: [0x1000...UInt64.max], table: &table) == (index + 1) << 12)
            let made = area((index + 1) << 12, 0x1000)
            table.insert(made)
            allocator.commit(last: made.last)
        }
    }

    @Test func searchWrapsAroundBeforeItFails() {
        var table = AreaTable()
        var allocator = IOVAAllocator()
        allocator.commit(last: 0x8fff)
        let usable: [ClosedRange<UInt64>] = [0x2000...0xafff]
        let wish = Wish(length: 0x3000, alignment: 0x1000)
        // The only room lies around the cursor.
        table.insert(area(0x2000, 0x5000))
        table.insert(area(0xa000, 0x1000))
        #expect(allocator.allocate(wish, usable: usable, table: &table) == 0x7000)
        table.insert(area(0x9000, 0x1000))
        #expect(allocator.allocate(wish, usable: usable, table: &table) == nil)
        #expect(allocator.allocate(Wish(length: 0x1000, alignment: 0x1000), usable: usable, table: &table) == 0x7000)
    }

    @Test func addressIsCongruentToTheOutputForTheLargestPageThatFits() {
        var table = AreaTable()
        let allocator = IOVAAllocator()
        let usable: [ClosedRange<UInt64>] = [0x1000...0xffff_ffff]
        func allocate(_ length: UInt64, _ output: UInt64) -> UInt64? {
            allocator.allocate(Wish(length: length, alignment: 0x1000, output: output), usable: usable, table: &table)
        }
        #expect(allocate(0x1f_f000, 0x1234_5000) == 0x1000)
        #expect(allocate(0x20_0000, 0x1234_5000) == 0x14_5000)
        #expect(allocate(0x20_0000, 0x4000_0000) == 0x20_0000)
        #expect(allocate(0x4000_0000, 0x1_4030_0000) == 0x30_0000)
        // No room for that: a smaller page is possible still.
        table.insert(area(0x3000_0000, 0xd000_0000))
        #expect(allocate(0x4000_0000, 0) == nil)
        #expect(allocate(0x2000_0000, 0x7000) == 0x7000)
        table.insert(area(0x1000, 0x2000_0000))
        #expect(allocate(0xfe0_0000, 0x3000) == 0x2000_3000)
        #expect(allocate(0xfff_e000, 0x3000) == 0x2000_1000)
    }

    @Test func outputOfASmallerAlignmentDoesNotCountForIt() {
        var table = AreaTable()
        let wish = Wish(length: 0x1_0000, alignment: 0x1_0000, output: 0x3000)
        #expect(IOVAAllocator().allocate(wish, usable: [0x1000...UInt64.max], table: &table) == 0x1_0000)
    }

    @Test func lastAddressCanBeChosen() {
        var table = AreaTable()
        var allocator = IOVAAllocator()
        let wish = Wish(length: 0x1000, alignment: 0x1000)
        let usable = [UInt64.max - 0x1fff...UInt64.max]
        #expect(allocator.allocate(wish, usable: usable, table: &table) == UInt64.max - 0x1fff)
        table.insert(area(.max - 0x1fff, 0x1000))
        #expect(allocator.allocate(wish, usable: usable, table: &table) == UInt64.max - 0xfff)
        table.insert(area(.max - 0xfff, 0x1000))
        allocator.commit(last: .max)
        #expect(allocator.allocate(wish, usable: usable, table: &table) == nil)
    }

    @Test func agreesWithASearchOfEveryPage() {
        var random = SeededGenerator.forTest()
        for round in 0..<60 {
            var table = AreaTable()
            var allocator = IOVAAllocator()
            var taken = Set<UInt64>()
            let usable: [ClosedRange<UInt64>] = [0x1000...0x3_ffff, 0x5_0000...0x9_afff]
            for step in 0..<200 {
                let note = Comment(rawValue: "seed \(random.seed), round \(round), step \(step)")
                let pages = UInt64(1 + random.below(6))
                let alignment = UInt64(1) << UInt64(random.below(3))
                let wish = Wish(length: pages << 12, alignment: alignment << 12, output: random.next() % 64 << 12)
                let free = (0..<0x9b as Range<UInt64>).filter { page in
                    page % alignment == 0 && taken.isDisjoint(with: page..<page + pages)
                        && usable.contains { $0.contains(page << 12) && $0.contains((page + pages) << 12 - 1) }
                }
                let cursor = allocator.cursor >> 12
                let expected = free.first { $0 >= cursor } ?? free.first
                #expect(
                    allocator.allocate(wish, usable: usable, table: &table) == expected.map { $0 << 12 }, note)
                if let expected, !random.oneIn(4) {
                    let made = area(expected << 12, pages << 12)
                    table.insert(made)
                    allocator.commit(last: made.last)
                    taken.formUnion(expected..<expected + pages)
                } else {
                    let victim = UInt64(random.below(0x9b))
                    var removed: [AreaRecord] = []
                    table.remove(touching: victim << 12, victim << 12 + 0x3fff, into: &removed)
                    for gone in removed { taken.subtract(gone.first >> 12...gone.last >> 12) }
                }
            }
        }
    }
}
