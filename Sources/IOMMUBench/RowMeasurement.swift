// SPDX-License-Identifier: LGPL-2.1-or-later
//
// RowMeasurement - from a case to its row. Keeps the world of the last case, which the next one often shares.

/// Measures cases.
struct RowMeasurement {
    let turns: Turns
    let loads: Loads
    /// All repetitions of the loads so far.
    private(set) var nearLoad = Samples()
    private(set) var farLoad = Samples()
    private var shared: TranslationBench?
    private let mostPages: UInt32?

    init(turns: Turns, loads: Loads, mostPages: UInt32?) {
        self.mostPages = mostPages
        self.turns = turns
        self.loads = loads
    }

    /// The subjects of a case. `others` are the baselines, by design.
    private struct Plan {
        var engine: Subject
        var others: [Subject] = []
        var loop: Subject?
        var alone: Subject?
        /// Additions on all threads, and on one.
        var additions: [Subject] = []
        var bytes: Int?
    }

    private mutating func bench(_ wanted: TranslationSetup) -> TranslationBench {
        let setup = wanted.with { $0.pages = min($0.pages, mostPages ?? $0.pages) }
        if let shared, shared.setup == setup { return shared }
        shared = nil  // before the next one: both may be large
        let fresh = TranslationBench(setup)
        shared = fresh
        return fresh
    }

    private mutating func plan(_ one: BenchCase) -> Plan {
        switch one.kind {
        case .translate(let setup, let manner):
            let bench = bench(setup)
            guard one.threads > 1 else {
                return Plan(engine: bench.engine(manner), others: bench.others(manner), loop: bench.loop())
            }
            let team = Team(threads: UInt32(one.threads))
            return Plan(
                engine: bench.engine(manner, team: team), others: bench.others(manner, team: team),
                loop: bench.loop(), alone: bench.engineAlone(manner),
                additions: [team.additions(), team.additionsAlone()])
        case .invalidateBusy(let setup, let scope):
            let bench = bench(setup)
            return Plan(engine: bench.invalidate(scope), others: bench.othersInvalidate(scope))
        case .invalidateIdle(let setup, let scope, let filled):
            return Plan(engine: bench(setup).invalidateIdle(scope, filled: filled))
        case .fault:
            let bench = FaultBench()
            return Plan(engine: bench.engine(), others: bench.others())
        case .setup(let step):
            let bench = SetupBench()
            return Plan(engine: bench.subject(step), bytes: step.tellsBytes ? bench.bytes(step) : nil)
        case .message:
            return Plan(engine: MessageBench().engine())
        }
    }

    /// Measures one case.
    mutating func measure(_ one: BenchCase) -> BenchRow {
        let plan = plan(one)
        let subjects = [plan.engine] + plan.others + [plan.loop, plan.alone].compactMap(\.self) + plan.additions
        let outcome = turns.measure(subjects, loads: loads)
        nearLoad.append(contentsOf: outcome.nearLoad)
        farLoad.append(contentsOf: outcome.farLoad)
        let statistics = outcome.subjects.map(\.statistics)
        let engine = statistics[0]
        let others = plan.others.isEmpty ? [] : statistics[1...3].map(\.median)
        let ratios = others.map { $0 / engine.median }
        let alone = plan.alone == nil ? nil : statistics[plan.others.count + 2]
        let additions = statistics.suffix(plan.additions.count).map(\.median)
        return BenchRow(
            name: one.name, threads: one.threads, title: one.title, per: one.per,
            nanosecondsMinimum: engine.minimum, nanosecondsMedian: engine.median,
            ratioMutexTable: ratios.first, ratioTree: ratios.dropFirst().first, ratioRCUTable: ratios.last,
            ratioL1Load: engine.median / outcome.nearLoad.statistics.median,
            ratioDRAMLoad: engine.median / outcome.farLoad.statistics.median,
            nanosecondsMutexTable: others.first, nanosecondsTree: others.dropFirst().first,
            nanosecondsRCUTable: others.last,
            nanosecondsLoop: plan.loop == nil ? nil : statistics[plan.others.count + 1].median,
            throughputAgainstOneThread: alone.map { Double(one.threads) * $0.median / engine.median },
            additionsAgainstOneThread: additions.isEmpty ? nil : Double(one.threads) * additions[1] / additions[0],
            bytes: plan.bytes, repetitions: engine.count)
    }
}
