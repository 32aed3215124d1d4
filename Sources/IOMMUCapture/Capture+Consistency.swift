// SPDX-License-Identifier: LGPL-2.1-or-later
//
// What the files of a recording say about each other: registers about pages, contexts about the words of the image, mappings
// about contexts. Layouts: FORMATS-VTD A2 to A6. No engine here: a broken engine must not make a recording look right.

extension Capture {
    private static let addressBits: UInt64 = 0x000f_ffff_ffff_f000

    /// The registers say where the root table, the invalidation queue and the interrupt table are.
    func checkImage() throws(CaptureError) {
        let root = registers.rootTableAddress & Self.addressBits
        let queue = registers.invalidationQueueAddress
        let interrupts = registers.interruptTableAddress
        let spans: [String: (first: UInt64, size: UInt64)] = [
            "root": (root, 4096),
            "iq": (queue & Self.addressBits, 4096 << (queue & 7)),
            "ir-table": (interrupts & Self.addressBits, 32 << (interrupts & 15)),
        ]
        for page in image.pages {
            guard let span = spans[page.role] else { continue }
            guard page.address >= span.first, page.address - span.first < span.size else {
                throw CaptureError(
                    file: image.indexFile, line: page.line,
                    "is called \(page.role), which \(registers.file) puts at 0x\(String(span.first, radix: 16))")
            }
        }
    }

    /// Every row of the contexts stands in the image, and its columns repeat what its words say.
    func checkContexts(_ file: String) throws(CaptureError) {
        var seen: Set<[UInt32]> = []
        for row in contexts {
            let fail = { (message: String) in CaptureError(file: file, line: row.line, message) }
            guard seen.insert([UInt32(row.source), row.pasid ?? .max]).inserted else {
                throw fail("the device and PASID appear a second time")
            }
            guard (row.pasid != nil) == (registers.tableMode == 1) else {
                throw fail("has \(row.pasid == nil ? "no" : "a") PASID, but RTADDR.TTM is \(registers.tableMode)")
            }
            let problem = row.pasid.map { checkScalable(row, pasid: $0) } ?? checkLegacy(row)
            if let problem { throw fail(problem) }
        }
    }

    /// Rows of the mappings belong to a row of the contexts.
    func checkMappings() throws(CaptureError) {
        var known: [UInt64: ContextRow] = [:]
        for row in contexts {
            known[UInt64(row.source) << 32 | UInt64(row.pasid ?? .max)] = row
        }
        for row in mappings {
            let context = known[UInt64(row.source) << 32 | UInt64(row.pasid ?? .max)]
            guard let context, context.kind == row.kind, context.domain == row.domain else {
                throw CaptureError(
                    file: mappingsFile, line: row.line,
                    "device, PASID, kind and domain are not those of a row of contexts.csv")
            }
        }
    }

    /// What is wrong with a legacy-mode row; nil if nothing is.
    private func checkLegacy(_ row: ContextRow) -> String? {
        let base = registers.rootTableAddress & Self.addressBits
        guard let root = image.word(at: base + UInt64(row.source >> 8) * 16) else {
            return "the root table is not in the image"
        }
        let place = (root & Self.addressBits) + UInt64(row.source & 0xff) * 16
        guard words(at: place, count: 2) == row.entry else { return differs("the context entry", place) }
        guard !row.isImpliedPASID else { return "is_rid_pasid is 1 without a PASID" }
        let type = Int(row.entry[0] >> 2 & 3)
        let kinds = ["ss", "ss-dt", "pt"]
        if kinds.contains(row.kind), type > 2 || kinds[type] != row.kind {
            return "the kind is \(row.kind), but TT is \(type)"
        }
        guard row.domain == UInt32(row.entry[1] >> 8 & 0xffff) else { return "the domain is not the entry's DID" }
        guard row.kind == "ss" || row.kind == "ss-dt" else { return nil }
        return checkPaging(row, root: row.entry[0] & Self.addressBits, levels: Int(row.entry[1] & 7) + 2)
    }

    /// What is wrong with a scalable-mode row; nil if nothing is.
    private func checkScalable(_ row: ContextRow, pasid: UInt32) -> String? {
        let base = registers.rootTableAddress & Self.addressBits
        let half = UInt64(row.source >> 7) * 8
        guard let root = image.word(at: base + half) else { return "the root table is not in the image" }
        let place = (root & Self.addressBits) + UInt64(row.source & 0x7f) * 32
        guard words(at: place, count: 4) == row.contextEntry else { return differs("the context entry", place) }
        guard row.isImpliedPASID == (UInt64(pasid) == row.contextEntry[1] & 0xf_ffff) else {
            return "is_rid_pasid is not what RID_PASID says"
        }
        let slot = (row.contextEntry[0] & Self.addressBits) + UInt64(pasid >> 6) * 8
        guard let directory = image.word(at: slot) else { return "the PASID directory is not in the image" }
        let entry = (directory & Self.addressBits) + UInt64(pasid & 63) * 64
        guard words(at: entry, count: 8) == row.entry else { return differs("the PASID-table entry", entry) }
        let type = Int(row.entry[0] >> 6 & 7)
        let kinds = ["fs": 1, "ss": 2, "nested": 3, "pt": 4]
        if let expected = kinds[row.kind], expected != type { return "the kind is \(row.kind), but PGTT is \(type)" }
        guard row.domain == UInt32(row.entry[1] & 0xffff) else { return "the domain is not the entry's DID" }
        switch type {
        case 1:
            return checkPaging(
                row, root: row.entry[2] & Self.addressBits, levels: row.entry[2] >> 2 & 3 == 1 ? 5 : 4)
        case 2:
            return checkPaging(row, root: row.entry[0] & Self.addressBits, levels: Int(row.entry[0] >> 2 & 7) + 2)
        default:
            return nil
        }
    }

    private func checkPaging(_ row: ContextRow, root: UInt64, levels: Int) -> String? {
        guard row.root == root else { return "the root is not that of the entry" }
        guard row.levels == levels else { return "the number of levels is not that of the entry" }
        return nil
    }

    private func differs(_ what: String, _ place: UInt64) -> String {
        "\(what) at 0x\(String(place, radix: 16)) of the image is not the same"
    }

    /// Words of the image; empty if they are not all there.
    private func words(at address: UInt64, count: Int) -> [UInt64] {
        let words = (0..<UInt64(count)).compactMap { image.word(at: address + $0 * 8) }
        return words.count == count ? words : []
    }
}
