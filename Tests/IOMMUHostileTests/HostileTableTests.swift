// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Tables that point to themselves and to one another, at every level of every mode, and devices that write their own tables: the
// engine answers as the reference does, marks what it marks, and ends.

import IOMMU
import IOMMUTestSupport
import Testing

/// One mapping whose indices are all 1, so that a table that stands for another is read at the same entry.
struct LoopScene {
    static let output: UInt64 = 0x34_5678_9000

    let tables: ModeTables
    let bench: TestBench
    private let good: GuestImage

    init(_ mode: TableMode) throws {
        tables = ModeTables(mode)
        let place = Self.address(tables.second?.levels ?? 0)
        tables.second?.map(place, to: Self.output)
        tables.first?.map(Self.address(tables.first?.levels ?? 0), to: tables.second == nil ? Self.output : place)
        bench = try tables.bench()
        good = tables.image.copy()
    }

    /// The address whose index is 1 at each of the levels.
    static func address(_ levels: Int) -> UInt64 {
        (0..<levels).reduce(0) { $0 | 1 << UInt64(12 + 9 * $1) }
    }

    /// What devices ask for.
    var input: UInt64 { Self.address((tables.first ?? tables.second)?.levels ?? 0) }

    /// Puts everything back, marks included, and says so.
    func mend() throws {
        tables.image.restore(from: good)
        try invalidateEverything()
    }

    func invalidateEverything() throws {
        try bench.invalidate(.contextGlobal)
        if !tables.mode.isLegacy { try bench.invalidate(.pasidCacheGlobal) }
        try bench.invalidate(.iotlbGlobal)
    }

    /// Asks every way about some addresses: walked anew, cold, warm.
    func compare(_ inputs: [UInt64], _ log: inout MismatchLog, _ context: String) throws {
        for input in inputs {
            for access: Access in [[], [.read], [.write]] {
                for isExplicit in tables.mode.isLegacy ? [false] : [true, false] {
                    let request = tables.request(input, access, isPASIDExplicit: isExplicit)
                    let wanted = bench.expected(request)
                    log.compare(try bench.answer(request, isCached: false), wanted, "\(context), uncached \(request)")
                    log.compare(try bench.answer(request), wanted, "\(context), cold \(request)")
                    log.compare(try bench.answer(request), wanted, "\(context), warm \(request)")
                    try bench.invalidate(.iotlbGlobal)
                }
            }
        }
        log.compare(bench.differences, [], "\(context), marks")
    }
}

@Suite struct HostileTableTests {
    @Test(arguments: TableMode.translating)
    func tablesThatLoopAreWalkedAsTheReferenceWalksThem(mode: TableMode) throws {
        var log = MismatchLog()
        let scene = try LoopScene(mode)
        for stage in [scene.tables.first, scene.tables.second].compactMap({ $0 }) {
            let address = LoopScene.address(stage.levels)
            let pages = (0..<stage.levels).map { stage.entryPointer(address, level: $0) & ~0xfff }
            for level in 0..<stage.levels {
                for target in 0..<stage.levels where !log.isFull {
                    for flags: UInt64 in [7, 0x367, 0x87] {
                        stage.setEntry(address, level: level, pages[target] | flags)
                        let context = "\(mode), \(stage.stage) entry \(level) to table \(target), flags \(hex(flags))"
                        try scene.compare([scene.input, scene.input ^ 0x3000], &log, context)
                        try scene.mend()
                    }
                }
            }
            // Every entry of the path leads back to the root.
            let entries = (0..<stage.levels).map { stage.entryAddress(address, level: $0) }
            for entry in entries { scene.tables.image[entry] = pages[stage.levels - 1] | 7 }
            try scene.compare([scene.input], &log, "\(mode), \(stage.stage), all to the root")
            try scene.mend()
        }
        log.expectNone("\(mode)")
        #expect(log.cases > 100)
    }

    @Test(arguments: [
        TableMode.legacySecond(4), .scalableSecond(4), .first(4), .first(5), .nested(first: 4, second: 4),
    ])
    func configurationTablesThatLoopAreReadAsTheReferenceReadsThem(mode: TableMode) throws {
        var log = MismatchLog()
        let scene = try LoopScene(mode)
        let (builder, source, pasid) = (scene.tables.builder, ModeTables.source, ModeTables.pasid)
        var links = [builder.rootEntryAddress(source), builder.contextEntryAddress(source)]
        if !mode.isLegacy {
            links.append(builder.directoryEntryAddress(source, pasid: pasid))
            let entry = builder.pasidEntryAddress(source, pasid: pasid)
            links += [entry, entry + 16]
        }
        let pages = Set(
            links.map { $0 & ~0xfff } + [scene.tables.first?.root, scene.tables.second?.root].compactMap { $0 })
        for link in links {
            let sound = scene.tables.image[link]
            for page in pages.sorted() where !log.isFull {
                scene.tables.image[link] = page | sound & 0xfff
                try scene.invalidateEverything()
                let context = "\(mode), \(hex(link)) to \(hex(page))"
                try scene.compare([scene.input, 0, 0x1000], &log, context)
                for number: UInt32 in [0, 1, 63, 64, 0x1fff] where !mode.isLegacy {
                    var request = scene.tables.request(scene.input, [.read])
                    request.pasid = number
                    let wanted = scene.bench.expected(request)
                    log.compare(try scene.bench.answer(request), wanted, "\(context), \(request)")
                }
                for other: UInt16 in [0, 0x0111, 0x0190, 0xffff] {
                    var request = scene.tables.request(scene.input, [.read])
                    request.source = other
                    let wanted = scene.bench.expected(request)
                    log.compare(try scene.bench.answer(request), wanted, "\(context), \(request)")
                }
                try scene.mend()
            }
        }
        log.expectNone("\(mode)")
    }

