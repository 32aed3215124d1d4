// SPDX-License-Identifier: LGPL-2.1-or-later
//
// MiniCapture - a recording made by hand, small enough to be changed in every way: legacy mode, one device, a few pages. Each
// file is text that a test may replace before it is written.

import Foundation
import IOMMUCapture

/// The files of a small recording.
struct MiniCapture {
    /// The tables: root, context, then four levels, then two pages of data that nothing maps.
    static let root: UInt64 = 0x1000
    static let context: UInt64 = 0x2000
    static let top: UInt64 = 0x3000
    static let leafTable: UInt64 = 0x6000
    /// The word that maps 0x10000.
    static let leaf: UInt64 = leafTable + 0x10 * 8

    /// Contents by file name.
    var files: [String: [UInt8]] = [:]

    /// The recording with an event stream that follows the tables' setup.
    init(events: [String] = ["T 0038 - 10000 r -> 80000 fff 3 fault 0 u"]) {
        files["registers.json"] = Self.bytes(Self.registers)
        files["contexts.csv"] = Self.bytes(
            """
            bdf,sid,pasid,is_rid_pasid,kind,domain,levels,root,context_or_pasid_entry_qwords,sm_context_qwords
            00:07.0,0038,,0,ss,9,4,3000,0000000000003001 0000000000000902,

            """)
        files["mappings.csv"] = Self.bytes(
            """
            bdf,sid,pasid,kind,domain,iova,gpa,size,r,w,level,leaf_entry
            00:07.0,0038,,ss,9,10000,80000,1000,1,1,1,0000000000080003
            00:07.0,0038,,ss,9,11000,81000,1000,1,0,1,0000000000081001

            """)
        files["probes.csv"] = Self.bytes(
            """
            sid,pasid,iova,write,qemu_fault,iova_base,gpa_base,mask,perm
            0038,,10abc,0,0,10000,80000,fff,3
            0038,,11abc,0,0,11000,81000,fff,1
            0038,,11abc,1,5,0,0,0,0
            0038,,12000,0,6,0,0,0,0
            0040,,10000,0,2,0,0,0,0

            """)
        files["pages.idx"] = Self.bytes(
            """
            000000001000 root
            000000002000 context
            000000003000 ss-l4
            000000004000 ss-l3
            000000005000 ss-l2
            000000006000 ss-l1

            """)
        files["pages.bin"] = Self.pages
        setEvents(events)
        setSummary()
    }

    /// Replaces the event stream after the setup of the tables.
    mutating func setEvents(_ events: [String]) {
        files["replay.txt"] = Self.bytes((Self.setup + events).joined(separator: "\n") + "\n")
    }

    /// Writes `summary.json`.
    mutating func setSummary(_ text: String? = nil) {
        let plain = """
            {
             "spaces": 1,
             "kinds": {"ss": 1},
             "mappings": 2,
             "pages": 6,
             "roles": {"root": 1, "context": 1, "ss-l4": 1, "ss-l3": 1, "ss-l2": 1, "ss-l1": 1},
             "by": {"00:07.0 4K RW": 1, "00:07.0 4K R": 1},
             "probes": {"total": 5, "xlat": 2, "fault": 3, "faults": {"0x5": 1, "0x6": 1, "0x2": 1}}
            }
            """
        files["summary.json"] = Self.bytes(text ?? plain)
    }

    /// The words of the tables by address.
    static let words: [UInt64: UInt64] = [
        root: context | 1, context + 0x38 * 16: top | 1, context + 0x38 * 16 + 8: 0x902, top: 0x4003, 0x4000: 0x5003,
        0x5000: leafTable | 3, leaf: 0x8_0003, leaf + 8: 0x8_1001,
    ]

    /// `M` lines for the tables, and the registers that switch the unit on.
    static let setup: [String] =
        words.keys.sorted().map { "M \(String($0, radix: 16)) \(String(words[$0]!, radix: 16))" } + [
            "W 20 8 1000", "W 18 4 40000000", "W 18 4 80000000",
        ]

    private static let pages: [UInt8] = {
        var bytes = [UInt8](repeating: 0, count: 6 * 4096)
        for (address, word) in words {
            for index in 0..<8 {
                bytes[Int(address - root) + index] = UInt8(truncatingIfNeeded: word >> UInt64(index * 8))
            }
        }
        return bytes
    }()

    private static let registers: String = {
        let named: [(String, UInt64)] = [
            ("VER", 0x10), ("CAP", 0xd2_008c_222f_0606), ("ECAP", 0xf0_0f4a), ("GSTS", 0xc000_0000), ("RTADDR", root),
            ("CCMD", 0), ("FSTS", 0), ("FECTL", 0), ("FEDATA", 0), ("FEADDR", 0), ("FEUADDR", 0), ("PMEN", 0),
            ("IQH", 0),
            ("IQT", 0), ("IQA", 0x10_0000), ("ICS", 0), ("IECTL", 0), ("IRTA", 0x20_0000), ("IVA", 0), ("IOTLB", 0),
            ("FRCD0_LO", 0), ("FRCD0_HI", 0),
        ]
        let raw: [UInt64: UInt64] = [
            0: 0x10, 8: 0xd2_008c_222f_0606, 0x10: 0xf0_0f4a, 0x18: 0xc000_0000_0000_0000, 0x20: root, 0x90: 0x10_0000,
            0xb8: 0x20_0000,
        ]
        let namedLines = named.map { "  \"\($0.0)\": \"0x\(String($0.1, radix: 16))\"" }
        let rawLines = stride(from: UInt64(0), through: 0x228, by: 8).map { offset in
            let digits = String(raw[offset] ?? 0, radix: 16)
            let padded = String(repeating: "0", count: 16 - digits.count) + digits
            return "  \"0x\(String(offset, radix: 16))\": \"0x\(padded)\""
        }
        return "{\n \"base\": \"0xfed90000\",\n \"named\": {\n" + namedLines.joined(separator: ",\n")
            + "\n },\n \"raw64\": {\n" + rawLines.joined(separator: ",\n") + "\n }\n}\n"
    }()

    private static func bytes(_ text: String) -> [UInt8] { [UInt8](text.utf8) }
}

extension MiniCapture {
    /// Writes the files into a folder of their own and removes it after `body`.
    func withFolder<Value>(_ body: (String) throws -> Value) throws -> Value {
        let folder = FileManager.default.temporaryDirectory.appending(path: "mini-" + UUID().uuidString)
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        for (name, contents) in files {
            try Data(contents).write(to: folder.appending(path: name))
        }
        return try body(folder.path)
    }

    /// Reads it back.
    func capture() throws -> Capture {
        try withFolder { try Capture(folder: $0) }
    }

    /// The error that reading it ends in; nil if it can be read.
    func error() throws -> CaptureError? {
        try withFolder { folder in
            do throws(CaptureError) {
                _ = try Capture(folder: folder)
                return nil
            } catch {
                return error
            }
        }
    }
}
