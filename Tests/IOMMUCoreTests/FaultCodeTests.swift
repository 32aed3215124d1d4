// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Every fault code that a table or a request can reach [FORMATS-VTD E]: reported with its stage and level, recorded once, suppressed
// by FPD where it is qualified, and never cached. The cases are data: FaultCodeTests+*Cases.swift.

import IOMMU
import IOMMUTestSupport
import Testing

/// One way to reach a fault code, starting from tables that translate.
struct FaultCase: Sendable, CustomTestStringConvertible {
    let code: UInt32
    let what: String
    let mode: TableMode
    var stage = FaultAnswer.Stage.none
    var level: Int?
    var model = UnitModel.full
    /// Prepares the good tables, before the unit exists.
    var setup: @Sendable (ModeTables) -> Void = { _ in }
    /// Breaks them.
    var damage: @Sendable (FaultScene) throws -> Void = { _ in }
    /// The damage sits in a legal entry above the one that faults, which caches may hold until it is invalidated.
    var isHeldAbove = false
    /// Turns the good request into the bad one.
    var ask: @Sendable (inout DMARequest) -> Void = { _ in }

    var testDescription: String { "\(String(code, radix: 16)): \(what), \(mode)" }

    static let all = legacy + configuration + pasidTable + secondStage + firstStage + nested
}

/// Good tables with one mapping, a unit over them, and a way back after damage.
final class FaultScene {
    static let input: UInt64 = 0x12_3456_7000
    static let place: UInt64 = 0x23_4567_8000
    static let output: UInt64 = 0x34_5678_9000

    let tables: ModeTables
    let bench: TestBench
    private let good: GuestImage

    /// Where a test sets fault-processing-disable.
    enum Silencer: Hashable, Sendable, CaseIterable {
        case context, directory, entry
    }

    init(_ fault: FaultCase, silencers: Set<Silencer> = []) throws {
        tables = ModeTables(fault.mode)
        tables.legacyContext.disablesFaults = silencers.contains(.context)
        tables.context.disablesFaults = silencers.contains(.context)
        tables.entry.disablesFaults = silencers.contains(.entry)
        tables.second?.map(tables.first == nil ? Self.input : Self.place, to: Self.output)
        tables.first?.map(Self.input, to: tables.second == nil ? Self.output : Self.place)
        fault.setup(tables)
        tables.publish()
        if silencers.contains(.directory) {
            tables.image[tables.builder.directoryEntryAddress(ModeTables.source, pasid: ModeTables.pasid)] |= 2
        }
        bench = try tables.bench(model: fault.model)
        good = tables.image.copy()
    }

    var image: GuestImage { tables.image }
    var first: PagingTables { tables.first ?? PagingTables(.first, levels: 4, in: image) }
    var second: PagingTables { tables.second ?? PagingTables(.second, levels: 4, in: image) }
    var root: UInt64 { tables.builder.rootEntryAddress(ModeTables.source) }
    var context: UInt64 { tables.builder.contextEntryAddress(ModeTables.source) }
    var directory: UInt64 { tables.builder.directoryEntryAddress(ModeTables.source, pasid: ModeTables.pasid) }
    var entry: UInt64 { tables.builder.pasidEntryAddress(ModeTables.source, pasid: ModeTables.pasid) }
    /// Input of the second stage that ends at the output page.
    var secondInput: UInt64 { tables.first == nil ? Self.input : Self.place }

    /// The request that the good tables serve. It leaves no marks, so that marks are still missing afterwards.
    func goodRequest() -> DMARequest {
        var request = tables.request(Self.input, [.read])
        request.leavesMarks = true
        return request
    }

    func badRequest(_ fault: FaultCase) -> DMARequest {
        var request = tables.request(Self.input, [.read])
        fault.ask(&request)
        return request
    }

    /// What a guest does after it changed anything anywhere.
    func invalidateEverything() throws {
        // In a mode that does not exist there is no queue either; setting it dropped everything.
        if bench.reference.rootRegister & 0x800 != 0 { return }
        try bench.invalidate(.contextGlobal)
        if !tables.mode.isLegacy { try bench.invalidate(.pasidCacheGlobal) }
        try bench.invalidate(.iotlbGlobal)
    }

    /// Undoes the damage, without any invalidation.
    func mend() throws {
        image.restore(from: good)
        if !image.regions[0].isWritable { try image.protect(region: 0, isWritable: true, in: bench.memory) }
        if bench.reference.rootRegister != tables.builder.rootRegister {
            try bench.setRoot(tables.builder.rootRegister)
        }
    }
}

@Suite struct FaultCodeTests {
    @Test(arguments: FaultCase.all)
    func codeIsReportedRecordedAndNotCached(fault: FaultCase) throws {
        let scene = try FaultScene(fault)
        let bench = scene.bench
        let good = scene.goodRequest()
        let before = try bench.answer(good)
        #expect(before.fault == nil, "the good tables translate, \(before)")
        #expect(before == bench.expected(good))
        #expect(bench.takeFaults().isEmpty)

        try fault.damage(scene)
        try scene.invalidateEverything()
        let bad = scene.badRequest(fault)
        let wanted = FaultAnswer(
            code: fault.code, stage: fault.stage, level: fault.level,
            isRecoverable: FaultCodes.recoverable.contains(fault.code),
            isRecorded: !(bad.kind == .translationRequest && FaultCodes.recoverable.contains(fault.code)))
        #expect(bench.expected(bad) == .fault(wanted), "reference")
        for isCached in [false, true, true] {
            #expect(try bench.answer(bad, isCached: isCached) == .fault(wanted))
        }
        let records = bench.takeFaults()
        #expect(records.map(\.code) == [UInt32](repeating: fault.code, count: wanted.isRecorded ? 3 : 0))
        for record in records {
            #expect(record.source == SourceID(UInt32(bad.source)))
            #expect(record.pasid?.rawValue == bad.explicitPASID)
            #expect(record.address.rawValue == bad.iova)
            #expect(record.access == bad.access.rights)
        }

        // The guest repairs its tables and need not invalidate: a fault is not cached.
        try scene.mend()
        if fault.isHeldAbove { try scene.invalidateEverything() }
        #expect(try bench.answer(good) == before)
    }

