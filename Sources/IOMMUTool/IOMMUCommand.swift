// SPDX-License-Identifier: LGPL-2.1-or-later
//
// iommu - the command-line tool: replays recordings of guests, walks their tables, describes them;
// and measures the engine.

import ArgumentParser
import Foundation
import IOMMUReplay

/// The tool and its commands.
@main
struct IOMMUCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "iommu",
        abstract: "Replays and inspects recordings of unmodified guests that drive a VT-d IOMMU; measures the engine.",
        discussion: """
            A recording (CAPTURE) is a folder; its README explains its files.

            Exit code: 0 if everything agreed, 1 if something did not, 2 for bad input.
            """,
        subcommands: [
            ReplayCommand.self, WalkCommand.self, DescribeCommand.self, DumpCommand.self, BenchCommand.self,
        ])

    /// Runs a command. ArgumentParser would exit with 64 for a wrong argument; here that is bad input like any other.
    static func main() {
        do {
            var command = try parseAsRoot()
            try command.run()
        } catch {
            guard exitCode(for: error) != .success, !(error is ExitCode) else { exit(withError: error) }
            FileHandle.standardError.write(Data((fullMessage(for: error) + "\n").utf8))
            exit(withError: ExitCode.badInput)
        }
    }
}

extension ExitCode {
    /// The recording or an argument is wrong.
    static let badInput = ExitCode(ReplayError.exitCode)
}
