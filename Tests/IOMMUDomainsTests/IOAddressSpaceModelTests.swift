// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Random operations on a space with two mirrors, one of which fails now and then, against a dictionary of pages.

import IOMMU
import IOMMUTestSupport
import Testing

@Suite struct IOAddressSpaceModelTests {
    /// What a model knows of one page.
    struct Page: Hashable {
        var output: UInt64
        var rights: AccessRights
        /// Pages of one area have the same number.
        var area: Int
    }

    /// The slow space: a page a entry, in a window of 64 pages.
    struct Model {
        static let window = 64

        var pages: [Int: Page] = [:]
        var reserved: Set<Int> = []
        var lastArea = 0

        mutating func newArea() -> Int {
            lastArea += 1
            return lastArea
        }

        /// Pages of the areas that lie in a range, or the refusal.
        func whole(_ range: Range<Int>) -> Result<[Int], IOMMUError> {
            let hit = pages.filter { range.contains($0.key) }
            let areas = Set(hit.values.map(\.area))
            if areas.isEmpty { return .failure(.notFound) }
            let isCut = pages.contains { areas.contains($0.value.area) && !range.contains($0.key) }
            return isCut ? .failure(.notFound) : .success(Array(hit.keys))
        }

        /// Splits areas at the bounds of a range.
        mutating func split(_ range: Range<Int>) {
            for area in Set(pages.values.map(\.area)) {
                let members = pages.filter { $0.value.area == area }.map(\.key)
                let parts = [
                    members.filter { $0 < range.lowerBound }, members.filter { range.contains($0) },
                    members.filter { $0 >= range.upperBound },
                ]
                for part in parts.dropFirst() where !part.isEmpty && part.count < members.count {
                    let number = newArea()
                    for page in part { pages[page]?.area = number }
                }
            }
        }
    }

    /// The space, its mirrors and the model, driven by one random source.
    struct World {
        var random: SeededGenerator
        var model = Model()
        let space: IOAddressSpace
        let steady = FakeMirror()
        let fickle = FakeMirror()
        var reservations: [(IOReservation, Range<Int>)] = []

        init(_ random: SeededGenerator) throws {
            self.random = random
            space = try IOAddressSpace(memory: GuestMemory())
            try space.allow([0...IOVA(UInt64(Model.window) << 12 - 1)])
            try space.allow([])
            _ = try space.reserve(IOVA(UInt64(Model.window) << 12)...IOVA.max, reason: "the window's end")
            _ = try space.add(steady)
            _ = try space.add(fickle)
        }

        func iova(_ page: Int) -> IOVA { IOVA(UInt64(page) << 12) }
        func bytes(_ range: Range<Int>) -> UInt64 { UInt64(range.count) << 12 }

        mutating func range() -> Range<Int> {
            let first = random.below(Model.window)
            return first..<min(first + 1 + random.below(12), Model.window)
        }

        mutating func rights() -> AccessRights {
            random.pick([.read, .write, [.read, .write]])
        }

        /// One operation; nil when both agree that it succeeds or is refused.
        mutating func step() -> String? {
            let willFail = random.oneIn(4)
            let isLast = random.oneIn(2)
            // The mirror that is asked last fails, so that the first one must go back; or the first one does.
            (isLast ? fickle : steady).fail(at: willFail ? 0 : .max)
            let before = SpaceView(space)
            let saved = model
            let (expected, perform) = operation()
            var thrown: IOMMUError?
            do throws(IOMMUError) { try perform() } catch { thrown = error }
            steady.fail()
            fickle.fail()
            if willFail, expected == nil, thrown == .noMemory {
                model = saved
                return SpaceView(space) == before ? agreement() : "a failure of a mirror changed the space"
            }
            if thrown != expected {
                return "threw \(thrown.map { "\($0)" } ?? "nothing"), not \(expected.map { "\($0)" } ?? "nothing")"
            }
            if thrown != nil, SpaceView(space) != before { return "a refusal changed the space" }
            return agreement()
        }

        /// Draws an operation: its refusal by the model, which is changed already if there is none, and the call.
        private mutating func operation() -> (IOMMUError?, () throws(IOMMUError) -> Void) {
            let range = range()
            let rights = rights()
            let (iova, length) = (iova(range.lowerBound), bytes(range))
            switch random.below(8) {
            case 0..<3: return map(range, iova, length, rights)
            case 3: return mapAnywhere(length, range.count, rights)
            case 4: return unmap(range, iova, length)
            case 5: return protect(range, iova, length, rights)
            case 6: return copy(range, iova, length, rights)
            default: return reserve(range)
            }
        }

        private mutating func map(
            _ range: Range<Int>, _ iova: IOVA, _ length: UInt64, _ rights: AccessRights
        ) -> (IOMMUError?, () throws(IOMMUError) -> Void) {
            let output = (random.next() >> 20) << 12
            let space = space
            let call: () throws(IOMMUError) -> Void = { () throws(IOMMUError) in
                _ = try space.map(.output(OutputAddress(output)), length: length, at: iova, rights: rights)
            }
            if range.contains(where: { model.pages[$0] != nil }) { return (.overlap, call) }
            if !model.reserved.isDisjoint(with: range) { return (.outOfRange, call) }
            let area = model.newArea()
            for page in range {
                model.pages[page] = Page(
                    output: output + UInt64(page - range.lowerBound) << 12, rights: rights, area: area)
            }
            return (nil, call)
        }

