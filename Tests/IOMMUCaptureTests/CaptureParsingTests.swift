// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Reading: what is right is read, what is wrong is named by file and line.

import IOMMUCapture
import Testing

@Suite struct CaptureParsingTests {
    private func stream(_ text: String) throws -> EventStream {
        try EventStream(text: [UInt8](text.utf8), file: "replay.txt")
    }

    @Test func everyKindOfEventIsRead() throws {
        let stream = try stream(
            """
            R 8 8 d2008c222f0686
            W 20 8 140ee7400
            W 18 4 40000000
            M 140ef6000 140eff001
            D 15 1 30036 ffde0045 0 0
            S 140052c04 4 2
            S 140052c08 8 ffffffffffffffff
            T 0038 - 80000abc w -> 141200000 1fffff 3 fault 0 h
            T ffff fffff 0 r -> 0 0 0 fault 59 -
            T 0038 - 1234 r -> 1000 fff 3 fault 0 off -
            I fee00030 2 fee00008 4030
            G fee00000 20

            """)
        #expect(stream.lineCounts == ["R": 1, "W": 2, "M": 1, "D": 1, "S": 2, "T": 3, "I": 1, "G": 1])
        #expect(stream.registerWrites.map(\.offset) == [0x20, 0x18])
        #expect(stream.memoryWrites.map(\.value) == [0x1_40ef_f001, 2, .max])
        #expect(stream.memoryWrites.map(\.isByUnit) == [false, true, true])
        #expect(stream.descriptors.map(\.words.q1) == [0xffde_0045])
        #expect(stream.descriptors.map(\.isWide) == [true])
        #expect(stream.translations.map(\.iova) == [0x8000_0abc, 0, 0x1234])
        #expect(stream.translations.map(\.pasid) == [nil, 0xf_ffff, nil])
        #expect(stream.translations.map(\.isWrite) == [true, false, false])
        #expect(stream.translations.map(\.isHit) == [true, false, false])
        #expect(stream.translations.map(\.line) == [8, 9, 10])
        #expect(stream.translations[0].answer.mask == 0x1f_ffff)
        #expect(stream.translations[1].answer.fault == 0x59)
        #expect(stream.translations[2].answer.isDisabled)
        #expect(stream.events.map(\.kind).filter { $0 == .translation }.count == 3)
    }

    @Test func theLastLineNeedsItsEnd() throws {
        #expect(throws: CaptureError.self) { try stream("W 18 4 0\nM 1000 1") }
    }

