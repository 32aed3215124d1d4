// SPDX-License-Identifier: LGPL-2.1-or-later
//
// RegisterFile - registers.json: the unit's registers at the stop. They stand there twice, by name and as raw 64-bit reads; the
// two must agree, because a wrong capability bit would change every answer.

/// The registers of the recorded unit when it was stopped [FORMATS-VTD B1].
public struct RegisterFile: Hashable, Sendable {
    /// The file, for messages.
    public let file: String
    /// The line of the raw capability register, for messages.
    public let capabilityLine: Int
    /// Raw 64-bit reads by offset.
    public let raw: [UInt64: UInt64]
    /// The named registers.
    public let named: [String: UInt64]

    /// The capability register.
    public var cap: UInt64 { self[wide: 0x8] }
    /// The extended capability register.
    public var ecap: UInt64 { self[wide: 0x10] }
    /// The global status register.
    public var globalStatus: UInt32 { self[narrow: 0x1c] }
    /// The root-table address register, mode included.
    public var rootTableAddress: UInt64 { self[wide: 0x20] }
    /// The invalidation-queue address register.
    public var invalidationQueueAddress: UInt64 { self[wide: 0x90] }
    /// The interrupt-remapping table address register.
    public var interruptTableAddress: UInt64 { self[wide: 0xb8] }

    /// Translation is enabled (GSTS.TES).
    public var isTranslationEnabled: Bool { globalStatus >> 31 != 0 }
    /// The translation table mode: 0 legacy, 1 scalable (RTADDR.TTM).
    public var tableMode: Int { Int(rootTableAddress >> 10 & 3) }

    /// A 64-bit register; 0 for one that was not read.
    public subscript(wide offset: UInt64) -> UInt64 {
        raw[offset] ?? 0
    }

    /// A 32-bit register; 0 for one that was not read.
    public subscript(narrow offset: UInt64) -> UInt32 {
        UInt32(truncatingIfNeeded: self[wide: offset & ~7] >> (offset & 4 == 0 ? 0 : 32))
    }
}

extension RegisterFile {
    /// The registers whose place is fixed: offset and width in bits. Others, and names that this tool does not know, are
    /// taken as they are.
    private static let places: [String: (offset: UInt64, bits: Int)] = [
        "VER": (0x0, 32), "CAP": (0x8, 64), "ECAP": (0x10, 64), "GSTS": (0x1c, 32), "RTADDR": (0x20, 64),
        "CCMD": (0x28, 64), "FSTS": (0x34, 32), "FECTL": (0x38, 32), "FEDATA": (0x3c, 32), "FEADDR": (0x40, 32),
        "FEUADDR": (0x44, 32), "PMEN": (0x64, 32), "IQH": (0x80, 64), "IQT": (0x88, 64), "IQA": (0x90, 64),
        "ICS": (0x9c, 32), "IECTL": (0xa0, 32), "IEDATA": (0xa4, 32), "IEADDR": (0xa8, 32), "IEUADDR": (0xac, 32),
        "IRTA": (0xb8, 64), "PQH": (0xc0, 64), "PQT": (0xc8, 64), "PQA": (0xd0, 64), "PRS": (0xdc, 32),
    ]

    /// Reads `registers.json`.
    init(_ file: CaptureFile) throws(CaptureError) {
        let document = try file.parse { (reader) throws(CaptureError) in try JSONReader.document(&reader) }
        var raw: [UInt64: UInt64] = [:]
        var lines: [UInt64: Int] = [:]
        for member in try Self.members("raw64", of: document, file) {
            let offset = try Self.number(member.key, member.value.line, file)
            guard offset & 7 == 0, offset < 0x1_0000 else {
                throw CaptureError(
                    file: file.name, line: member.value.line, "\(member.key) is not the offset of a 64-bit register")
            }
            raw[offset] = try Self.number(member.value, file)
            lines[offset] = member.value.line
        }
        for (name, place) in [("CAP", 0x8), ("ECAP", 0x10), ("GSTS", 0x18), ("RTADDR", 0x20)] as [(String, UInt64)]
        where raw[place] == nil {
            throw CaptureError(
                file: file.name, line: document["raw64"]?.line,
                "\"raw64\" lacks 0x\(String(place, radix: 16)), which holds \(name)")
        }
        self.file = file.name
        self.raw = raw
        capabilityLine = lines[0x8] ?? 1
        var named: [String: UInt64] = [:]
        for member in try Self.members("named", of: document, file) {
            named[member.key] = try Self.number(member.value, file)
        }
        self.named = named
        for member in try Self.members("named", of: document, file) {
            try check(member, file)
        }
        if let base = document["base"] {
            _ = try Self.number(base, file)
        }
    }

    /// A named register must be what the raw read of its place says.
    private func check(_ member: JSONValue.Member, _ file: CaptureFile) throws(CaptureError) {
        guard let place = place(of: member.key), raw[place.offset & ~7] != nil else { return }
        let found = place.bits == 64 ? self[wide: place.offset] : UInt64(self[narrow: place.offset])
        guard named[member.key] == found else {
            let text = "0x" + String(found, radix: 16)
            throw CaptureError(
                file: file.name, line: member.value.line,
                "\(member.key) is \(member.value.string ?? "?"), but raw64 has \(text) at 0x\(String(place.offset, radix: 16))")
        }
    }

    /// Where a register lies. The places of some are said by CAP and ECAP.
    private func place(of name: String) -> (offset: UInt64, bits: Int)? {
        if let fixed = Self.places[name] { return fixed }
        let iotlb = (ecap >> 8 & 0x3ff) * 16
        let faults = (cap >> 24 & 0x3ff) * 16
        switch name {
        case "IVA": return (iotlb, 64)
        case "IOTLB": return (iotlb + 8, 64)
        case "FRCD0_LO": return (faults, 64)
        case "FRCD0_HI": return (faults + 8, 64)
        default: return nil
        }
    }

    private static func members(
        _ key: String, of document: JSONValue, _ file: CaptureFile
    ) throws(CaptureError) -> [JSONValue.Member] {
        guard let members = document[key]?.members else {
            throw CaptureError(file: file.name, line: document.line, "lacks the object \"\(key)\"")
        }
        return members
    }

    private static func number(_ value: JSONValue, _ file: CaptureFile) throws(CaptureError) -> UInt64 {
        guard let text = value.string else {
            throw CaptureError(file: file.name, line: value.line, "a register value is not a string")
        }
        return try number(text, value.line, file)
    }

    /// A number with `0x` in front.
    private static func number(_ text: String, _ line: Int, _ file: CaptureFile) throws(CaptureError) -> UInt64 {
        var reader = LineReader(file: file.name, bytes: [UInt8](text.utf8))
        do throws(CaptureError) {
            try reader.expect("0x")
            let value = try reader.hexadecimal("the number")
            if reader.isAtEnd { return value }
            throw reader.unexpected("a hexadecimal number")
        } catch {
            throw CaptureError(file: file.name, line: line, "\"\(text)\" is not a hexadecimal number of 64 bits")
        }
    }
}
