// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Explainer - decides whether a difference is one of the recorder's known departures. Every kind is checked against the tables,
// not taken from the codes alone. Runs while nothing else does.

internal import IOMMU
internal import IOMMUCapture

/// Judges differences, on a unit of its own over the same memory: without caches, so that it sees the tables as they stand, and
/// so that the unit that is examined does not notice.
struct Explainer {
    let unit: RemappingUnit
    private let port: Port

    init(_ capabilities: Capabilities, _ memory: TableMemory) throws(IOMMUError) {
        unit = try RemappingUnit(capabilities: capabilities, memory: memory.guest, configuration: .noCache)
        port = try unit.makePort()
    }

    /// Puts a difference where it belongs.
    ///
    /// - Parameters:
    ///   - question: The request.
    ///   - answer: The recorder's answer.
    ///   - result: The engine's answer, which is not the same.
    ///   - proof: What remembers the changes since the start; nil where there were none.
    func judge(
        _ question: Question, _ answer: RecordedAnswer, _ result: TranslationResult, proof: StaleProof?
    ) throws(IOMMUError) -> Judgement {
        if try isDirtyBitOnly(question, answer, result) { return .agreed }
        if try isPermissionOnHit(question, answer, result) { return .explained(.permissionOnHit) }
        if let kind = try codeDeparture(question, answer, result) { return .explained(kind) }
        if let proof, try isStillCached(question, answer, result, proof) { return .explained(.stillCached) }
        return .unexplained
    }

    /// The engine leaves the right to write out until the dirty bit is set, the recorder does not. No difference in what may be
    /// done, so no deviation.
    private func isDirtyBitOnly(
        _ question: Question, _ answer: RecordedAnswer, _ result: TranslationResult
    ) throws(IOMMUError) -> Bool {
        guard answer.fault == 0, let translation = result.translation, answer.isPage(of: translation),
            !question.access.contains(.write),
            translation.rights.union(.write).rawValue == UInt32(answer.rights),
            let leaf = try question.trace(unit).steps.last, let word = leaf.words.first
        else { return false }
        let dirty: UInt64 = leaf.table == .firstStage ? 1 << 6 : 1 << 9
        return word & 2 != 0 && word & dirty == 0
    }

    private func isPermissionOnHit(
        _ question: Question, _ answer: RecordedAnswer, _ result: TranslationResult
    ) throws(IOMMUError) -> Bool {
        guard answer.lacksRight(forWrite: question.access.contains(.write)), let fault = result.fault,
            fault.reason == .permission
        else { return false }
        let probe = question.with(access: [], adding: .noFault)
        return answer.agrees(with: try probe.ask(port), for: probe)
    }

    /// The kinds that are a matter of codes: the same condition under another number.
    private func codeDeparture(
        _ question: Question, _ answer: RecordedAnswer, _ result: TranslationResult
    ) throws(IOMMUError) -> Explanation? {
        guard let fault = result.fault else { return nil }
        let steps = try question.trace(unit).steps
        // The first entry says the mode.
        guard steps.first?.table == .scalableRoot else { return nil }
        if Explanation.scalableCodes(for: answer.fault).contains(fault.code) { return .legacyCode }
        if answer.fault == 0x5b, fault.code == 0x59, let entry = steps.last, entry.table == .pasid,
            entry.words.allSatisfy({ $0 == 0 })
        {
            return .absentPasidEntry
        }
        if fault.code == 0x46, let pasid = question.pasid,
            let context = steps.last(where: { $0.table == .scalableContext })?.words.first,
            pasid.rawValue >= 1 << (UInt32(context >> 9 & 7) + 13)
        {
            return .pasidBound
        }
        return nil
    }

    /// The recorder answered what the tables say now, and the engine what they said at a moment that it may still answer from.
    private func isStillCached(
        _ question: Question, _ answer: RecordedAnswer, _ result: TranslationResult, _ proof: StaleProof
    ) throws(IOMMUError) -> Bool {
        let now = try question.with(adding: StaleProof.walkOnly).ask(port)
        if !answer.agrees(with: now, for: question) {
            guard try codeDeparture(question, answer, now) != nil else { return false }
        }
        return try proof.held(question, result, unit)
    }
}