    @Test(arguments: [
        ("", "has no event"),
        ("\n", "a space"),
        ("X 1 2\n", "not a kind of event"),
        ("T", "a space"),
        ("M 1001 0\n", "multiple of 8"),
        ("M 1000\n", "a space"),
        ("M 1000 10000000000000000\n", "more than 64 bits"),
        ("M  1000 1\n", "in hexadecimal"),
        ("M 1000 1 \n", "end of the line"),
        ("M 1000 1\r\n", "end of the line"),
        ("M 1000 A\n", "in hexadecimal"),
        ("M -1 0\n", "in hexadecimal"),
        ("S 1000 3 0\n", "1, 2, 4 or 8"),
        ("S 1002 4 0\n", "multiple of the length"),
        ("S 1000 1 100\n", "over 0xff"),
        ("W 18 5 0\n", "not 4 or 8"),
        ("W 1a 4 0\n", "multiple of the size"),
        ("W 18 4 100000000\n", "over 0xffffffff"),
        ("D 0 2 0 0 0 0\n", "over 1"),
        ("D 99999999999999999999 0 0 0 0 0\n", "more than 64 bits"),
        ("D 0 0 0 0 1 0\n", "more than two words"),
        ("D 0 0 0 0 0\n", "a space"),
        ("T 10000 - 0 r -> 0 fff 3 fault 0 h\n", "4 digits"),
        ("T 0038 100000 0 r -> 0 fff 3 fault 0 h\n", "over 0xfffff"),
        ("T 0038 - 0 x -> 0 fff 3 fault 0 h\n", "r or w"),
        ("T 0038 - 0 r <- 0 fff 3 fault 0 h\n", "\" -> \""),
        ("T 0038 - 0 r -> 0 ffe 3 fault 0 h\n", "not a page size"),
        ("T 0038 - 0 r -> 0 2fff 3 fault 0 h\n", "not a page size"),
        ("T 0038 - 0 r -> 800 fff 3 fault 0 h\n", "not the start of a page"),
        ("T 0038 - 0 r -> 0 fff 4 fault 0 h\n", "over 0x3"),
        ("T 0038 - 0 r -> 0 fff 3 fault 5 h\n", "a fault comes with"),
        ("T 0038 - 0 r -> 0 fff 3 fault 0 of -\n", "\"off \""),
        ("T 0038 - 0 r -> 0 fff 3 fault 0 z\n", "h, u or -"),
        ("T 0038 - 0 r -> 0 fff 3 fault 0\n", "a space"),
        ("I 1 2 3\n", "a space"),
        ("\u{0}\u{ff}\u{0}\n", "a space"),
    ])
    func aBrokenLineIsNamed(_ line: String, _ message: String) {
        let good = line.isEmpty ? "" : "G fee00000 20\n"
        #expect {
            _ = try stream(good + line)
        } throws: { error in
            guard let error = error as? CaptureError else { return false }
            return error.file == "replay.txt" && error.line == (line.isEmpty ? 1 : 2) && error.message.contains(message)
        }
    }

    @Test func theSmallRecordingIsRead() throws {
        let capture = try MiniCapture().capture()
        #expect(capture.registers.tableMode == 0)
        #expect(capture.registers.isTranslationEnabled)
        #expect(capture.registers.rootTableAddress == MiniCapture.root)
        #expect(capture.image.pages.count == 6)
        #expect(capture.image.word(at: MiniCapture.leaf) == 0x8_0003)
        #expect(capture.image.word(at: MiniCapture.leaf + 1) == nil)
        #expect(capture.image.word(at: 0x7000) == nil)
        #expect(capture.contexts.map(\.domain) == [9])
        #expect(capture.mappings.map(\.last) == [0x1_0fff, 0x1_1fff])
        #expect(capture.probes.map(\.answer.fault) == [0, 0, 5, 6, 2])
    }

    /// A change of one file of the small recording.
    struct Damage: CustomTestStringConvertible {
        let file: String
        let line: Int?
        let old: String
        let new: String
        let message: String

        var testDescription: String { "\(file): \(message)" }
    }

    static let damages = [
        Damage(file: "registers.json", line: 5, old: "\"CAP\": \"0xd2", new: "\"CAP\": \"0xd3", message: "raw64 has"),
        Damage(file: "registers.json", line: 5, old: "0x00d2008c", new: "0x00d2009c", message: "raw64 has"),
        Damage(file: "registers.json", line: 3, old: "\"IQA\"", new: "\"IQB\"", message: "lacks IQA"),
        Damage(file: "registers.json", line: 29, old: "\"0x8\"", new: "\"0x9\"", message: "does not follow"),
        Damage(file: "registers.json", line: 29, old: "\"0x8\"", new: "\"0x0\"", message: "appears twice"),
        Damage(
            file: "registers.json", line: 4, old: "\"0x10\",", new: "\"0x1g\",", message: "not a hexadecimal number"),
        Damage(file: "registers.json", line: 4, old: "\"0x10\",", new: "16,", message: "not a string"),
        Damage(file: "registers.json", line: 2, old: "\"base\"", new: "\"base", message: "expected"),
        Damage(file: "pages.idx", line: 2, old: "000000002000 c", new: "000000002001 c", message: "multiple of 4096"),
        Damage(file: "pages.idx", line: 2, old: "000000002000 c", new: "000000001000 c", message: "second time"),
        Damage(file: "pages.idx", line: 2, old: "000000002000 c", new: "0010000000002000 c", message: "12 digits"),
        Damage(
            file: "pages.idx", line: 1, old: "000000001000 root", new: "000000007000 root", message: "is called root"),
        Damage(file: "pages.idx", line: 2, old: " context", new: " ", message: "no role"),
        Damage(file: "contexts.csv", line: 1, old: "bdf,", new: "bdg,", message: "expected"),
        Damage(file: "contexts.csv", line: 2, old: ",0038,", new: ",0039,", message: "not the same device"),
        Damage(file: "contexts.csv", line: 2, old: ",9,4,", new: ",8,4,", message: "DID"),
        Damage(file: "contexts.csv", line: 2, old: ",4,3000,", new: ",3,3000,", message: "levels"),
        Damage(file: "contexts.csv", line: 2, old: ",3000,", new: ",4000,", message: "root"),
        Damage(file: "contexts.csv", line: 2, old: "0000902", new: "0000901", message: "context entry"),
        Damage(file: "contexts.csv", line: 2, old: ",ss,", new: ",pt,", message: "TT is 0"),
        Damage(file: "contexts.csv", line: 2, old: "0902,", new: "0902 0000000000000000,", message: "words"),
        Damage(file: "mappings.csv", line: 2, old: "ss,9", new: "ss,8", message: "contexts.csv"),
        Damage(file: "mappings.csv", line: 2, old: ",80000,1000", new: ",80000,1001", message: "power of two"),
        Damage(
            file: "mappings.csv", line: 2, old: ",80000,1000", new: ",80000,2000", message: "does not have the size"),
        Damage(file: "mappings.csv", line: 2, old: ",10000,", new: ",10010,", message: "multiples"),
        Damage(file: "mappings.csv", line: 2, old: "80003", new: "90003", message: "does not lead"),
        Damage(file: "mappings.csv", line: 3, old: ",1000,1,0,", new: ",1000,1,1,", message: "does not grant"),
        Damage(file: "mappings.csv", line: 3, old: ",1000,1,0,", new: ",1000,1,2,", message: "over 1"),
        Damage(file: "probes.csv", line: 2, old: "10000,80000", new: "11000,80000", message: "iova_base"),
        Damage(file: "probes.csv", line: 4, old: ",1,5,0,", new: ",1,5,1,", message: "iova_base"),
        Damage(file: "probes.csv", line: 3, old: "fff,1", new: "fff,8", message: "over 0x3"),
        Damage(file: "summary.json", line: 4, old: "\"mappings\": 2", new: "\"mappings\": 3", message: "\"mappings\""),
        Damage(file: "summary.json", line: 5, old: "\"pages\": 6", new: "\"pages\": 7", message: "\"pages\""),
        Damage(file: "summary.json", line: 6, old: "\"ss-l1\": 1", new: "\"ss-l1\": 2", message: "\"roles\""),
        Damage(file: "summary.json", line: 6, old: "\"ss-l1\": 1", new: "\"ss-l0\": 1", message: "\"roles\""),
        Damage(file: "summary.json", line: 8, old: "\"total\": 5", new: "\"total\": 05", message: "expected"),
        Damage(file: "summary.json", line: 8, old: "\"total\": 5", new: "\"total\": 6", message: "\"total\""),
        Damage(file: "summary.json", line: 9, old: "\n}", new: "\n", message: "expected '}'"),
    ]

    @Test(arguments: damages)
    func aDamagedFileIsNamedWithItsLine(_ damage: Damage) throws {
        var capture = MiniCapture()
        let text = String(decoding: capture.files[damage.file] ?? [], as: UTF8.self)
        #expect(text.contains(damage.old))
        capture.files[damage.file] = [UInt8](text.replacing(damage.old, with: damage.new, maxReplacements: 1).utf8)
        let error = try #require(try capture.error())
        #expect(error.file == damage.file)
        #expect(error.line == damage.line)
        #expect(error.message.contains(damage.message), "\(error)")
    }

    @Test func aPageTooFewOrTooManyIsNamed() throws {
        var capture = MiniCapture()
        capture.files["pages.bin"]?.removeLast(4096)
        #expect(try capture.error()?.description.hasPrefix("pages.bin:6: ") == true)
        capture = MiniCapture()
        capture.files["pages.bin"]?.append(0)
        #expect(try capture.error()?.description.hasPrefix("pages.bin:6: ") == true)
    }

    @Test(arguments: MiniCapture().files.keys.sorted())
    func aMissingFileIsNamed(_ file: String) throws {
        var capture = MiniCapture()
        capture.files[file] = nil
        #expect(try capture.error()?.file == file)
    }

    @Test(arguments: MiniCapture().files.keys.sorted())
    func anEmptyFileIsNamed(_ file: String) throws {
        var capture = MiniCapture()
        capture.files[file] = []
        let error = try #require(try capture.error())
        // Without pages the contexts have nothing to stand in; without mappings the summary is wrong; both name a file and a line.
        #expect(error.line != nil, "\(error)")
    }

    @Test func aFolderThatIsNotThereIsNamed() {
        #expect(throws: CaptureError.self) { try Capture(folder: "/nowhere/to/be/found") }
        #expect(throws: CaptureError.self) { try Capture(folder: Recording.legacy.folder + "/README") }
    }

    @Test func summaryKeysThatAreNotThereAreNotChecked() throws {
        var capture = MiniCapture()
        capture.setSummary("{\"other\": [1, 2.5e3, -4, true, false, null, \"a\\n\\\"b\"], \"deeper\": {}}")
        #expect(try capture.error() == nil)
    }

    @Test func deepNestingIsRefused() throws {
        var capture = MiniCapture()
        capture.setSummary(String(repeating: "[", count: 100_000))
        #expect(try capture.error()?.message.contains("nested") == true)
    }

    @Test func onlyWantedPartsAreRead() throws {
        var capture = MiniCapture()
        capture.files["replay.txt"] = [1, 2, 3]
        capture.files["probes.csv"] = nil
        let parts = try capture.withFolder { try Capture(folder: $0, parts: .mappings) }
        #expect(parts.mappings.count == 2)
        #expect(parts.probes.isEmpty)
        #expect(parts.events.events.isEmpty)
    }
}