    @Test(arguments: FaultCase.all.filter { FaultCodes.qualified.contains($0.code) })
    func faultProcessingDisableSuppressesAQualifiedCode(fault: FaultCase) throws {
        for silencer in fault.silencers {
            let scene = try FaultScene(fault, silencers: [silencer])
            try fault.damage(scene)
            try scene.invalidateEverything()
            let bad = scene.badRequest(fault)
            for isCached in [false, true] {
                let answer = try scene.bench.answer(bad, isCached: isCached)
                #expect(answer.fault?.code == fault.code, "\(silencer)")
                #expect(answer.fault?.isSuppressed == true, "\(silencer)")
                #expect(answer == scene.bench.expected(bad), "\(silencer)")
            }
            #expect(scene.bench.takeFaults().isEmpty, "\(silencer)")
        }
    }

    @Test(arguments: FaultCase.all.filter { FaultCodes.unqualified.contains($0.code) })
    func anUnqualifiedCodeIsRecordedWhateverFaultProcessingDisableSays(fault: FaultCase) throws {
        let scene = try FaultScene(fault, silencers: fault.mode.isLegacy ? [.context] : [.context, .directory, .entry])
        try fault.damage(scene)
        try scene.invalidateEverything()
        let bad = scene.badRequest(fault)
        let answer = try scene.bench.answer(bad)
        #expect(answer.fault?.code == fault.code)
        #expect(answer.fault?.isSuppressed == false)
        #expect(answer == scene.bench.expected(bad))
        #expect(scene.bench.takeFaults().map(\.code) == [fault.code])
    }

    @Test func abortModeRefusesEverythingAndRecordsNothing() throws {
        let tables = ModeTables(.scalablePassThrough)
        let bench = try tables.bench()
        try bench.setRoot(tables.builder.rootTable | 3 << 10)
        for isExplicit in [false, true] {
            let request = tables.request(0x1000, [.read], isPASIDExplicit: isExplicit)
            let answer = try bench.answer(request)
            #expect(answer.fault?.isAborted == true)
            #expect(answer.fault?.code == 0)
            #expect(answer == bench.expected(request))
        }
        #expect(bench.takeFaults().isEmpty)
    }

    @Test func quietRequestsAndProbesRecordNothing() throws {
        let tables = ModeTables(.first(4))
        let bench = try tables.bench()
        for access: Access in [[.read], []] {
            var request = tables.request(0x1000, access)
            request.isQuiet = !access.isProbe
            #expect(try bench.answer(request).fault?.code == 0x71)
            #expect(try bench.answer(request) == bench.expected(request))
        }
        #expect(bench.takeFaults().isEmpty)
    }

    @Test(arguments: TableMode.translating)
    func aHitThatDeniesWalksAgain(mode: TableMode) throws {
        let tables = ModeTables(mode)
        let stage = try #require(tables.first ?? tables.second)
        let input = FaultScene.input
        tables.second?.map(tables.first == nil ? input : FaultScene.place, to: FaultScene.output)
        tables.first?.map(input, to: tables.second == nil ? FaultScene.output : FaultScene.place, flags: 0x67)
        stage.update(input, level: 0) { $0 &= ~2 }
        let bench = try tables.bench()
        let (read, write) = (tables.request(input, [.read]), tables.request(input, [.write]))
        #expect(try bench.answer(read).mapped?.rights == [.read])
        #expect(try bench.answer(write).fault?.code == (mode.isLegacy ? 0x05 : 0x85))
        // More permission needs no invalidation: the denial came from the tables, not from the cache.
        stage.update(input, level: 0) { $0 |= 2 }
        #expect(try bench.answer(write).mapped?.rights == [.read, .write])
    }

    @Test func everyReachableCodeIsCovered() {
        let covered = Set(FaultCase.all.map(\.code))
        let missing = FaultCodes.all.subtracting(covered).sorted().map { String($0, radix: 16) }
        let strange = covered.subtracting(FaultCodes.all).sorted().map { String($0, radix: 16) }
        #expect(missing == [] && strange == [])
        #expect(FaultCodes.all.count == 60)
    }
}

extension FaultCase {
    /// The same, with the damage in an entry that caches may hold.
    func heldAbove() -> FaultCase {
        var copy = self
        copy.isHeldAbove = true
        return copy
    }

    /// Where an FPD bit has been read by the time this code is found.
    var silencers: [FaultScene.Silencer] {
        if mode.isLegacy { return [.context] }
        // A translated request reads nothing after the context entry, and its faults carry paging codes.
        var request = DMARequest(source: 0, iova: 0, access: [])
        ask(&request)
        if code < 0x50 || request.kind == .translated { return [.context] }
        return code < 0x58 ? [.context, .directory] : [.context, .directory, .entry]
    }
}
