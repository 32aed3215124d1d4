// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Target "captures": the files of a recording, any of them anything. Reading them ends in an error that names a file, or in a
// recording that is described and replayed to its end.
//
// An input is one or more sections, `=== NAME` on a line of its own and then the file's bytes; NAME+OFFSET, in hexadecimal, changes
// the bytes from there on; what has no section is the small recording of the tests. Without any section the input is an event
// stream.

import Foundation
import IOMMU
import IOMMUCapture
import IOMMUReplay

final class CapturesTarget {
    /// More than a replay of a second: such an input tells nothing that a smaller one does not.
    private static let greatestSize = 1 << 16

    private let folder: String
    private let sound: [String: [UInt8]]
    /// What stands in the folder now.
    private var present: [String: [UInt8]] = [:]

    init() {
        sound = MiniCapture(events: Self.events).files
        let isFast = FileManager.default.isWritableFile(atPath: "/dev/shm")
        folder = Self.folder(in: isFast ? "/dev/shm" : "/tmp")
        unsafe mkdir(folder, 0o700)
        atexit {
            let parent =
                FileManager.default.fileExists(atPath: CapturesTarget.folder(in: "/dev/shm")) ? "/dev/shm" : "/tmp"
            try? FileManager.default.removeItem(atPath: CapturesTarget.folder(in: parent))
        }
    }

    private static func folder(in parent: String) -> String { "\(parent)/iommu-fuzz-\(getpid())" }

    /// A little of everything.
    private static let events = [
        "T 0038 - 10000 r -> 80000 fff 3 fault 0 u", "T 0038 - 11000 w -> 81000 fff 1 fault 0 h",
        "M \(String(MiniCapture.leaf, radix: 16)) 90003", "D 0 0 90022 0 0 0", "D 1 0 200000025 140052c04 0 0",
        "S 140052c04 4 2", "T 0038 - 10008 w -> 90000 fff 3 fault 0 u", "T 0038 - 12000 r -> 0 0 0 fault 6 -",
        "R 34 4 0", "W 34 4 83", "I fee00030 2 fee00008 4030", "G fee00000 20",
    ]

    func run(_ bytes: [UInt8]) throws {
        guard bytes.count <= Self.greatestSize else { return }
        let sections = Self.sections(bytes)
        guard !sections.isEmpty else { return try readStream(bytes) }
        var files = sound
        for section in sections {
            guard let offset = section.offset else {
                files[section.name] = section.contents
                continue
            }
            guard var contents = files[section.name], offset <= contents.count else { continue }
            let end = min(contents.count, offset + section.contents.count)
            contents.replaceSubrange(offset..<end, with: section.contents)
            files[section.name] = contents
        }
        write(files)
        do throws(CaptureError) {
            let capture = try Capture(folder: folder)
            // One of three, for speed.
            switch bytes.count % 3 {
            case 0: try describe(capture)
            case 1: try replay(capture, isBatched: false)
            default: try replay(capture, isBatched: true)
            }
        } catch {
            Self.check(error)
        }
    }

    private func readStream(_ bytes: [UInt8]) throws {
        do throws(CaptureError) {
            let stream = try EventStream(text: bytes, file: "replay.txt")
            expect(stream.lineCounts.values.reduce(0, +) > 0, true, "a stream without lines")
        } catch {
            Self.check(error)
            expect(
                error.line == nil || FuzzDamage.errorWithoutLine.isWanted, false,
                "an error of a stream without its line: \(error)")
        }
    }

    // What can be read can be described and replayed, in every way.

    private func replay(_ capture: Capture, isBatched: Bool) throws(CaptureError) {
        var options = ReplayOptions()
        options.configuration.iotlbEntries = 64
        options.configuration.firstLevelEntries = 16
        options.configuration.walkCacheEntries = 16
        options.configuration.bindings = 16
        options.configuration.addressSpaces = 16
        options.configuration.tablePages = 16
        options.configuration.domains = 0
        options.configuration.ports = 2
        options.configuration.pooledPorts = 1
        options.isBatched = isBatched
        try Self.replayErrors {
            let report = try Replay(options).run(capture)
            let answers = report.agreed + report.unexplained + report.explained.values.reduce(0, +)
            // A refused descriptor counts as unexplained too.
            let refused = answers - report.translations
            expect((0...report.invalidations).contains(refused), true, "each translation is one of three")
            let counted = report.translations - (FuzzDamage.replaySkipsOne.isWanted ? 1 : 0)
            expect(counted, capture.events.translations.count, "all are replayed")
        }
    }

    private func describe(_ capture: Capture) throws(CaptureError) {
        try Self.replayErrors {
            expect(try CaptureDescription(capture).unit.isEmpty, false, "a description without a unit")
        }
    }

    private static func replayErrors(_ body: () throws -> Void) throws(CaptureError) {
        do {
            try body()
        } catch ReplayError.capture(let error) {
            throw error
        } catch {
            expect("\(error)".isEmpty, false, "an error without words")
        }
    }

    private static func check(_ error: CaptureError) {
        if error.file.isEmpty || error.message.isEmpty || error.line ?? 1 < 1 {
            finding("an imprecise error: \(error)")
        }
    }

    // MARK: Files

    private struct Section {
        var name: String
        var offset: Int?
        var contents: [UInt8] = []
    }

    private static let mark = [UInt8]("=== ".utf8)
    private static let names = [
        "registers.json", "contexts.csv", "mappings.csv", "probes.csv", "pages.idx", "pages.bin", "replay.txt",
        "summary.json",
    ]

    private static func sections(_ bytes: [UInt8]) -> [Section] {
        var sections: [Section] = []
        var rest = bytes[...]
        while !rest.isEmpty {
            let end = rest.firstIndex(of: UInt8(ascii: "\n")).map { $0 + 1 } ?? rest.endIndex
            let line = rest[..<end]
            rest = rest[end...]
            if line.starts(with: mark), let section = section(line.dropFirst(mark.count)) {
                sections.append(section)
            } else if !sections.isEmpty {
                sections[sections.count - 1].contents += line
            }
        }
        return sections
    }

    private static func section(_ line: ArraySlice<UInt8>) -> Section? {
        let words = String(decoding: line, as: UTF8.self).split(whereSeparator: { $0 == "+" || $0 == "\n" })
        guard let name = words.first.map(String.init) else { return nil }
        guard names.contains(where: { $0 == name || $0 + ".gz" == name }) else { return nil }
        return Section(name: name, offset: words.count > 1 ? Int(words[1], radix: 16).map { max($0, 0) } : nil)
    }

    private func write(_ files: [String: [UInt8]]) {
        for name in present.keys where files[name] == nil {
            unsafe unlink(folder + "/" + name)
            present[name] = nil
        }
        for (name, contents) in files where present[name] != contents {
            guard FileManager.default.createFile(atPath: folder + "/" + name, contents: Data(contents)) else {
                finding("cannot write \(folder)/\(name)")
            }
            present[name] = contents
        }
    }
}