    @Test(arguments: TableMode.translating)
    func aDeviceThatWritesItsOwnTableIsTranslatedByWhatItWrote(mode: TableMode) throws {
        let scene = try LoopScene(mode)
        let stage = try #require(scene.tables.first ?? scene.tables.second)
        let table = stage.entryAddress(scene.input, level: 0) & ~0xfff
        // Page 1 of the leaf table is the table itself, page 2 is data.
        let flags: UInt64 = stage.stage == .first ? 0x67 : 0x303
        var place = table
        if mode.isNested { place = stage.entryPointer(scene.input, level: 0) & ~0xfff }
        stage.setEntry(scene.input, level: 0, place | flags)
        try scene.invalidateEverything()
        let source = SourceID(UInt32(ModeTables.source))
        let pasid = mode.isLegacy ? nil : PASID(ModeTables.pasid)
        func write(_ word: UInt64, at entry: UInt64) throws -> CopyProgress {
            let bytes = unsafe withUnsafeBytes(of: word.littleEndian) { unsafe Array($0) }
            let iova = IOVA(scene.input & ~0xfff | entry * 8)
            return try scene.bench.port.write(bytes.span, to: iova, source: source, pasid: pasid)
        }
        let request = scene.tables.request(scene.input & ~0x1f_f000 | 2 << 12, [.read])
        for round: UInt64 in 0..<8 {
            let output = mode.isNested ? place : 0x40_0000_0000 | round << 12
            let entry = round == 5 ? 0 : output | flags
            #expect(try write(entry, at: 2).isComplete)
            #expect(scene.tables.image[table | 16] == entry)
            scene.bench.twin[table | 16] = entry
            try scene.invalidateEverything()
            #expect(try scene.bench.answer(request) == scene.bench.expected(request))
        }
        // It takes its own table away: the write itself still lands, and is the last.
        #expect(try write(0, at: 1).isComplete)
        scene.bench.twin[table | 8] = 0
        try scene.invalidateEverything()
        let last = try write(1, at: 3)
        #expect(last.count == 0 && last.fault != nil)
        #expect(scene.tables.image[table | 24] == 0)
    }

    /// Words in which no bit has a meaning, and halves that a request does not use: every bit, where FaultCodeBitTests takes three.
    @Test(arguments: [TableMode.scalablePassThrough, .scalableSecond(4), .first(4), .nested(first: 4, second: 4)])
    func everyBitOfWordsWithoutFieldsIsJudgedAsTheReferenceDoes(mode: TableMode) throws {
        var log = MismatchLog()
        let scene = try LoopScene(mode)
        let (builder, source, pasid) = (scene.tables.builder, ModeTables.source, ModeTables.pasid)
        let context = builder.contextEntryAddress(source)
        let entry = builder.pasidEntryAddress(source, pasid: pasid)
        // The other half of the root entry first: nothing in it counts.
        let words = [builder.rootEntryAddress(source) ^ 8, context + 16, context + 24] + (3..<8).map { entry + 8 * $0 }
        let request = scene.tables.request(scene.input, [.read])
        for (number, word) in words.enumerated() {
            let sound = scene.tables.image[word]
            for bit: UInt64 in 0..<64 {
                scene.tables.image[word] = sound ^ (1 << bit)
                let answer = try scene.bench.answer(request, isCached: false)
                log.compare(answer, scene.bench.expected(request), "\(hex(word)) bit \(bit)")
                log.compare(answer.fault?.code, number == 0 ? nil : number < 3 ? 0x42 : 0x5a, "\(hex(word)) bit \(bit)")
            }
            scene.tables.image[word] = sound
        }
        log.compare(scene.bench.differences, [], "marks")
        log.expectNone("\(mode)")
    }
}

extension MismatchLog {
    /// Fails the test, with the first few lines, if anything was recorded.
    func expectNone(_ label: String, sourceLocation: SourceLocation = #_sourceLocation) {
        if !isEmpty { Issue.record("\(label): \(self)", sourceLocation: sourceLocation) }
    }
}
