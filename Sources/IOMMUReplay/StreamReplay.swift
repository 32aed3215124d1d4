// SPDX-License-Identifier: LGPL-2.1-or-later
//
// StreamReplay - one pass over the event stream: run, judge, change, and again.

internal import IOMMU
internal import IOMMUCapture

/// What a pass over the stream came to.
struct StreamTally {
    var translations = 0
    var agreed = 0
    var explained: [Explanation: Int] = [:]
    var deviations: DeviationList
    var invalidations = 0
    var batches = 0
    var lookups = IOTLBCounts()
    var registers = RegisterCounts()
}

/// One pass: a fresh unit and fresh memory.
final class StreamReplay {
    private let stream: EventStream
    private let plan: ReplayPlan
    private let unit: RemappingUnit
    private let memory: TableMemory
    private let team: ReplayTeam
    private let explainer: Explainer
    private let proof: StaleProof
    private let isBatched: Bool
    private var batch = DescriptorBatch()

    init(
        _ stream: EventStream, _ plan: ReplayPlan, _ capabilities: Capabilities, _ options: ReplayOptions
    ) throws(ReplayError) {
        self.stream = stream
        self.plan = plan
        isBatched = options.isBatched
        memory = try TableMemory(pages: plan.pages)
        do throws(IOMMUError) {
            var configuration = options.configuration
            configuration.ports = max(configuration.ports, configuration.pooledPorts + options.threads + 1)
            unit = try RemappingUnit(capabilities: capabilities, memory: memory.guest, configuration: configuration)
            explainer = try Explainer(capabilities, memory)
            team = try ReplayTeam(unit, stream.translations, options)
        } catch {
            throw .engine(error, doing: "making a unit")
        }
        proof = StaleProof(stream, memory)
    }

    /// Does the pass, and adds to a tally.
    ///
    /// - Parameters:
    ///   - tally: What earlier passes came to.
    ///   - progress: Hears now and then which part of the pass is done, 0 to 1.
    func run(into tally: inout StreamTally, progress: (Double) -> Void) throws(ReplayError) {
        defer { team.finish() }
        do throws(IOMMUError) {
            for (number, segment) in plan.segments.enumerated() {
                for store in plan.stores[segment.firstSeen] {
                    proof.log.store(store, in: memory)
                }
                if !segment.translations.isEmpty {
                    try applyBatch(&tally)
                    try settle(segment.translations, team.run(segment.translations), &tally)
                }
                try apply(segment.change, &tally)
                if number & 0x1fff == 0 {
                    progress(Double(number) / Double(plan.segments.count))
                }
            }
            try applyBatch(&tally)
        } catch {
            throw .engine(error, doing: "replaying \(stream.file)")
        }
        progress(1)
        tally.lookups += IOTLBCounts(unit.statistics)
    }

    /// Judges what a run found.
    private func settle(
        _ run: Range<Int>, _ findings: [Finding], _ tally: inout StreamTally
    ) throws(IOMMUError) {
        tally.translations += run.count
        tally.agreed += run.count - findings.count
        for finding in findings {
            let translation = stream.translations[finding.index]
            let question = Question(translation)
            guard case .success(let result) = finding.result else {
                add(translation, question, "\(finding.result)", &tally)
                continue
            }
            switch try explainer.judge(question, translation.answer, result, proof: proof) {
            case .agreed: tally.agreed += 1
            case .explained(let kind): tally.explained[kind, default: 0] += 1
            case .unexplained: add(translation, question, WalkText.line(result), &tally)
            }
        }
    }

    private func add(
        _ translation: EventStream.Translation, _ question: Question, _ answered: String, _ tally: inout StreamTally
    ) {
        tally.deviations.add {
            Deviation(
                file: stream.file, line: Int(translation.line),
                recorded: "\(question): recorded \(translation.answer)\(translation.isHit ? " (from its IOTLB)" : "")",
                answered: answered, walk: WalkText.lines(question, explainer.unit))
        }
    }

    private func apply(_ change: ReplayPlan.Change, _ tally: inout StreamTally) throws(IOMMUError) {
        switch change {
        case .end:
            break
        case .store(let index):
            proof.log.store(plan.stores[index], in: memory)
        case .descriptor(let index, let isFirst):
            tally.invalidations += 1
            if isBatched {
                if isFirst || batch.isWide != stream.descriptors[index].isWide { try applyBatch(&tally) }
                batch.add(index, stream.descriptors[index])
            } else {
                try invalidate(stream.descriptors[index], &tally)
                proof.log.invalidation(index)
            }
        case .rootTable(let address):
            try applyBatch(&tally)
            try unit.setRootTable(address)
            try explainer.unit.setRootTable(address)
            proof.log.everything()
        case .translation(let enabled):
            try applyBatch(&tally)
            try unit.setTranslation(enabled: enabled)
            try explainer.unit.setTranslation(enabled: enabled)
            proof.log.everything()
        }
    }

    /// Hands the descriptors that were put off to the engine. Stores between them were made already, which is as good:
    /// the guest made them before the descriptor that they matter to, or they are the recorder's status writes, which
    /// the engine makes again.
    private func applyBatch(_ tally: inout StreamTally) throws(IOMMUError) {
        guard !batch.isEmpty else { return }
        defer { batch = DescriptorBatch() }
        tally.batches += 1
        for index in batch.indices { proof.log.invalidation(index) }
        try batch.apply(to: unit) { index, reason in
            refuse(stream.descriptors[index], reason, &tally)
        }
    }

    /// Hands a descriptor to the engine.
    private func invalidate(_ recorded: EventStream.Descriptor, _ tally: inout StreamTally) throws(IOMMUError) {
        do throws(IOMMUError) {
            try unit.invalidate(descriptor: InvalidationDescriptor(recorded))
        } catch {
            guard error == .badDescriptor else { throw error }
            refuse(recorded, "\(error)", &tally)
        }
    }

    /// The recorder took a descriptor, so that the engine does not is a deviation.
    private func refuse(_ recorded: EventStream.Descriptor, _ reason: String, _ tally: inout StreamTally) {
        tally.deviations.add {
            Deviation(
                file: stream.file, line: Int(recorded.line),
                recorded: "descriptor \(InvalidationDescriptor(recorded))", answered: "refused: \(reason)", walk: [])
        }
    }
}
