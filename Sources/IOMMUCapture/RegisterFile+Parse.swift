// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Reading registers.json. A wrong capability bit would change every answer, so what stands there twice is compared.

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

    /// The registers that every recorder names.
    private static let required = [
        "VER", "CAP", "ECAP", "GSTS", "RTADDR", "CCMD", "FSTS", "FECTL", "FEDATA", "FEADDR", "FEUADDR", "PMEN",
        "IQH", "IQT", "IQA", "ICS", "IECTL", "IRTA", "IVA", "IOTLB", "FRCD0_LO", "FRCD0_HI",
    ]

    /// Reads `registers.json`.
    init(_ file: CaptureFile) throws(CaptureError) {
        let document = try file.parse { (reader) throws(CaptureError) in try JSONReader.document(&reader) }
        let rawMembers = try Self.members("raw64", of: document, file)
        var raw: [UInt64: UInt64] = [:]
        for (index, member) in rawMembers.enumerated() {
            let offset = try Self.number(member.key, member.value.line, file)
            guard offset == UInt64(index) * 8 else {
                throw CaptureError(
                    file: file.name, line: member.value.line,
                    "the offset \(member.key) does not follow; the reads go in steps of 8 from 0x0")
            }
            raw[offset] = try Self.number(member.value, file)
        }
        guard rawMembers.count > 4 else {
            throw CaptureError(file: file.name, line: document["raw64"]?.line, "\"raw64\" ends before RTADDR")
        }
        let namedMembers = try Self.members("named", of: document, file)
        var named: [String: UInt64] = [:]
        for member in namedMembers {
            named[member.key] = try Self.number(member.value, file)
        }
        self.file = file.name
        self.raw = raw
        self.named = named
        capabilityLine = rawMembers[1].value.line
        for member in namedMembers {
            try check(member, file)
        }
        if let missing = Self.required.first(where: { named[$0] == nil }) {
            throw CaptureError(file: file.name, line: document["named"]?.line, "\"named\" lacks \(missing)")
        }
        for (index, member) in rawMembers.enumerated() {
            try checkUnnamed(UInt64(index) * 8, member, file)
        }
        if let base = document["base"], try Self.number(base, file) & 0xfff != 0 {
            throw CaptureError(file: file.name, line: base.line, "the base is not a multiple of 4096")
        }
    }

    /// What belongs to no named register reads as 0, but where registers are that recorders need not name.
    private func checkUnnamed(
        _ offset: UInt64, _ member: JSONValue.Member, _ file: CaptureFile
    ) throws(CaptureError) {
        let faults = (cap >> 24 & 0x3ff) * 16
        let faultsEnd = faults + ((cap >> 40 & 0xff) + 1) * 16
        let hasMemoryTypes = ecap >> 25 & 1 != 0
        switch offset {
        // The log, protected memory, invalidation events, page requests; fault records; MTRRs; what came later.
        case 0x58, 0x68...0x78, 0xa0...0xa8, 0xc0...0xf8, 0x230...: return
        case _ where offset >= faults && offset < faultsEnd: return
        case 0x100... where hasMemoryTypes: return
        default: break
        }
        let covered = named.keys.compactMap { place(of: $0) }.filter { $0.offset & ~7 == offset }.reduce(UInt64(0)) {
            $0 | ($1.bits == 64 ? .max : 0xffff_ffff &<< (($1.offset & 4) * 8))
        }
        guard self[wide: offset] & ~covered == 0 else {
            throw CaptureError(
                file: file.name, line: member.value.line,
                "\(member.key) is \(member.value.string ?? "?"), but no register is there")
        }
    }

    /// A named register must be what the raw read of its place says.
    private func check(_ member: JSONValue.Member, _ file: CaptureFile) throws(CaptureError) {
        guard let place = place(of: member.key), raw[place.offset & ~7] != nil else { return }
        let found = place.bits == 64 ? self[wide: place.offset] : UInt64(self[narrow: place.offset])
        guard named[member.key] == found else {
            let text = "0x\(String(found, radix: 16)) at 0x\(String(place.offset, radix: 16))"
            throw CaptureError(
                file: file.name, line: member.value.line,
                "\(member.key) is \(member.value.string ?? "?"), but raw64 has \(text)")
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
