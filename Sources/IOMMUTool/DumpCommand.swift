// SPDX-License-Identifier: LGPL-2.1-or-later
//
// iommu dump: the state of a virtual unit in words, from a recording or from a snapshot.

import ArgumentParser
import Foundation
import IOMMU
import IOMMUCapture
import IOMMUReplay
import VirtualVTd

/// Describes the state of a unit.
struct DumpCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "dump",
        abstract: "Show the state of a virtual unit: registers, queues, faults, in words.",
        discussion: """
            With a recording: its register writes drive a virtual unit up to some event, and its state there is shown, with what lies in \
            queues as far as the recording has told it. With a snapshot: the state in a file, the JSON of VirtualVTd.Snapshot, and what \
            lies in queues as far as images of the guest's memory are given.

            Shown are the registers that are not as after power-on, the descriptors and page requests from head to tail, the faults that \
            are pending, and what was not cleared. A descriptor that the unit would refuse is named with the rule that it breaks. \
            --format json has every register.

            Examples: iommu dump CAPTURE --at 5000 --consumed 8
                      iommu dump --snapshot unit.json --memory queue.bin@1401f5000
            """)

    @Argument(
        help: ArgumentHelp(
            "Folder of the recording. Without it and --snapshot, one that comes with the tool.", valueName: "capture"))
    var capture: String?

    @Option(help: ArgumentHelp("Stop the recording after this many events. (default: all)", valueName: "event"))
    var at: Int?

    @Option(help: ArgumentHelp("Stop the recording after this line of its stream.", valueName: "line"))
    var line: Int?

    @Option(help: ArgumentHelp("Write the state of the recorded unit to this file too, as JSON.", valueName: "file"))
    var saveSnapshot: String?

    @Option(help: ArgumentHelp("A snapshot of a unit, in JSON.", valueName: "file"))
    var snapshot: String?

    @Option(
        help: ArgumentHelp(
            "With --snapshot: a file with a part of the guest's memory and the hexadecimal address of its first byte. Repeat it for more.",
            valueName: "file@address"))
    var memory: [MemoryImageArgument] = []

    @Option(help: "Show at most this many entries from head to tail of each queue.")
    var entries = VirtualVTd.StateDescription.Options().entries

    @Option(help: "Show this many entries before the head of each queue, which were consumed last.")
    var consumed = 0

    @Flag(help: "Show every register, field and capability, and faults that were cleared.")
    var all = false

    @OptionGroup var output: FormatOption

    func validate() throws {
        if snapshot != nil {
            guard capture == nil else { throw ValidationError("A recording and --snapshot exclude each other.") }
            guard at == nil, line == nil, saveSnapshot == nil else {
                throw ValidationError("--at, --line and --save-snapshot are for recordings, not for --snapshot.")
            }
        } else {
            guard memory.isEmpty else { throw ValidationError("--memory needs --snapshot.") }
            guard at == nil || line == nil else { throw ValidationError("--at and --line exclude each other.") }
        }
        for (name, value) in [("--at", at), ("--line", line), ("--entries", entries), ("--consumed", consumed)] {
            if let value, value < 0 { throw ValidationError("\(name) is \(value); it must not be negative.") }
        }
    }

    func run() throws {
        let report: DumpReport
        do {
            report = try makeReport()
        } catch {
            complain(error.description)
            throw ExitCode.badInput
        }
        try output.format.print(report, text: report.text(all: all))
    }

    /// Everything but the printing.
    func makeReport() throws(DumpFailure) -> DumpReport {
        var options = VirtualVTd.StateDescription.Options()
        options.entries = entries
        options.consumed = consumed
        if let snapshot { return try describe(snapshot, options) }
        guard let folder = capture ?? BundledCapture.folder else {
            throw DumpFailure("the recording that comes with the tool is not beside it; name one: iommu dump CAPTURE")
        }
        return try replay(folder, options)
    }

    private func replay(
        _ folder: String, _ options: VirtualVTd.StateDescription.Options
    ) throws(DumpFailure) -> DumpReport {
        let bar = ProgressBar(passes: 1)
        defer { bar.finish() }
        do {
            let place = at.map(RecordedUnit.Place.event) ?? line.map(RecordedUnit.Place.line) ?? .end
            let unit = try RecordedUnit(Capture(folder: folder, parts: .events), at: place) {
                bar.show(label: "replaying", $0)
            }
            let report = DumpReport(unit, try unit.description(options))
            if let saveSnapshot { try Self.save(unit.snapshot, saveSnapshot) }
            return report
        } catch let failure as DumpFailure {
            throw failure
        } catch {
            throw DumpFailure("\(error)")
        }
    }

    private func describe(
        _ file: String, _ options: VirtualVTd.StateDescription.Options
    ) throws(DumpFailure) -> DumpReport {
        let images: MemoryImages
        let data: Data
        do {
            images = try MemoryImages(memory)
            data = try InputFileError.contents(of: file)
        } catch {
            throw DumpFailure(error.description)
        }
        do {
            let snapshot = try JSONDecoder().decode(VirtualVTd.Snapshot.self, from: data)
            let reader: ((UInt64) -> UInt64?)? = memory.isEmpty ? nil : { images.word(at: $0) }
            let state = try VirtualVTd.StateDescription(snapshot, options: options, memory: reader)
            return DumpReport(file: file, state)
        } catch let error as IOMMUError {
            throw DumpFailure("\(file): \(error.detail ?? "\(error)")")
        } catch {
            throw DumpFailure("\(file): \(Self.sentence(error, data))")
        }
    }

    /// What is wrong with JSON. The decoder says only "not valid" where nothing stands, and where a number is too large.
    private static func sentence(_ error: any Error, _ data: Data) -> String {
        guard case DecodingError.dataCorrupted(let context) = error, context.codingPath.isEmpty else {
            return DescribeCommand.sentence(error)
        }
        do {
            _ = try JSONSerialization.jsonObject(with: data)
            return "a number does not fit what it stands for"
        } catch {
            let reason = (error as NSError).userInfo["NSDebugDescription"] as? String
            return "is not JSON" + (reason.map { ": " + $0 } ?? "")
        }
    }

    private static func save(_ snapshot: VirtualVTd.Snapshot, _ file: String) throws(DumpFailure) {
        do {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.sortedKeys]
            try encoder.encode(snapshot).write(to: URL(fileURLWithPath: file))
        } catch {
            throw DumpFailure("--save-snapshot: \(file) cannot be written: \(error.localizedDescription)")
        }
    }
}

