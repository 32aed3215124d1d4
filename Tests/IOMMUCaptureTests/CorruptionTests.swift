// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Damage of every kind in every file: it ends in an error that names a file, or in a report, never in a crash.

import Foundation
import IOMMUCapture
import IOMMUReplay
import Testing

@Suite struct CorruptionTests {
    /// Small, fast, and the same everywhere.
    struct Generator: RandomNumberGenerator {
        var state: UInt64

        mutating func next() -> UInt64 {
            state &+= 0x9e37_79b9_7f4a_7c15
            var value = state
            value = (value ^ value >> 30) &* 0xbf58_476d_1ce4_e5b9
            value = (value ^ value >> 27) &* 0x94d0_49bb_1331_11eb
            return value ^ value >> 31
        }
    }

    /// How a replay of a damaged recording ended.
    enum Ending: Hashable {
        case refused(hasLine: Bool)
        case disagreed
        case agreed
    }

    private func replay(_ folder: String) throws -> Ending {
        do {
            var options = ReplayOptions()
            options.configuration.iotlbEntries = 64
            return try Replay(options).run(folder: folder).isAgreement ? .agreed : .disagreed
        } catch {
            guard case .capture(let error) = error else { throw error }
            #expect(!error.file.isEmpty && !error.message.isEmpty)
            return .refused(hasLine: error.line != nil)
        }
    }

    /// The small recording with a stream that does a little of everything.
    private static func example() -> MiniCapture {
        MiniCapture(events: [
            "T 0038 - 10000 r -> 80000 fff 3 fault 0 u", "T 0038 - 11000 w -> 81000 fff 1 fault 0 h",
            "M \(String(MiniCapture.leaf, radix: 16)) 90003", "D 0 0 90022 0 0 0", "D 1 0 200000025 140052c04 0 0",
            "S 140052c04 4 2", "T 0038 - 10008 w -> 90000 fff 3 fault 0 u", "T 0038 - 12000 r -> 0 0 0 fault 6 -",
            "R 34 4 0", "W 34 4 83", "I fee00030 2 fee00008 4030", "G fee00000 20",
        ])
    }

    @Test(arguments: MiniCapture().files.keys.sorted())
    func flippedBitsNeverCrash(_ file: String) throws {
        let original = Self.example()
        let contents = try #require(original.files[file])
        var generator = Generator(state: 0x10_aa17)
        try original.withFolder { folder in
            for _ in 0..<200 {
                var damaged = contents
                for _ in 0..<Int.random(in: 1...3, using: &generator) {
                    let place = Int.random(in: 0..<damaged.count, using: &generator)
                    damaged[place] ^= 1 << UInt8.random(in: 0..<8, using: &generator)
                }
                try Data(damaged).write(to: URL(filePath: folder + "/" + file))
                if case .refused(let hasLine) = try replay(folder) {
                    #expect(hasLine)
                }
            }
        }
    }

    @Test(arguments: MiniCapture().files.keys.sorted())
    func truncationIsNoticed(_ file: String) throws {
        let original = Self.example()
        let contents = try #require(original.files[file])
        // A cut behind a whole line leaves a shorter file that may be right in itself.
        try original.withFolder { folder in
            for end in stride(from: 0, to: contents.count - 1, by: max(1, contents.count / 97))
            where end == 0 || contents[end - 1] != UInt8(ascii: "\n") {
                try Data(contents[..<end]).write(to: URL(filePath: folder + "/" + file))
                #expect(try replay(folder) != .agreed, "\(file) cut to \(end) bytes")
            }
        }
    }

    @Test(arguments: MiniCapture().files.keys.sorted())
    func noiseNeverCrashes(_ file: String) throws {
        var generator = Generator(state: 7)
        for length in [1, 2, 17, 4096, 30_000] {
            var capture = Self.example()
            capture.files[file] = (0..<length).map { _ in UInt8.random(in: 0...255, using: &generator) }
            // Random tables are tables of a right length and may be read.
            let ending = try capture.withFolder { try replay($0) }
            #expect(ending != .agreed)
        }
    }

    /// The files of a recording that are read.
    static let recordedFiles = [
        "contexts.csv", "mappings.csv.gz", "pages.bin.gz", "pages.idx", "probes.csv.gz", "registers.json",
        "replay.txt.gz", "summary.json",
    ]

    /// A copy of a recording with one file changed.
    private func withDamaged(_ file: String, _ change: (inout [UInt8]) -> Void) throws -> Ending {
        let source = URL(filePath: Recording.scalableFirstStage.folder)
        let folder = FileManager.default.temporaryDirectory.appending(path: "damaged-" + UUID().uuidString)
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        for name in Self.recordedFiles where name != file {
            try FileManager.default.createSymbolicLink(
                at: folder.appending(path: name), withDestinationURL: source.appending(path: name))
        }
        var bytes = [UInt8](try Data(contentsOf: source.appending(path: file)))
        change(&bytes)
        try Data(bytes).write(to: folder.appending(path: file))
        return try replay(folder.path)
    }

    @Test(arguments: recordedFiles)
    func aTruncatedRecordingIsRefused(_ file: String) throws {
        for keep in [0.0, 0.01, 0.5] {
            let ending = try withDamaged(file) { $0.removeLast($0.count - Int(Double($0.count) * keep)) }
            #expect(ending == .refused(hasLine: true), "\(file) cut to \(keep)")
        }
        #expect(try withDamaged(file) { $0.removeLast(2) } == .refused(hasLine: true))
    }

    @Test(arguments: recordedFiles.filter { $0.hasSuffix(".gz") })
    func aFlippedBitInACompressedFileIsRefused(_ file: String) throws {
        var generator = Generator(state: 42)
        for _ in 0..<3 {
            let ending = try withDamaged(file) { bytes in
                // Behind the header, whose time and name mean nothing. Only the first bytes of the large one: it is fast then.
                let end = min(bytes.count, 40_000)
                bytes[Int.random(in: 64..<end, using: &generator)] ^= 1 << UInt8.random(in: 0..<8, using: &generator)
            }
            #expect(ending == .refused(hasLine: true))
        }
    }

    @Test func trailingBytesAreRefused() throws {
        #expect(try withDamaged("mappings.csv.gz") { $0 += [0, 1, 2, 3] } == .refused(hasLine: true))
    }
}
