// SPDX-License-Identifier: LGPL-2.1-or-later
//
// iommu walk: the whole way of one request, for bug reports.

import ArgumentParser
import IOMMU
import IOMMUCapture
import IOMMUReplay

/// What a walked request wants.
enum WalkAccess: String, ExpressibleByArgument, CaseIterable {
    case read = "r"
    case write = "w"
    case execute = "x"

    var rights: AccessRights {
        switch self {
        case .read: .read
        case .write: .write
        case .execute: .execute
        }
    }
}

/// Walks one request.
struct WalkCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "walk",
        abstract: "Show the whole way of one request through the tables of a recording.",
        discussion: """
            Shows every table entry that the request reads, with its fields by name, and where it ended: the translation, or the fault \
            with its code. The tables are those of the final image; nothing is changed in them.

            Example: iommu walk CAPTURE --source 00:07.0 --write 0x80000000
            """)

    @Argument(help: ArgumentHelp("Folder of the recording.", valueName: "capture"))
    var capture: String

    @Option(
        help: "The device: bus:device.function such as 00:07.0, or its hexadecimal number such as 0038.",
        transform: { text in
            guard let source = SourceID(text), source.rawValue <= 0xffff else {
                throw ValidationError("'\(text)' is not a device such as 00:07.0 or 0038.")
            }
            return source
        })
    var source: SourceID

    @Option(
        help: "PASID of the request, decimal or with 0x. Without it the request has none.",
        transform: { text in
            guard let number = Self.number(text), let pasid = UInt32(exactly: number).flatMap({ PASID($0) }) else {
                throw ValidationError("'\(text)' is not a PASID of 20 bits.")
            }
            return pasid
        })
    var pasid: PASID?

    @Flag(help: "Ask for writing; the same as --access w.")
    var write = false

    @Option(help: "What the request wants. (default: r)")
    var access: WalkAccess?

    @Argument(
        help: ArgumentHelp("The input address, hexadecimal, with or without 0x.", valueName: "iova"),
        transform: { text in
            guard let number = Self.number(text.hasPrefix("0x") ? text : "0x" + text) else {
                throw ValidationError("'\(text)' is not a hexadecimal address such as 0xfffc0000.")
            }
            return IOVA(number)
        })
    var iova: IOVA

    @OptionGroup var output: FormatOption

    func validate() throws {
        if write, let access, access != .write {
            throw ValidationError("--write and --access \(access.rawValue) exclude each other.")
        }
    }

    func run() throws {
        let report: WalkReport
        do {
            report = try Self.walk(capture, source, pasid, iova, write ? .write : (access ?? .read).rights)
        } catch {
            complain("\(error)")
            throw ExitCode.badInput
        }
        try output.format.print(report, text: report.text)
    }

    private static func walk(
        _ folder: String, _ source: SourceID, _ pasid: PASID?, _ iova: IOVA, _ access: AccessRights
    ) throws -> WalkReport {
        let image = try ImageUnit(try Capture(folder: folder, parts: []))
        return try WalkReport(image, source: source, pasid: pasid, iova: iova, access: access)
    }

    /// A number of 64 bits, decimal or hexadecimal with `0x`.
    private static func number(_ text: String) -> UInt64? {
        guard text.allSatisfy({ $0.isASCII && ($0.isHexDigit || $0 == "x") }) else { return nil }
        return text.hasPrefix("0x") ? UInt64(text.dropFirst(2), radix: 16) : UInt64(text)
    }
}
