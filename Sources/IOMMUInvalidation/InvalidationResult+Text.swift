// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Results in words that a person can act on: which entry, which rule, which device, and what to do.

internal import IOMMUCore

extension InvalidationResult: CustomStringConvertible {
    /// What happened; for each failure the entry, the device and what to do about it.
    public var description: String {
        guard error != nil else {
            let entries = "\(handled) of \(count) entries handled"
            return isComplete ? "\(entries), complete (\(merged) merged, \(segments) segments)" : entries
        }
        var lines = [summary]
        for failure in failures where !failure.isRefusal {
            lines.append("\(failure). \(failure.advice)")
        }
        if failureCount > failures.count {
            lines.append("\(failureCount - failures.count) more failures were not kept")
        }
        return lines.joined(separator: "\n")
    }

    /// The first line.
    private var summary: String {
        guard let hardwareError else {
            var text = "all \(handled) entries handled, but not everything is complete"
            if let lowestIndex, let highestIndex {
                text +=
                    lowestIndex == highestIndex
                    ? " (entry \(lowestIndex))" : " (entries \(lowestIndex) to \(highestIndex))"
            }
            return text
        }
        let rule = rule.map { ": \($0)" } ?? ""
        let before: String
        switch handled {
        case 0: before = "nothing was applied"
        case 1: before = "entry 0 took effect"
        default: before = "entries 0 to \(handled - 1) took effect"
        }
        return "entry \(handled) of \(count) refused\(rule) (\(hardwareError)); \(before). "
            + "Correct entry \(handled) and submit again from there"
    }
}

extension InvalidationResult.Failure: CustomStringConvertible {
    /// A phrase such as `entry 3: device 7 (source 00:07.0, PASID 16) did not answer in time`.
    public var description: String {
        "\(place): \(culprit) \(what)"
    }

    /// What a person does about it: a sentence.
    public var advice: String {
        switch error {
        case .descriptor:
            "Correct the entry and submit again from there."
        case .completion:
            "The device may still use old translations: check its answers, or reset it."
        case .timeout where portID != nil:
            "Its thread may still use old translations: find what it does in the section; drain() waits again."
        case .timeout:
            "Its requests are blocked: retry() its device-TLB, or reset the device and then its device-TLB."
        }
    }

    /// Said in the first line of the result already.
    var isRefusal: Bool {
        if case .descriptor = error { true } else { false }
    }

    private var place: String {
        index.map { "entry \($0)" } ?? "a change of a domain"
    }

    private var culprit: String {
        if let portID { return "port \(portID)" }
        var details: [String] = []
        if let source { details.append("source \(source)") }
        if let pasid { details.append("PASID \(pasid)") }
        if isAmbiguous { details.append("or another device that shares the PASID") }
        let name = device.map { "device \($0)" } ?? (details.isEmpty ? "the unit" : "a device")
        return details.isEmpty ? name : "\(name) (\(details.joined(separator: ", ")))"
    }

    private var what: String {
        switch error {
        case .descriptor(let code): "refused it (\(code))"
        case .completion: "gave a wrong answer"
        case .timeout where portID != nil: "was still inside an access section at the deadline"
        case .timeout: "did not answer in time"
        }
    }
}