/// Why there is nothing to show: one line.
struct DumpFailure: Error, CustomStringConvertible {
    let description: String

    init(_ description: String) {
        self.description = description
    }
}

/// A state, and where it comes from.
struct DumpReport: Encodable {
    /// The recording, or the snapshot's file.
    let source: String
    /// Events that have happened; nil of a snapshot.
    let event: Int?
    /// All events of the recording.
    let events: Int?
    /// The line of the last event.
    let line: Int?
    /// Unexplained differences from the recorded unit.
    let deviations: Int?
    let state: VirtualVTd.StateDescription

    private let place: String

    private enum CodingKeys: String, CodingKey {
        case source, event, events, line, deviations, state
    }

    init(_ unit: RecordedUnit, _ state: VirtualVTd.StateDescription) {
        source = unit.capture
        event = unit.event
        events = unit.events
        line = unit.line
        deviations = unit.deviations
        self.state = state
        let line = unit.line.map { " (\(unit.file):\($0))" } ?? ""
        place = ", after \(unit.event) of \(unit.events) events\(line)"
    }

    init(file: String, _ state: VirtualVTd.StateDescription) {
        source = file
        (event, events, line, deviations) = (nil, nil, nil, nil)
        self.state = state
        place = ""
    }

    func text(all: Bool) -> String {
        var title = source + place
        if let deviations, deviations > 0 {
            title += "\nNot as the recorded unit in \(deviations) places; iommu replay --through registers shows them."
        }
        return title + "\n\n" + state.text(all: all)
    }
}
