// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A report as a table for people, and as comma-separated values.

import Foundation

extension BenchReport {
    private static let headings = [
        "row", "threads", "ns min", "ns median", "mutex", "tree", "RCU", "L1 load", "DRAM load",
    ]

    private static let legend = """
        ns: nanoseconds of one translation, invalidation, fault, call or check. With 2 threads: the time that one takes in
        each thread (elapsed time x threads / all that both made); "of one thread" is the throughput of both against one;
        additions: the same of additions in registers, which is what the machine gives two threads that share nothing.
        mutex, tree, RCU: the baselines' median / ours; above 1x, this library is faster. A mutex around a hash table flushed
        at 1,024 entries; a reader-writer lock over a B+-tree; liburcu's lock-free hash table (of faults: its queue).
        L1 load, DRAM load: our median / a load that waits for the one before, from the first cache or from memory: how
        many such loads one is worth. All are measured in turn, in one run.
        """

    /// The table, with a legend below.
    public var text: String {
        let lines = [Self.headings] + rows.map(cells)
        var widths = Self.headings.map(\.count)
        for line in lines {
            for (column, cell) in line.enumerated() {
                widths[column] = max(widths[column], cell.count)
            }
        }
        var output = machineText + "\n\n"
        for (index, line) in lines.enumerated() {
            output += zip(line, widths).enumerated().map { column, pair in
                let padding = String(repeating: " ", count: pair.1 - pair.0.count)
                return column == 0 ? pair.0 + padding : padding + pair.0
            }.joined(separator: "  ")
            output += index == 0 ? "\n" : remark(rows[index - 1]) + "\n"
        }
        output += "\n" + Self.legend
        return output + notes.map { "\nNote: \($0)." }.joined()
    }

    private var machineText: String {
        let build = build == "debug" ? " (DEBUG BUILD: these figures mean nothing)" : ""
        return """
            swift-iommu \(engineVersion)\(build) on \(machine.processorName), \(machine.processors) processors
            a load from the first cache: \(Self.number(machine.l1LoadNanoseconds)) ns, from memory: \
            \(Self.number(machine.dramLoadNanoseconds)) ns
            """
    }

    private func cells(_ row: BenchRow) -> [String] {
        let ratios = [row.ratioMutexTable, row.ratioTree, row.ratioRCUTable, row.ratioL1Load, row.ratioDRAMLoad]
        return [
            row.name, "\(row.threads)", Self.number(row.nanosecondsMinimum), Self.number(row.nanosecondsMedian),
        ] + ratios.map { $0.map { Self.number($0) + "x" } ?? "-" }
    }

    private func remark(_ row: BenchRow) -> String {
        if let throughput = row.throughputAgainstOneThread {
            let additions = row.additionsAgainstOneThread.map { "; additions \(Self.number($0))x" } ?? ""
            return "  \(Self.number(throughput))x of one thread\(additions)"
        }
        return row.bytes.map { "  \(($0 + 512) >> 10) KiB" } ?? ""
    }

    /// Three digits that count, two decimals at most.
    private static func number(_ value: Double) -> String {
        let decimals = value < 10 ? 2 : value < 100 ? 1 : 0
        return String(format: "%.\(decimals)f", value)
    }

    /// Every row with every field, fields that do not apply empty.
    public var commaSeparated: String {
        let heading =
            "name,threads,nanosecondsMinimum,nanosecondsMedian,ratioMutexTable,ratioTree,ratioRCUTable,ratioL1Load,"
            + "ratioDRAMLoad,nanosecondsMutexTable,nanosecondsTree,nanosecondsRCUTable,nanosecondsLoop,"
            + "throughputAgainstOneThread,additionsAgainstOneThread,bytes,repetitions,per,title\n"
        return heading + rows.map(commaSeparated).joined()
    }

    private func commaSeparated(_ row: BenchRow) -> String {
        let numbers: [Double?] = [
            row.nanosecondsMinimum, row.nanosecondsMedian, row.ratioMutexTable, row.ratioTree, row.ratioRCUTable,
            row.ratioL1Load, row.ratioDRAMLoad, row.nanosecondsMutexTable, row.nanosecondsTree,
            row.nanosecondsRCUTable, row.nanosecondsLoop, row.throughputAgainstOneThread,
            row.additionsAgainstOneThread,
        ]
        let cells =
            [row.name, "\(row.threads)"] + numbers.map { $0.map { "\($0)" } ?? "" }
            + [row.bytes.map { "\($0)" } ?? "", "\(row.repetitions)", row.per, "\"\(row.title)\""]
        return cells.joined(separator: ",") + "\n"
    }
}
