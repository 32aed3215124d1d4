// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Every bit of every entry on the path of a request, flipped one at a time, under many sets of capabilities: the engine must judge
// the entry as the reference does. This finds a reserved bit that is not checked, and an ignored one that is.

import IOMMU
import IOMMUTestSupport
import Testing

@Suite struct FaultCodeBitTests {
    static let modes: [TableMode] = [
        .legacyPassThrough, .scalablePassThrough, .legacySecond(4), .scalableSecond(3), .scalableSecond(5), .first(4),
        .first(5), .nested(first: 4, second: 4),
    ]

    /// Modes that differ from others only in depth: both revisions are enough for them.
    static let deepModes: [TableMode] = [.scalableSecond(5), .first(5)]

    /// Both revisions whole, then revision 4 and 3 with one field less. What the engine calls inconsistent is left out.
    static let models: [UnitModel] = {
        var models = [UnitModel.full, .revision3]
        let fields: [UnitModel.Field] = [
            .firstStage1GiB, .firstStage5Level, .passThrough, .snoopControl, .nesting, .supervisorRequests,
            .extendedAccessed, .secondStageMarks, .snoopedWalks, .requestPASID, .requestPrivilege, .domains,
            .secondStageLargePages,
        ]
        for field in fields { models.append(UnitModel.full.with(field, 0)) }
        for field in [UnitModel.Field.memoryTypes, .executeRequests, .snoopControl] {
            models.append(UnitModel.revision3.with(field, 0))
        }
        models.append(.withoutDeviceTLB)
        models.append(.withoutPageRequests)
        models.append(UnitModel.full.with(.memoryTypes, 1))
        models.append(UnitModel.full.with(.cachingMode, 1))
        models.append(UnitModel.full.with { $0.hostAddressWidth = 40 })
        models.append(UnitModel.full.with(.maximumGuestAddressWidth, 46))
        return models
    }()

    @Test(arguments: modes)
    func everyFlippedBitIsJudgedAsTheReferenceDoes(mode: TableMode) throws {
        var log = MismatchLog()
        var refused = 0
        for model in Self.models where !log.isFull {
            guard (try? model.capabilities()) != nil else {
                refused += 1
                continue
            }
            let isWhole = model == .full || model == .revision3
            guard isWhole || !Self.deepModes.contains(mode) else { continue }
            for level in isWhole ? 0...2 : 0...0 {
                try flipAll(mode, model, level: level, requests: isWhole && level == 0 ? 5 : 2, &log)
            }
        }
        log.expectNone("\(mode)")
        #expect(refused == 0)
    }

    private func flipAll(
        _ mode: TableMode, _ model: UnitModel, level: Int, requests count: Int, _ log: inout MismatchLog
    ) throws {
        let (input, place, output) = (FaultScene.input, FaultScene.place, FaultScene.output)
        let low = UInt64(1) << UInt64(12 + 9 * level) - 1
        let tables = ModeTables(mode)
        tables.second?.map((tables.first == nil ? input : place) & ~low, to: output & ~low, level: level)
        tables.first?.map(input & ~low, to: (tables.second == nil ? output : place) & ~low, level: level)
        if !model.has(.snoopedWalks) { tables.entry.snoopsWalks = false }
        if !model.has(.deviceTLB) { tables.context.allowsDeviceTLB = false }
        if !model.has(.requestPASID) { tables.context.requestPASID = 0 }
        if mode == .legacySecond(4), model.has(.deviceTLB) { tables.legacyContext.translationType = 1 }
        tables.publish()
        let bench = try tables.bench(model: model, configuration: .noCache)
        let requests = Self.requests(tables).prefix(count)
        for address in Self.path(tables, level: level) {
            let sound = tables.image[address]
            // Words without any field: three bits stand for all.
            let isBlank = tables.builder.isScalable && !hasFields(address, tables)
            for bit in isBlank ? [0, 31, 63] : Array(0..<64) where !log.isFull {
                tables.image[address] = sound ^ (1 << UInt64(bit))
                for request in requests {
                    let found = try bench.answer(request)
                    log.compare(
                        found, bench.expected(request),
                        "\(model), leaf \(level), \(hex(address)) = \(hex(sound)) bit \(bit), \(request)")
                }
            }
            tables.image[address] = sound
        }
        log.compare(bench.differences, [], "marks, \(mode)")
    }

    /// True for words in which some bit has a meaning.
    private func hasFields(_ address: UInt64, _ tables: ModeTables) -> Bool {
        let entry = tables.builder.pasidEntryAddress(ModeTables.source, pasid: ModeTables.pasid)
        let context = tables.builder.contextEntryAddress(ModeTables.source)
        return !(entry + 24..<entry + 64).contains(address) && !(context + 16..<context + 32).contains(address)
    }

    /// Requests that bring out different rules.
    private static func requests(_ tables: ModeTables) -> [DMARequest] {
        let input = FaultScene.input
        var read = tables.request(input, [.read])
        read.leavesMarks = true
        var translation = tables.request(input, [.read], isPASIDExplicit: false)
        translation.kind = .translationRequest
        translation.leavesMarks = true
        return [
            tables.request(input, [.write]), translation, read,
            tables.request(input, [.execute, .privileged]), tables.request(input, [.write], isPASIDExplicit: false),
        ]
    }

    /// Addresses of every quadword that a walk reads.
    private static func path(_ tables: ModeTables, level: Int) -> [UInt64] {
        let (builder, source, pasid) = (tables.builder, ModeTables.source, ModeTables.pasid)
        func words(_ address: UInt64, _ count: Int) -> [UInt64] { (0..<count).map { address + UInt64(8 * $0) } }
        var path = words(builder.rootEntryAddress(source), tables.mode.isLegacy ? 2 : 1)
        path += words(builder.contextEntryAddress(source), tables.mode.isLegacy ? 2 : 4)
        if !tables.mode.isLegacy {
            path += words(builder.directoryEntryAddress(source, pasid: pasid), 1)
            path += words(builder.pasidEntryAddress(source, pasid: pasid), 8)
        }
        for current in level..<(tables.first?.levels ?? level) {
            if let first = tables.first { path.append(first.entryAddress(FaultScene.input, level: current)) }
        }
        guard let second = tables.second else { return path }
        let inputs = tables.first.map { [FaultScene.place, $0.root] } ?? [FaultScene.input]
        for input in inputs {
            let leaf = input == FaultScene.place || input == FaultScene.input ? level : 0
            for current in leaf..<second.levels { path.append(second.entryAddress(input, level: current)) }
        }
        return path
    }
}
