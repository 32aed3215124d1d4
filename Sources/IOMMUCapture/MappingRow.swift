// SPDX-License-Identifier: LGPL-2.1-or-later
//
// MappingRow - mappings.csv: every leaf of every address space of the image.

/// One leaf, as the recorder's own table walk found it.
public struct MappingRow: Hashable, Sendable {
    /// The source id.
    public let source: UInt16
    /// The PASID; nil in legacy mode.
    public let pasid: UInt32?
    /// What it translates with, as in ``ContextRow/kind``.
    public let kind: String
    /// The domain id.
    public let domain: UInt32
    /// First input address.
    public let iova: UInt64
    /// First output address.
    public let output: UInt64
    /// Page size in bytes, a power of two of at least 4096.
    public let size: UInt64
    /// The path grants reading.
    public let readable: Bool
    /// The path grants writing.
    public let writable: Bool
    /// Level of the leaf: 1 for 4 KiB, 2 for 2 MiB, 3 for 1 GiB.
    public let level: Int
    /// The leaf entry.
    public let leafEntry: UInt64
    /// Its line in `mappings.csv`.
    public let line: Int

    /// Last input address.
    public var last: UInt64 { iova + (size - 1) }
}

extension MappingRow {
    /// Bits 51:12 of a paging entry.
    private static let addressBits: UInt64 = 0x000f_ffff_ffff_f000

    /// Reads `mappings.csv`.
    static func rows(_ file: CaptureFile) throws(CaptureError) -> [MappingRow] {
        try file.parse { (reader) throws(CaptureError) in
            try reader.header("bdf,sid,pasid,kind,domain,iova,gpa,size,r,w,level,leaf_entry")
            var rows: [MappingRow] = []
            while !reader.isAtEnd {
                rows.append(try MappingRow(&reader))
            }
            return rows
        }
    }

    private init(_ reader: inout LineReader) throws(CaptureError) {
        line = reader.line
        source = try reader.source()
        pasid = try reader.optionalPASID()
        kind = try reader.text("the kind", upTo: UInt8(ascii: ","))
        try reader.comma()
        domain = UInt32(try reader.decimal("the domain", max: 0xffff))
        try reader.comma()
        iova = try reader.hexadecimalColumn("the input address")
        output = try reader.hexadecimalColumn("the output address")
        size = try reader.hexadecimalColumn("the size")
        readable = try reader.flag("r")
        writable = try reader.flag("w")
        level = Int(try reader.decimal("the level", max: 5))
        try reader.comma()
        leafEntry = try reader.padded("the leaf entry", digits: 16)
        guard size >= 4096, size & (size - 1) == 0 else {
            throw reader.error("the size is not a power of two of at least 4096")
        }
        guard iova & (size - 1) == 0, output & (size - 1) == 0 else {
            throw reader.error("the addresses are not multiples of the size")
        }
        try checkLeaf(reader)
        try reader.endLine()
    }

    /// The columns repeat what the leaf says. A nested mapping may be smaller than its leaf, and has two of them.
    private func checkLeaf(_ reader: LineReader) throws(CaptureError) {
        guard kind == "ss" || kind == "ss-dt" || kind == "fs" else { return }
        guard level >= 1, size == 1 << UInt64(12 + 9 * (level - 1)) else {
            throw reader.error("a leaf of level \(level) does not have the size 0x\(String(size, radix: 16))")
        }
        guard leafEntry & Self.addressBits & ~(size - 1) == output else {
            throw reader.error("the leaf entry does not lead to the output address")
        }
        guard leafEntry & 1 != 0 || !readable, leafEntry & 2 != 0 || !writable else {
            throw reader.error("the leaf entry does not grant r or w")
        }
    }
}
