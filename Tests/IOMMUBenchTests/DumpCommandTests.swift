// SPDX-License-Identifier: LGPL-2.1-or-later
//
// iommu dump: its options, and the way of a state from a recording through a file.

import ArgumentParser
import Foundation
import IOMMUReplay
import Testing
import VirtualVTd

@testable import IOMMUTool

@Suite struct DumpCommandTests {
    @Test(arguments: [
        (["CAPTURE", "--snapshot", "a.json"], "exclude each other"),
        (["--snapshot", "a.json", "--at", "3"], "are for recordings"),
        (["--snapshot", "a.json", "--save-snapshot", "b.json"], "are for recordings"),
        (["CAPTURE", "--memory", "a.bin@1000"], "--memory needs --snapshot."),
        (["CAPTURE", "--at", "3", "--line", "4"], "--at and --line exclude each other."),
        (["CAPTURE", "--at=-1"], "--at is -1; it must not be negative."),
        (["CAPTURE", "--consumed=-1"], "--consumed is -1"),
        (["--snapshot", "a.json", "--memory", "a.bin"], "memory"),
        (["--snapshot", "a.json", "--memory", "a.bin@-1"], "memory"),
        (["--snapshot", "a.json", "--memory", "@1000"], "memory"),
    ])
    func badOptionsAreNamed(arguments: [String], message: String) {
        #expect {
            try DumpCommand.parse(arguments)
        } throws: { error in
            DumpCommand.fullMessage(for: error).contains(message)
        }
    }

    @Test func goodOptionsAreTaken() throws {
        let command = try DumpCommand.parse([
            "--snapshot", "a.json", "--memory", "a@b.bin@0x1000", "--memory", "c.bin@F000", "--consumed", "3", "--all",
        ])
        #expect(command.memory.map(\.file) == ["a@b.bin", "c.bin"])
        #expect(command.memory.map(\.address) == [0x1000, 0xf000])
        #expect(command.consumed == 3 && command.entries == 64 && command.all)
    }

    /// A folder of its own, removed after `body`.
    private func withFolder<Value>(_ body: (String) throws -> Value) throws -> Value {
        let folder = FileManager.default.temporaryDirectory.appending(path: "dump-" + UUID().uuidString)
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        return try body(folder.path)
    }

    @Test func aStateSurvivesItsFile() throws {
        try withFolder { folder in
            let file = folder + "/unit.json"
            let recorded = try DumpCommand.parse([
                Self.capture, "--at", "5000", "--consumed", "4", "--save-snapshot", file,
            ]).makeReport()
            #expect(recorded.event == 5000 && recorded.deviations == 0)
            #expect(recorded.text(all: false).hasPrefix("C1-scalable-fs-strict, after 5000 of "))
            let queue = try #require(recorded.state.invalidationQueue)
            #expect(queue.consumed.count == 4)

            let blind = try DumpCommand.parse(["--snapshot", file, "--consumed", "4"]).makeReport()
            #expect(blind.source == file && blind.event == nil)
            #expect(blind.state.invalidationQueue?.problems.count == 1)
            #expect(blind.state.registers == recorded.state.registers)

            // The words that were shown, as an image of memory.
            let first = try #require(queue.consumed.first)
            let words = queue.consumed.flatMap { $0.words ?? [] }.compactMap { UInt64($0.dropFirst(2), radix: 16) }
            #expect(words.count == 16)
            let bytes = words.flatMap { word in (0..<8).map { UInt8(truncatingIfNeeded: word >> ($0 * 8)) } }
            let image = folder + "/queue.bin"
            try Data(bytes).write(to: URL(fileURLWithPath: image))
            let seeing = try DumpCommand.parse([
                "--snapshot", file, "--consumed", "4", "--memory", image + "@" + first.address,
            ]).makeReport()
            #expect(seeing.state == recorded.state)
        }
    }

    @Test func badFilesAreNamed() throws {
        try withFolder { folder in
            func complaint(_ contents: String, _ more: [String] = []) throws -> String? {
                let file = folder + "/unit.json"
                try Data(contents.utf8).write(to: URL(fileURLWithPath: file))
                let command = try DumpCommand.parse(["--snapshot", file] + more)
                do throws(DumpFailure) {
                    _ = try command.makeReport()
                    return nil
                } catch {
                    return error.description.replacingOccurrences(of: folder + "/", with: "")
                }
            }
            let missing = try DumpCommand.parse(["--snapshot", folder + "/none.json"])
            #expect(throws: DumpFailure.self) { try missing.makeReport() }
            #expect(try complaint(#"{"version": -1e99}"#) == "unit.json: a number does not fit what it stands for")
            #expect(try complaint("no JSON")?.hasPrefix("unit.json: is not JSON") == true)
            #expect(try complaint("")?.hasPrefix("unit.json: is not JSON") == true)
            #expect(try complaint(#"{"version": 1"#)?.hasPrefix("unit.json: is not JSON") == true)
            #expect(try complaint(#"{"version": "x"}"#)?.hasPrefix("unit.json: version: ") == true)
            #expect(try complaint("{}")?.contains("version") == true)
            #expect(try complaint("[1, 2]")?.hasPrefix("unit.json: ") == true)
            #expect(try complaint("{}", ["--memory", folder + "/none.bin@0"]) == "none.bin: does not exist")
            #expect(try complaint("{}", ["--memory", "/@0"]) == "/: is a folder")
            #expect(try complaint("{}", ["--memory", "/dev/null@0"]) == "/dev/null: is not a regular file")
            let image = folder + "/image.bin"
            try Data(repeating: 0, count: 16).write(to: URL(fileURLWithPath: image))
            let twice = ["--memory", image + "@1000", "--memory", image + "@1008"]
            #expect(try complaint("{}", twice) == "image.bin: overlaps another image")
            let beyond = ["--memory", image + "@fffffffffffffff8"]
            #expect(try complaint("{}", beyond) == "image.bin: ends beyond the last address")
            try Data().write(to: URL(fileURLWithPath: image))
            #expect(try complaint("{}", ["--memory", image + "@0"]) == "image.bin: is empty")
        }
    }

    @Test func badRecordingsAreNamed() throws {
        let command = try DumpCommand.parse(["/no/such/folder"])
        #expect {
            try command.makeReport()
        } throws: { error in
            "\(error)".contains("/no/such/folder: is not a folder with a recording")
        }
    }

    private static var capture: String {
        let root = "/" + #filePath.split(separator: "/").dropLast(3).joined(separator: "/")
        return root + "/Sources/IOMMUTool/Captures/C1-scalable-fs-strict"
    }
}
