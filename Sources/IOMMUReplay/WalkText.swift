// SPDX-License-Identifier: LGPL-2.1-or-later
//
// WalkText - walks and answers in words: for deviations and for `iommu walk`.

internal import IOMMU

/// Words for walks.
enum WalkText {
    /// An answer in one line.
    static func line(_ result: TranslationResult) -> String {
        switch result {
        case .mapped(let translation):
            let page = translation.address.rawValue & ~translation.mask
            return "\(translation.address), page 0x\(String(page, radix: 16)) of \(size(translation.mask &+ 1)), "
                + "\(translation.rights)"
        case .fault(let fault):
            return "fault \(code(fault)): \(fault.codeText.isEmpty ? fault.reason.description : fault.codeText)"
        case .interrupt(let address):
            return "interrupt message to \(address), never DMA"
        }
    }

    /// A fault's code with its name.
    static func code(_ fault: Fault) -> String {
        let number = "0x" + String(fault.code, radix: 16)
        return fault.codeName.isEmpty ? number : "\(number) \(fault.codeName)"
    }

    /// The walk of a request over the tables as they stand now; one line of error if it cannot be made.
    static func lines(_ question: Question, _ unit: RemappingUnit) -> [String] {
        do throws(IOMMUError) {
            return lines(try question.trace(unit))
        } catch {
            return ["no walk: \(error)"]
        }
    }

    /// A walk entry by entry, and where it ended.
    static func lines(_ trace: WalkTrace) -> [String] {
        var lines: [String] = []
        for (index, step) in trace.steps.enumerated() {
            lines.append("\(index + 1). \(step.title), entry at \(step.address)")
            if step.words.isEmpty {
                lines.append("   cannot be read: no memory there")
                continue
            }
            let hasEmptyRest = step.words.count > 4 && step.words[3...].allSatisfy { $0 == 0 }
            let raw = hasEmptyRest ? step.words[..<3] : step.words[...]
            let rest = hasEmptyRest ? " (the rest is 0)" : ""
            lines.append("   raw " + raw.map(hexadecimal).joined(separator: " ") + rest)
            lines.append("   " + step.fields.map { "\($0.name)=\($0.value)" }.joined(separator: " "))
        }
        if trace.isTruncated {
            lines.append("(more entries were read)")
        }
        lines.append("=> " + line(trace.result))
        if case .fault(let fault) = trace.result {
            lines += details(fault)
        }
        return lines
    }

    /// Where a fault came from.
    private static func details(_ fault: Fault) -> [String] {
        var parts = ["reason: \(fault.reason)"]
        if fault.stage != .none { parts.append("stage: \(fault.stage)") }
        if let level = fault.level { parts.append("level: \(level)") }
        if let entry = fault.entryAddress { parts.append("entry at \(entry)") }
        if fault.reason == .permission { parts.append("asked \(fault.access), found \(fault.found)") }
        if fault.isRecoverable { parts.append("recoverable") }
        if fault.isSuppressed { parts.append("not recorded (FPD)") }
        return ["   " + parts.joined(separator: ", ")]
    }

    /// A size in the largest unit that fits.
    static func size(_ bytes: UInt64) -> String {
        let units: [(UInt64, String)] = [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")]
        for (shift, name) in units where bytes >> shift != 0 && bytes & ((1 << shift) - 1) == 0 {
            return "\(bytes >> shift) \(name)"
        }
        return "\(bytes) bytes"
    }

    /// A word with all its digits.
    static func hexadecimal(_ word: UInt64) -> String {
        let digits = String(word, radix: 16)
        return "0x" + String(repeating: "0", count: 16 - digits.count) + digits
    }
}
