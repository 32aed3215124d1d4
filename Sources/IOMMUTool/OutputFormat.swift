// SPDX-License-Identifier: LGPL-2.1-or-later
//
// OutputFormat - text for people, JSON for programs; and the places they go to.

import ArgumentParser
import Foundation

/// How a command prints its result.
enum OutputFormat: String, ExpressibleByArgument, CaseIterable {
    case text
    case json

    /// Prints a result on standard output.
    func print(_ value: some Encodable, text: String) throws {
        switch self {
        case .text:
            Swift.print(text)
        case .json:
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
            Swift.print(String(decoding: try encoder.encode(value), as: UTF8.self))
        }
    }
}

/// The option of every command.
struct FormatOption: ParsableArguments {
    @Option(help: "How to print the result.")
    var format = OutputFormat.text
}

/// Prints one line on standard error, as `iommu: line`.
func complain(_ message: String) {
    FileHandle.standardError.write(Data("iommu: \(message)\n".utf8))
}
