// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A description of a unit's state for people to read.

extension VirtualVTd.StateDescription {
    /// The longest line of fields.
    private static let lineWidth = 110

    /// The description as text.
    ///
    /// - Parameter all: Every register and field, every capability and every fault record that is not empty. Otherwise what is not as
    ///   after power-on, what the unit offers, and the faults that are pending.
    public func text(all: Bool = false) -> String {
        var sections: [[String]] = [
            ["Unit"] + unit.map { Self.row($0.name, $0.value) }
        ]
        if !errors.isEmpty { sections.append(["Errors that stand"] + errors.map { "  " + $0 }) }
        sections.append(["Capabilities"] + capabilityLines(all))
        let shown = registers.filter { all || !$0.isAtReset && !$0.isFaultRecord }
        sections.append(
            [all ? "Registers" : "Registers that are not as after power-on"]
                + (shown.isEmpty ? ["  none"] : shown.flatMap { Self.lines($0, all) }))
        if let invalidationQueue { sections.append(["Invalidation queue"] + Self.lines(invalidationQueue)) }
        sections.append(["Faults"] + faultLines(all))
        if let pageRequestQueue { sections.append(["Page-request queue"] + Self.lines(pageRequestQueue)) }
        if !pageGroups.isEmpty { sections.append(["Page requests without an answer"] + pageGroups.map(Self.line)) }
        sections.append(["Events"] + events.map { Self.row($0.name, Self.words($0)) })
        return sections.map { $0.joined(separator: "\n") }.joined(separator: "\n\n")
    }

    /// What is offered, in few lines; or everything.
    private func capabilityLines(_ all: Bool) -> [String] {
        guard !all else { return capabilities.map { Self.row($0.name, $0.value) } }
        return ["CAP", "ECAP"].flatMap { register in
            let words = capabilities.compactMap { property -> String? in
                guard property.name.hasPrefix(register + "."), property.value != "no", property.value != "0" else {
                    return nil
                }
                let name = String(property.name.dropFirst(register.count + 1))
                return property.value == "yes" ? name : "\(name)=\(property.value)"
            }
            return Self.wrapped("  " + Self.pad(register, 6), words)
        }
    }

    private static func lines(_ register: RegisterState, _ all: Bool) -> [String] {
        let fields = register.fields.filter { all || !$0.isAtReset }.map { "\($0.name)=\($0.value)" }
        return wrapped("  " + pad(register.offset, 6) + pad(register.name, 9) + pad(register.value, 19), fields)
    }

    /// Words after a start, with as many lines as they need.
    private static func wrapped(_ start: String, _ words: [String]) -> [String] {
        var lines: [String] = []
        var line = start
        var isEmpty = true
        for word in words {
            if !isEmpty, line.count + 1 + word.count > lineWidth {
                lines.append(line)
                line = String(repeating: " ", count: start.count)
                isEmpty = true
            }
            line += (isEmpty ? "" : " ") + word
            isEmpty = false
        }
        return lines + [trimmed(line)]
    }

    private static func lines(_ queue: Queue) -> [String] {
        var lines = [
            row("state", queue.state),
            row(
                "place", "\(queue.address), \(queue.size) bytes, \(queue.capacity) entries of \(queue.entrySize) bytes"),
            row("head, tail", "\(queue.head), \(queue.tail)" + (queue.waiting.map { ": \($0) waiting" } ?? "")),
        ]
        lines += queue.problems.map { row("problem", $0) }
        if !queue.consumed.isEmpty {
            lines.append("  Before the head, as memory has them now")
            lines += queue.consumed.flatMap(Self.lines)
        }
        if !queue.entries.isEmpty {
            lines.append("  Waiting")
            lines += queue.entries.flatMap(Self.lines)
        }
        let hidden = (queue.waiting ?? 0) - UInt64(queue.entries.count)
        if hidden > 0, !queue.entries.isEmpty { lines.append("    ... and \(hidden) more") }
        return lines
    }

    private static func lines(_ entry: Entry) -> [String] {
        let fields = entry.fields.map { $0.value.isEmpty ? $0.name : "\($0.name) \($0.value)" }
        let words = ([entry.kind] + (fields.isEmpty ? [] : [fields.joined(separator: ", ")])).joined(separator: ": ")
        let start = "    " + pad("\(entry.index)", 6)
        guard let problem = entry.problem else { return [start + words] }
        let raw = entry.words.map { [String(repeating: " ", count: 10) + $0.reversed().joined(separator: " ")] } ?? []
        return [start + words] + raw + [String(repeating: " ", count: 10) + problem]
    }

    private func faultLines(_ all: Bool) -> [String] {
        let first = faults.first.map { ", the first pending one is \($0)" } ?? ", none is pending"
        let shown = faults.records.filter { all || $0.isPending }
        return [Self.row("records", "\(faults.capacity), the next fault goes to \(faults.next)\(first)")]
            + shown.map { fault in
                let pasid = fault.pasid.map { " PASID \($0)" } ?? ""
                let what = "\(fault.source)\(pasid), \(fault.request), \(fault.place): \(fault.code) \(fault.meaning)"
                return "    " + Self.pad("\(fault.index)", 6) + what + (fault.isPending ? "" : " (cleared)")
            }
    }

    private static func line(_ group: Group) -> String {
        let pasid = group.pasid.map { " PASID \($0)" } ?? ""
        let answer = group.answer.map { "; the guest answered \($0), its device has yet to ask" } ?? ""
        return "    \(group.source)\(pasid), group \(group.index): \(group.pages.joined(separator: ", "))\(answer)"
    }

    private static func words(_ event: EventState) -> String {
        let state = (event.isMasked ? "masked" : "open") + (event.isPending ? ", pending" : "")
        return "\(state); \(event.message)"
    }

    private static func row(_ name: String, _ value: String) -> String {
        trimmed("  " + pad(name, 24) + value)
    }

    private static func trimmed(_ text: String) -> String {
        var text = text
        while text.last == " " { text.removeLast() }
        return text
    }

    private static func pad(_ text: String, _ width: Int) -> String {
        text + String(repeating: " ", count: max(1, width - text.count))
    }
}
