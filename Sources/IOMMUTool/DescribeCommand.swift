// SPDX-License-Identifier: LGPL-2.1-or-later
//
// iommu describe: what a recording's final image holds.

import ArgumentParser
import IOMMUCapture
import IOMMUReplay

/// Describes a recording.
struct DescribeCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "describe",
        abstract: "Show capabilities, device tables and address spaces of a recording.",
        discussion: """
            The unit's capabilities by name, every present entry of the device and PASID tables, and each address space with its \
            mappings merged into ranges. Devices that share an address space are shown together.
            """)

    @Argument(help: ArgumentHelp("Folder of the recording.", valueName: "capture"))
    var capture: String

    @OptionGroup var output: FormatOption

    func run() throws {
        let description: CaptureDescription
        do {
            description = try CaptureDescription(try Capture(folder: capture, parts: []))
        } catch {
            complain("\(error)")
            throw ExitCode.badInput
        }
        try output.format.print(description, text: description.text)
    }
}
