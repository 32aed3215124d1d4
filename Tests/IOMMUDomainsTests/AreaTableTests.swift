// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The table of areas against a list that is searched from end to end.

import IOMMU
import IOMMUTestSupport
import Testing

@Suite struct AreaTableTests {
    @Test func emptyTableHasNothing() {
        var table = AreaTable()
        #expect(table.count == 0 && table.bytes == 0 && table.ends == nil)
        #expect(table.firstArea(touching: 0, .max) == nil)
        #expect(table.findGap(in: 0, .max, length: .max) { first, _ in first } == 0)
        var removed: [AreaRecord] = []
        table.remove(touching: 0, .max, into: &removed)
        #expect(removed.isEmpty)
    }

    @Test func areasAtBothEndsOfAllAddressesStand() {
        var table = AreaTable()
        table.insert(AreaRecord(first: .max, last: .max, output: 0, rights: .read))
        table.insert(AreaRecord(first: 0, last: 0, output: 0, rights: .read))
        #expect(table.area(holding: .max)?.first == .max)
        #expect(table.findGap(in: 0, .max, length: 2) { _, last in last } == UInt64.max - 1)
        #expect(table.findGap(in: .max, .max, length: 1) { first, _ in first } == nil)
        var removed: [AreaRecord] = []
        table.remove(touching: .max, .max, into: &removed)
        #expect(removed.map(\.first) == [.max] && table.count == 1)
    }

    @Test func ascendingAreasLeaveFullChunks() {
        var table = AreaTable()
        let count = 100 * AreaTable.chunkCapacity
        for index in 0..<UInt64(count) {
            table.insert(AreaRecord(first: index * 2, last: index * 2, output: 0, rights: .read))
        }
        #expect(table.chunks.count == 100)
        check(table)
    }

    @Test func chunksJoinWhenTheyBecomeSparse() {
        var table = AreaTable()
        for index in 0..<UInt64(100 * AreaTable.chunkCapacity) {
            table.insert(AreaRecord(first: index, last: index, output: 0, rights: .read))
        }
        var removed: [AreaRecord] = []
        for index in 0..<UInt64(100 * AreaTable.chunkCapacity) where index % 64 != 0 {
            table.remove(touching: index, index, into: &removed)
        }
        #expect(table.count == 200)
        #expect(table.chunks.count <= 8)
        check(table)
    }

    @Test(arguments: [AddressPattern.dense, .spread])
    func agreesWithAList(_ pattern: AddressPattern) {
        var random = SeededGenerator.forTest()
        var table = AreaTable()
        var model: [AreaRecord] = []
        for step in 0..<6000 {
            let note = Comment(rawValue: "seed \(random.seed), step \(step)")
            let (first, last) = pattern.range(&random)
            let touching = model.filter { $0.first <= last && first <= $0.last }
            #expect(table.firstArea(touching: first, last)?.first == touching.first?.first, note)
            switch random.below(8) {
            case 0..<(step < 3000 ? 6 : 3) where touching.isEmpty:
                let area = AreaRecord(first: first, last: last, output: random.next(), rights: .read)
                table.insert(area)
                model.insert(area, at: model.firstIndex { $0.first > first } ?? model.count)
            case 6:
                var removed: [AreaRecord] = []
                table.remove(touching: first, last, into: &removed)
                #expect(removed.map(\.first) == touching.map(\.first), note)
                model.removeAll { $0.first <= last && first <= $0.last }
            case 7:
                let cut = touching.first.flatMap { $0.first < first ? $0 : nil }
                #expect(table.split(at: first) == (cut != nil), note)
                if let cut, let index = model.firstIndex(where: { $0.first == cut.first }) {
                    model[index] = cut.part(cut.first, first - 1)
                    model.insert(cut.part(first, cut.last), at: index + 1)
                }
            default:
                let length = UInt64(random.below(64)) + 1
                let found = table.findGap(in: first, .max - 1, length: length) { start, _ in start }
                #expect(found == gap(in: model, from: first, to: .max - 1, length: length), note)
            }
            if step % 64 == 0 { check(table, note) }
            #expect(table.count == model.count, note)
        }
        var seen: [AreaRecord] = []
        table.forEach(touching: 0, .max) { area in
            seen.append(copy area)
            return true
        }
        #expect(seen.map(\.first) == model.map(\.first) && seen.map(\.last) == model.map(\.last))
        #expect(seen.map(\.output) == model.map(\.output))
        #expect(table.bytes == model.reduce(0) { $0 + UInt128($1.length) })
    }

    /// The first gap of the model that is long enough.
    private func gap(in model: [AreaRecord], from first: UInt64, to last: UInt64, length: UInt64) -> UInt64? {
        var free = first
        for area in model where area.last >= first {
            if area.first > free, area.first - free >= length { return free }
            if area.last >= last { return nil }
            free = max(free, area.last + 1)
        }
        return last - free >= length - 1 ? free : nil
    }

    /// The invariants that stand at the type.
    private func check(_ table: AreaTable, _ note: Comment? = nil) {
        #expect(table.chunks.allSatisfy { !$0.isEmpty && $0.count <= AreaTable.chunkCapacity }, note)
        #expect(table.firsts == table.chunks.map { $0[0].first }, note)
        #expect(table.gapBounds.count == table.chunks.count, note)
        #expect(table.chunks.reduce(0) { $0 + $1.count } == table.count, note)
        var free: UInt64 = 0
        for (bound, chunk) in zip(table.gapBounds, table.chunks) {
            for area in chunk {
                #expect(area.first >= free && area.last >= area.first, note)
                #expect(bound >= area.first - free, note)
                free = area.last &+ 1
            }
        }
    }

    /// Where the areas of a random test lie.
    enum AddressPattern: Sendable {
        case dense, spread

        func range(_ random: inout SeededGenerator) -> (UInt64, UInt64) {
            let first = self == .dense ? random.next() % 20_000 : random.next() >> 1
            return (first, first + random.next() % (self == .dense ? 8 : 1 << 50))
        }
    }
}
