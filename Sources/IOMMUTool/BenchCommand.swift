// SPDX-License-Identifier: LGPL-2.1-or-later
//
// iommu bench: how fast the library is on this machine.

import ArgumentParser
import Foundation
import IOMMUBench

/// Measures the library on this machine.
struct BenchCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench",
        abstract: "Measure this library on this machine, beside other designs and bare loads.",
        discussion: """
            Measures translations, walks, invalidations and faults; each in turn with the same work done by a mutex around a hash \
            table, a reader-writer lock over a B+-tree and liburcu's hash table, and with loads that wait for each other. Every \
            answer is checked; a wrong one ends the run. Ends within a minute on two processors.

            The ratios to the other designs are theirs / ours (above 1: the library is faster), those to loads are ours / load. Leave \
            the machine alone meanwhile: what else runs shows in the medians.

            With --format json, standard output is one object: machine, engineVersion, rows.
            """)

    @Option(help: "Milliseconds for each row (1 to 60000).")
    var milliseconds = 1500

    @Option(
        help: ArgumentHelp(
            "Only rows whose name contains this, or, with * ? or [...], is like it; of those of --all if no other is.",
            valueName: "pattern"))
    var rows: String?

    @Flag(help: "Rows about everything: stages, page sizes, working sets, domains of the host, set-up, memory.")
    var all = false

    @Option(help: ArgumentHelp("Write the rows to this file too, as comma-separated values.", valueName: "file"))
    var csv: String?

    @OptionGroup var output: FormatOption

    func validate() throws {
        guard (1...60_000).contains(milliseconds) else {
            throw ValidationError("--milliseconds is \(milliseconds); it must be 1 to 60000.")
        }
        guard rows != "" else {
            throw ValidationError("--rows is empty; name a row or a part of it.")
        }
    }

    func run() throws {
        var options = BenchSuite.Options()
        options.millisecondsPerRow = milliseconds
        options.includesAll = all
        options.pattern = rows
        let suite: BenchSuite
        do {
            suite = try BenchSuite(options)
        } catch {
            complain("--rows: \(error)")
            throw ExitCode.badInput
        }
        if let csv {
            try write("", to: csv)  // a file that cannot be written is told of before the wait, not after it
        }
        if BenchReport.isDebugBuild {
            complain(
                "warning: this is a debug build, whose figures mean nothing; use: swift run -c release iommu bench")
        }
        let bar = ProgressBar(passes: 1)
        let report = suite.run { bar.show(label: $0, $1) }
        bar.finish()
        for note in report.notes {
            complain("note: \(note)")
        }
        try output.format.print(report, text: report.text)
        if let csv {
            try write(report.commaSeparated, to: csv)
        }
    }

    private func write(_ text: String, to file: String) throws {
        do {
            try Data(text.utf8).write(to: URL(fileURLWithPath: file))
        } catch {
            complain("--csv: \(file) cannot be written: \(error.localizedDescription)")
            throw ExitCode.badInput
        }
    }
}
