// SPDX-License-Identifier: LGPL-2.1-or-later
//
// ImageCheck - every row of mappings.csv and of probes.csv against the image.

internal import IOMMU
internal import IOMMUCapture

/// What the checks of the image came to.
struct ImageTally {
    var mappings = 0
    var mappingsAgreed = 0
    var probes = 0
    var probesAgreed = 0
    var explained: [Explanation: Int] = [:]
    var mappingDeviations: DeviationList
    var probeDeviations: DeviationList
}

/// Asks a unit over the image what the recorder was asked.
struct ImageCheck {
    let capture: Capture
    private let image: ImageUnit
    private let explainer: Explainer

    init(_ capture: Capture, _ options: ReplayOptions) throws(ReplayError) {
        self.capture = capture
        image = try ImageUnit(capture, configuration: options.configuration)
        do throws(IOMMUError) {
            explainer = try Explainer(image.unit.capabilities, image.memory)
            try explainer.unit.setRootTable(capture.registers.rootTableAddress)
            try explainer.unit.setTranslation(enabled: capture.registers.isTranslationEnabled)
        } catch {
            throw .engine(error, doing: "making a unit")
        }
    }

    /// Does all rows.
    func run(into tally: inout ImageTally, progress: (Double) -> Void) throws(ReplayError) {
        let total = Double(max(capture.mappings.count + capture.probes.count, 1))
        do throws(IOMMUError) {
            for (number, row) in capture.mappings.enumerated() {
                try check(row, &tally)
                if number & 0x1fff == 0 { progress(Double(number) / total) }
            }
            for (number, row) in capture.probes.enumerated() {
                try check(row, &tally)
                if number & 0x1fff == 0 { progress(Double(number + capture.mappings.count) / total) }
            }
        } catch {
            throw .engine(error, doing: "asking about the image")
        }
        progress(1)
    }

    private func check(_ row: ProbeRow, _ tally: inout ImageTally) throws(IOMMUError) {
        tally.probes += 1
        let question = Question(row)
        let result = try question.ask(image.port)
        if row.answer.agrees(with: result, for: question) {
            tally.probesAgreed += 1
            return
        }
        switch try explainer.judge(question, row.answer, result, proof: nil) {
        case .agreed:
            tally.probesAgreed += 1
        case .explained(let kind):
            tally.explained[kind, default: 0] += 1
        case .unexplained:
            tally.probeDeviations.add {
                Deviation(
                    file: capture.probesFile, line: row.line, recorded: "\(question): recorded \(row.answer)",
                    answered: WalkText.line(result), walk: WalkText.lines(question, explainer.unit))
            }
        }
    }

    /// First and last byte of the page lead to first and last byte of the output page, and the leaf is the recorded one.
    private func check(_ row: MappingRow, _ tally: inout ImageTally) throws(IOMMUError) {
        tally.mappings += 1
        let first = Question(row, at: row.iova)
        let last = Question(row, at: row.last)
        let answers = [try first.ask(image.port), try last.ask(image.port)]
        let leaf = try first.trace(explainer.unit).steps.last?.words.first
        let expected = [row.output, row.output + (row.size - 1)]
        let rights: AccessRights = [row.readable ? .read : [], row.writable ? .write : []]
        let isRight = zip(answers, expected).allSatisfy { answer, address in
            guard let translation = answer.translation else { return false }
            return translation.address == OutputAddress(address) && translation.mask == row.size - 1
                && Self.isSame(translation.rights, rights, leaf: leaf, dirty: row.kind == "fs" ? 1 << 6 : 1 << 9)
        }
        if isRight && (leaf == row.leafEntry || row.kind == "nested") {
            tally.mappingsAgreed += 1
            return
        }
        tally.mappingDeviations.add {
            let leafText = "leaf 0x" + String(row.leafEntry, radix: 16)
            return Deviation(
                file: capture.mappingsFile, line: row.line,
                recorded:
                    "\(first): recorded 0x\(String(row.output, radix: 16)) size 0x\(String(row.size, radix: 16)) \(rights) \(leafText)",
                answered: answers.map(WalkText.line).joined(separator: "; last byte: "),
                walk: WalkText.lines(first, explainer.unit))
        }
    }

    /// The engine leaves write out until the dirty bit is set; a leaf without it may lack the right.
    private static func isSame(
        _ found: AccessRights, _ recorded: AccessRights, leaf: UInt64?, dirty: UInt64
    ) -> Bool {
        if found == recorded { return true }
        guard let leaf, found.union(.write) == recorded else { return false }
        return leaf & 2 != 0 && leaf & dirty == 0
    }
}
