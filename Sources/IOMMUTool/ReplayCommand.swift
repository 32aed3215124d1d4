// SPDX-License-Identifier: LGPL-2.1-or-later
//
// iommu replay: a recording against the engine.

import ArgumentParser
import IOMMU
import IOMMUReplay

/// What drives the unit of a replay.
enum ReplayPath: String, CaseIterable, ExpressibleByArgument {
    case engine, registers
}

/// Replays a recording.
struct ReplayCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "replay",
        abstract: "Replay a recording against the engine and compare every answer.",
        discussion: """
            Feeds the event stream (memory as the recorded unit saw it, root table and enable, invalidations, translations) to one \
            unit with all caches on and compares every answer: fault, address, page size, rights. Then checks the final image: every \
            mapping and every probe.

            Known departures of the recorder are counted by kind as explained. Everything else is unexplained, and is shown with \
            its line in the recording and a walk of the tables. With --format json that goes to standard error.

            A cache bug disappears with --no-cache and may change with --iotlb-entries; a walk bug does neither.
            """)

    @Argument(
        help: ArgumentHelp("Folder of the recording. Without it, one that comes with the tool.", valueName: "capture"))
    var capture: String?

    @Option(help: "Threads that share the translations between two state changes, each with its own port (1 to 256).")
    var threads = 1

    @Option(name: .customLong("repeat"), help: "Replay the stream this often, each time with a fresh unit.")
    var repeats = 1

    @Flag(help: "Apply the invalidations between two moves of the queue's tail as one batch, not one by one.")
    var batched = false

    @Option(
        help: """
            What drives the unit: the recorded descriptors (engine), or the guest's register writes, with every register read, status \
            write and interrupt compared too (registers).
            """)
    var through = ReplayPath.engine

    @Flag(help: "Switch every cache off: each request walks the tables.")
    var noCache = false

    @Option(help: "Entries of the shared IOTLB: 0, or a power of two from 4 to 67108864 (default: 65536).")
    var iotlbEntries: Int?

    @OptionGroup var output: FormatOption

    func validate() throws {
        guard (1...ReplayOptions.greatestThreadCount).contains(threads) else {
            throw ValidationError("--threads is \(threads); it must be 1 to \(ReplayOptions.greatestThreadCount).")
        }
        guard (1...1_000_000).contains(repeats) else {
            throw ValidationError("--repeat is \(repeats); it must be 1 to 1000000.")
        }
        guard let iotlbEntries else { return }
        guard iotlbEntries == 0 || (4...1 << 26).contains(iotlbEntries) && iotlbEntries & (iotlbEntries - 1) == 0 else {
            throw ValidationError(
                "--iotlb-entries is \(iotlbEntries); it must be 0 or a power of two from 4 to 67108864.")
        }
        guard !noCache else {
            throw ValidationError("--no-cache and --iotlb-entries exclude each other.")
        }
    }

    func run() throws {
        guard let folder = capture ?? BundledCapture.folder else {
            complain("the recording that comes with the tool is not beside it; name one: iommu replay CAPTURE")
            throw ExitCode.badInput
        }
        let bar = ProgressBar(passes: repeats)
        let report: ReplayReport
        do {
            report = try Replay(options) { bar.show($0, $1) }.run(folder: folder)
            bar.finish()
        } catch {
            bar.finish()
            complain("\(error)")
            throw ExitCode.badInput
        }
        try output.format.print(report, text: report.text)
        if output.format == .json {
            for deviation in report.deviations {
                complain("\(deviation)")
            }
        }
        throw ExitCode(report.exitCode)
    }

    private var options: ReplayOptions {
        var options = ReplayOptions()
        options.threads = threads
        options.repeats = repeats
        options.isBatched = batched
        options.isThroughRegisters = through == .registers
        if noCache {
            options.configuration = .noCache
        }
        if let iotlbEntries {
            options.configuration.iotlbEntries = iotlbEntries
        }
        return options
    }
}
