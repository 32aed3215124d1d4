// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A report for people to read.

extension ReplayReport {
    /// The report as text, unexplained differences last.
    public var text: String {
        var lines = [capture]
        lines.append(Self.row("translations", translations, agreed, Self.sum(explained), unexplained))
        lines += Self.kinds(explained)
        lines.append(Self.row("mappings", mappings.rows, mappings.agreed, 0, mappings.rows - mappings.agreed))
        lines.append(Self.row("probes", probes.rows, probes.agreed, Self.sum(probes.explained), probes.unexplained))
        lines += Self.kinds(probes.explained)
        let batched = batches.map { " in \(Self.number($0)) batches" } ?? ""
        lines.append("  invalidations  \(Self.number(invalidations))\(batched)")
        if let registers { lines += Self.rows(registers) }
        lines.append(
            "  IOTLB          \(Self.number(Int(clamping: iotlb.lookups))) lookups: "
                + "\(Self.number(Int(clamping: iotlb.firstLevelHits))) first-level hits, "
                + "\(Self.number(Int(clamping: iotlb.hits))) hits, \(Self.number(Int(clamping: iotlb.walks))) walks")
        let times =
            "load \(Self.seconds(seconds.load)) s, replay \(Self.seconds(seconds.replay)) s, "
            + "probes \(Self.seconds(seconds.probes)) s"
        lines.append("  time           \(times), \(threads) thread\(threads == 1 ? "" : "s")")
        lines.append(
            "                 \(Int(nanosecondsPerTranslation.rounded())) ns a translation, "
                + "with the invalidations and memory changes between")
        lines.append(isAgreement ? "Everything agreed." : "NOT everything agreed.")
        lines += deviations.map { "\n\($0)" }
        let hidden = unexplained + probes.unexplained + mappings.rows - mappings.agreed - deviations.count
        if hidden > 0 {
            lines.append("\n... and \(hidden) more")
        }
        return lines.joined(separator: "\n")
    }

    private static func rows(_ registers: RegisterCounts) -> [String] {
        let read = "\(number(registers.reads)) read, \(number(sum(registers.explained))) explained"
        return ["  registers      \(read)"] + kinds(registers.explained) + [
            "  the unit       \(number(registers.statusWrites)) status writes, \(number(registers.signals)) interrupts",
            "  messages       \(number(registers.interrupts)) remapped",
        ]
    }

    private static func row(
        _ name: String, _ rows: Int, _ agreed: Int, _ explained: Int, _ unexplained: Int
    ) -> String {
        let label = name + String(repeating: " ", count: max(1, 15 - name.count))
        return "  \(label)\(number(rows)): \(number(agreed)) agreed, \(number(explained)) explained, "
            + "\(number(unexplained)) unexplained"
    }

    private static func kinds(_ counts: [String: Int]) -> [String] {
        counts.sorted { $0.key < $1.key }.map { "    \($0.key) \(number($0.value))" }
    }

    private static func sum(_ counts: [String: Int]) -> Int {
        counts.values.reduce(0, +)
    }

    /// Three digits after the point.
    private static func seconds(_ value: Double) -> String {
        let milliseconds = Int((value * 1000).rounded())
        let rest = String(milliseconds % 1000)
        return "\(milliseconds / 1000)." + String(repeating: "0", count: 3 - rest.count) + rest
    }

    /// With a comma every three digits.
    private static func number(_ value: Int) -> String {
        var digits = String(value.magnitude)
        var groups: [String] = []
        while digits.count > 3 {
            groups.insert(String(digits.suffix(3)), at: 0)
            digits.removeLast(3)
        }
        return (value < 0 ? "-" : "") + ([digits] + groups).joined(separator: ",")
    }
}
