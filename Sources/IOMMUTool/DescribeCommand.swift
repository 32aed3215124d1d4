// SPDX-License-Identifier: LGPL-2.1-or-later
//
// iommu describe: what a recording's final image holds, or what a unit offers.

import ArgumentParser
import Foundation
import IOMMU
import IOMMUCapture
import IOMMUReplay

/// Describes a recording or a unit.
struct DescribeCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "describe",
        abstract: "Show what a recording holds, or what a unit offers.",
        discussion: """
            With a recording: the unit's capabilities by name, every present entry of the device and PASID tables, and each address \
            space with its mappings merged into ranges. Devices that share an address space are shown together.

            Without: a unit with everything that the engine implements, or the one in a file: its model, its properties and its \
            capabilities by name. --format json prints what --unit reads. In such a file, unknown properties are skipped and absent \
            ones take their default.
            """)

    @Argument(help: ArgumentHelp("Folder of the recording.", valueName: "capture"))
    var capture: String?

    @Option(help: ArgumentHelp("A description of a unit, in JSON.", valueName: "file"))
    var unit: String?

    @OptionGroup var output: FormatOption

    func validate() throws {
        guard capture == nil || unit == nil else {
            throw ValidationError("A recording and --unit exclude each other.")
        }
    }

    func run() throws {
        if let capture {
            let description = try orBadInput { try CaptureDescription(try Capture(folder: capture, parts: [])) }
            try output.format.print(description, text: description.text)
        } else {
            let description = try unit.map { file in try orBadInput(file) { try Self.read(file) } }
            let described = description ?? UnitDescription(.full)
            try output.format.print(described, text: described.text)
        }
    }

    private static func read(_ file: String) throws -> UnitDescription {
        try JSONDecoder().decode(UnitDescription.self, from: try Data(contentsOf: URL(fileURLWithPath: file)))
    }

    /// Runs `body`; what it throws is the fault of what it read.
    private func orBadInput<Result>(_ file: String? = nil, _ body: () throws -> Result) throws -> Result {
        do {
            return try body()
        } catch {
            complain((file.map { $0 + ": " } ?? "") + Self.sentence(error))
            throw ExitCode.badInput
        }
    }

    /// What is wrong, without the names of types.
    static func sentence(_ error: any Error) -> String {
        switch error {
        case DecodingError.dataCorrupted(let context), DecodingError.keyNotFound(_, let context),
            DecodingError.typeMismatch(_, let context), DecodingError.valueNotFound(_, let context):
            let path = context.codingPath.map(\.stringValue).joined(separator: ".")
            return (path.isEmpty ? "" : path + ": ") + context.debugDescription
        case let error as CocoaError:
            return error.localizedDescription
        default:
            return "\(error)"
        }
    }
}
