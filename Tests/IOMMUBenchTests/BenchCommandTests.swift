// SPDX-License-Identifier: LGPL-2.1-or-later

import ArgumentParser
import Testing

@testable import IOMMUTool

@Suite struct BenchCommandTests {
    @Test(arguments: [
        (["--milliseconds", "0"], "--milliseconds is 0; it must be 1 to 60000."),
        (["--milliseconds", "60001"], "--milliseconds is 60001"),
        (["--milliseconds", "soon"], "milliseconds"),
        (["--rows", ""], "--rows is empty"),
        (["--format", "xml"], "format"),
        (["--everything"], "--everything"),
        (["hit64"], "hit64"),
    ])
    func badOptionsAreNamed(arguments: [String], message: String) {
        #expect {
            try BenchCommand.parse(arguments)
        } throws: { error in
            BenchCommand.fullMessage(for: error).contains(message)
        }
    }

    @Test func goodOptionsAreTaken() throws {
        let command = try BenchCommand.parse(["--all", "--rows", "hit*", "--milliseconds", "5", "--format", "json"])
        #expect(command.all && command.rows == "hit*" && command.milliseconds == 5 && command.output.format == .json)
    }
}
