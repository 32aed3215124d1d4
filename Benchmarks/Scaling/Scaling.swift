// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The program: options, the run, and where its results go.

import ArgumentParser
import Foundation

/// `Scaling`: what threads get from the engine and from other designs, alone and disturbed.
@main
struct Scaling: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "Scaling",
        abstract: "Measures how translation scales with threads, and what invalidations cost.",
        discussion: """
            Threads are tied to processors and translate random addresses through swift-iommu and through three other \
            designs over the same tables. Everything alternates in short slices, several times over; minimum and median \
            are printed. A wrong answer ends the program.
            """)

    @Option(
        help:
            "Numbers of reader threads, such as 1,2,4; at most 64. (default: 1 to the number of processors; beyond 8 by doubling)"
    )
    var threads: String?

    @Option(
        help:
            "What to measure: any of \(ExperimentName.allCases.map(\.rawValue).joined(separator: ",")). (default: all)")
    var experiments: String?

    @Option(help: "How long to measure in all, in seconds. (default: 130, with --quick 15)")
    var seconds: Double?

    @Option(help: "How often everything is repeated. (default: 15, with --quick 3)")
    var repetitions: Int?

    @Option(help: "Decides the random addresses. (default: another one each time; printed)")
    var seed: UInt64?

    @Flag(help: "A run of about 20 seconds, for a first look.")
    var quick = false

    @Option(help: ArgumentHelp("Write one file of comma-separated values for each table.", valueName: "folder"))
    var csv: String?

    @Option(help: ArgumentHelp("Write the report: one page with plots.", valueName: "file"))
    var html: String?

    @Option(help: ArgumentHelp("Show what 'iommu bench --format json' printed on the page.", valueName: "file"))
    var rows: String?

    func validate() throws {
        _ = try Options(self)
        if rows != nil && html == nil {
            throw ValidationError("--rows needs --html: it is for the page.")
        }
    }

    func run() throws {
        let options = try Options(self)
        let bench = try rows.map { try BenchRows(file: URL(fileURLWithPath: $0)) }
        try prepareFiles()
        let machine = Machine()
        let run = ScalingRun(options: options, machine: machine)
        let results = run.measure()
        for table in results.flatMap(\.tables) {
            print(table.text + "\n")
        }
        for finding in results.flatMap(\.findings) {
            print("- " + finding)
        }
        for warning in run.warnings {
            print("- Take care: " + warning)
        }
        if let csv {
            try CSVWriter(folder: URL(fileURLWithPath: csv)).write(
                results.flatMap(\.tables) + (bench.map { [$0.table] } ?? []))
        }
        if let html {
            let page = ReportPage(head: run.head(results), figures: results.flatMap(\.figures), rows: bench)
            try page.markup.write(to: URL(fileURLWithPath: html), atomically: true, encoding: .utf8)
        }
    }

    /// Finds out before the run, not after it, whether results can be written.
    private func prepareFiles() throws {
        let folders = [csv, html.map { URL(fileURLWithPath: $0).deletingLastPathComponent().path }].compactMap { $0 }
        for folder in folders {
            do {
                try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
            } catch {
                throw ValidationError("cannot make the folder \(folder): \(error.localizedDescription)")
            }
            guard FileManager.default.isWritableFile(atPath: folder) else {
                throw ValidationError("cannot write into \(folder).")
            }
        }
        var isFolder: ObjCBool = false
        if let html, FileManager.default.fileExists(atPath: html, isDirectory: &isFolder), isFolder.boolValue {
            throw ValidationError("--html takes the name of a file; \(html) is a folder.")
        }
    }
}