        private mutating func mapAnywhere(
            _ length: UInt64, _ count: Int, _ rights: AccessRights
        ) -> (IOMMUError?, () throws(IOMMUError) -> Void) {
            // Without an allowed list page 0 is not chosen.
            let free = (1...Model.window).contains { first in
                let range = first..<first + count
                return range.upperBound <= Model.window && model.reserved.isDisjoint(with: range)
                    && range.allSatisfy { model.pages[$0] == nil }
            }
            let space = space
            // Taken back at once: the model need not know the address.
            return (
                free ? nil : .noSpace,
                { () throws(IOMMUError) in
                    let iova = try space.map(.output(0x5000), length: length, rights: rights)
                    try space.unmap(iova, length: length)
                }
            )
        }

        private mutating func unmap(
            _ range: Range<Int>, _ iova: IOVA, _ length: UInt64
        ) -> (IOMMUError?, () throws(IOMMUError) -> Void) {
            let space = space
            let call: () throws(IOMMUError) -> Void = { () throws(IOMMUError) in
                try space.unmap(iova, length: length)
            }
            switch model.whole(range) {
            case .failure(let error): return (error, call)
            case .success(let pages):
                for page in pages { model.pages[page] = nil }
                return (nil, call)
            }
        }

        private mutating func protect(
            _ range: Range<Int>, _ iova: IOVA, _ length: UInt64, _ rights: AccessRights
        ) -> (IOMMUError?, () throws(IOMMUError) -> Void) {
            let space = space
            let call: () throws(IOMMUError) -> Void = { () throws(IOMMUError) in
                try space.protect(iova, length: length, rights: rights)
            }
            guard range.allSatisfy({ model.pages[$0] != nil }) else { return (.notFound, call) }
            model.split(range)
            for page in range { model.pages[page]?.rights = rights }
            return (nil, call)
        }

        private mutating func copy(
            _ range: Range<Int>, _ iova: IOVA, _ length: UInt64, _ rights: AccessRights
        ) -> (IOMMUError?, () throws(IOMMUError) -> Void) {
            let first = random.below(Model.window - range.count + 1)
            let target = self.iova(first)
            let space = space
            let call: () throws(IOMMUError) -> Void = { () throws(IOMMUError) in
                _ = try space.copy(from: space, iova, length: length, at: target, rights: rights)
            }
            guard range.allSatisfy({ model.pages[$0] != nil }) else { return (.notFound, call) }
            let place = first..<first + range.count
            if place.contains(where: { model.pages[$0] != nil }) { return (.overlap, call) }
            if !model.reserved.isDisjoint(with: place) { return (.outOfRange, call) }
            var areas: [Int: Int] = [:]
            for page in range {
                guard var copied = model.pages[page] else { continue }
                let area = areas[copied.area] ?? model.newArea()
                areas[copied.area] = area
                copied.area = area
                copied.rights = rights
                model.pages[page - range.lowerBound + first] = copied
            }
            return (nil, call)
        }

        /// Reserves a range or takes a reservation back. No mirror is asked.
        private mutating func reserve(_ range: Range<Int>) -> (IOMMUError?, () throws(IOMMUError) -> Void) {
            if reservations.count > 2 {
                let (token, _) = reservations.removeFirst()
                model.reserved = Set(reservations.flatMap { Array($0.1) })
                let space = space
                return (nil, { () throws(IOMMUError) in try space.unreserve(token) })
            }
            let span = iova(range.lowerBound)...IOVA(UInt64(range.upperBound) << 12 - 1)
            let expected: IOMMUError? = range.contains { model.pages[$0] != nil } ? .inUse : nil
            var thrown: IOMMUError?
            do throws(IOMMUError) {
                reservations.append((try space.reserve(span, reason: "the model"), range))
                model.reserved.formUnion(range)
            } catch {
                thrown = error
            }
            return (expected, { () throws(IOMMUError) in if let thrown { throw thrown } })
        }

        /// What differs between the space, the model and the mirrors; nil if nothing does.
        func agreement() -> String? {
            var expected: [UInt64: FakeMirror.Page] = [:]
            for (page, entry) in model.pages {
                expected[UInt64(page)] = FakeMirror.Page(output: entry.output, rights: entry.rights)
            }
            if space.pages() != expected { return "the space has other pages than the model" }
            if steady.pages != expected { return "the first mirror has other pages than the model" }
            if fickle.pages != expected { return "the second mirror has other pages than the model" }
            if let complaint = (steady.complaints + fickle.complaints).first { return complaint }
            let areas = Dictionary(grouping: model.pages, by: { $0.value.area }).values.map { pages in
                [pages.map(\.key).min() ?? 0, pages.map(\.key).max() ?? 0]
            }
            let seen = space.areas.map { [Int($0.first.rawValue >> 12), Int($0.last.rawValue >> 12)] }
            if seen != areas.sorted(by: { $0[0] < $1[0] }) { return "the areas are not those of the model" }
            return space.mappedBytes == UInt64(model.pages.count) << 12 ? nil : "the bytes are counted wrong"
        }
    }

    @Test func spaceAndMirrorsAgreeWithADictionaryOfPages() throws {
        var random = SeededGenerator.forTest()
        let seed = random.seed
        for round in 0..<8 {
            // Its own seed, so that one round can be looked at alone.
            var world = try World(SeededGenerator(seed: random.next()))
            for step in 0..<500 {
                if let difference = world.step() {
                    Issue.record("seed \(seed), round \(round), step \(step): \(difference)")
                    return
                }
            }
            try world.space.unmapAll()
            #expect(world.steady.pages.isEmpty && world.fickle.pages.isEmpty)
        }
    }
}
