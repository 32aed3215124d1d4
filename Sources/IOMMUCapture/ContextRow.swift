// SPDX-License-Identifier: LGPL-2.1-or-later
//
// ContextRow - contexts.csv: every present context entry (legacy mode) or PASID-table entry (scalable mode) of the image.

/// What one source, or one PASID of a source, was bound to.
public struct ContextRow: Hashable, Sendable {
    /// The source id.
    public let source: UInt16
    /// The PASID; nil in legacy mode.
    public let pasid: UInt32?
    /// The PASID is the one that requests without a PASID imply (RID_PASID).
    public let isImpliedPASID: Bool
    /// What it translates with: `ss`, `ss-dt`, `fs`, `pt`, `nested`, or another word of the recorder.
    public let kind: String
    /// The domain id.
    public let domain: UInt32
    /// Levels of the paging structures.
    public let levels: Int
    /// The top paging structure.
    public let root: UInt64
    /// The entry: 2 words in legacy mode, 8 in scalable mode.
    public let entry: [UInt64]
    /// The scalable-mode context entry, 4 words; empty in legacy mode.
    public let contextEntry: [UInt64]
    /// Its line in `contexts.csv`.
    public let line: Int
}

extension ContextRow {
    /// Reads `contexts.csv`.
    static func rows(_ file: CaptureFile) throws(CaptureError) -> [ContextRow] {
        try file.parse { (reader) throws(CaptureError) in
            try reader.header(
                "bdf,sid,pasid,is_rid_pasid,kind,domain,levels,root,context_or_pasid_entry_qwords,sm_context_qwords")
            var rows: [ContextRow] = []
            while !reader.isAtEnd {
                rows.append(try ContextRow(&reader))
            }
            return rows
        }
    }

    private init(_ reader: inout LineReader) throws(CaptureError) {
        line = reader.line
        source = try reader.source()
        pasid = try reader.optionalPASID()
        isImpliedPASID = try reader.flag("is_rid_pasid")
        kind = try reader.text("the kind", upTo: UInt8(ascii: ","))
        try reader.comma()
        domain = UInt32(try reader.decimal("the domain", max: 0xffff))
        try reader.comma()
        levels = Int(try reader.decimal("the number of levels", max: 6))
        try reader.comma()
        root = try reader.hexadecimalColumn("the root")
        entry = try reader.words("the entry", most: 8)
        try reader.comma()
        contextEntry = try reader.words("the scalable-mode context entry", most: 4)
        let isScalable = pasid != nil
        guard entry.count == (isScalable ? 8 : 2), contextEntry.count == (isScalable ? 4 : 0) else {
            throw reader.error(
                "has \(entry.count) and \(contextEntry.count) words; legacy mode has 2 and 0, scalable mode 8 and 4")
        }
        try reader.endLine()
    }
}
