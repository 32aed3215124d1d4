// SPDX-License-Identifier: LGPL-2.1-or-later
//
// SummaryCheck - summary.json: the recorder's counts against what the other files hold. A key that is not there is not
// checked; recorders differ in what they count.

/// Compares the counts of `summary.json` with the files.
struct SummaryCheck {
    let file: String
    let document: JSONValue

    /// Throws at the first count that differs.
    func check(_ capture: Capture, _ parts: Capture.Parts) throws(CaptureError) {
        guard document.members != nil else {
            throw CaptureError(file: file, line: document.line, "is not a JSON object")
        }
        try compare("spaces", capture.contexts.count, "rows of contexts.csv")
        try compare("kinds", Self.counts(of: capture.contexts.map(\.kind)), "rows of contexts.csv")
        try compare("pages", capture.image.pages.count, "pages of pages.idx")
        try compare("roles", Self.counts(of: capture.image.pages.map(\.role)), "pages of pages.idx")
        if parts.contains(.mappings) {
            try compare("mappings", capture.mappings.count, "rows of \(capture.mappingsFile)")
            try compare("by", Self.counts(of: capture.mappings.map(Self.label)), "rows of \(capture.mappingsFile)")
        }
        if parts.contains(.probes) {
            try checkProbes(capture)
        }
        if parts.contains(.events) {
            try checkEvents(capture.events)
        }
    }

    private func checkEvents(_ events: EventStream) throws(CaptureError) {
        let source = "lines of \(events.file)"
        try compare("replay_events", events.lineCounts, source)
        try checkDevices(events)
        if let trace = document["trace_events"] {
            for (key, count) in Self.traceCounts(events).sorted(by: { $0.key < $1.key }) {
                try compare(key, in: trace, count, source)
            }
        }
    }

    /// The recorder counted translations of each device, but not all kinds of them: there are at least as many.
    private func checkDevices(_ events: EventStream) throws(CaptureError) {
        let key = "replay_translations_by_device"
        guard let members = document[key]?.members else { return }
        let counts = Self.counts(of: events.translations.map(\.source))
        let named = Dictionary(uniqueKeysWithValues: counts.map { (Self.name(of: $0.key), $0.value) })
        for member in members {
            guard let count = member.value.integer, count >= 0, count <= named[member.key] ?? 0 else {
                throw CaptureError(
                    file: file, line: member.value.line,
                    "\"\(key)\", \"\(member.key)\" is over \(named[member.key] ?? 0), the number of lines")
            }
        }
    }

    /// What the recorder's own trace counted, as far as the stream says it too.
    private static func traceCounts(_ events: EventStream) -> [String: Int] {
        let lines = events.lineCounts
        var counts: [String: Int] = [
            "vtdx_reg_read": lines["R", default: 0], "vtd_reg_write": lines["W", default: 0],
            "vtdx_inv_desc": lines["D", default: 0], "vtdx_xlat": lines["T", default: 0],
            "vtd_irq_generate": lines["G", default: 0], "vtd_ir_remap_msi": lines["I", default: 0],
        ]
        let types: [UInt64: String] = [
            1: "context-cache", 2: "iotlb", 3: "device", 4: "iec", 5: "wait", 6: "p-iotlb",
        ]
        let granularities: [UInt64: String] = [1: "cc", 2: "iotlb", 6: "p-iotlb"]
        for descriptor in events.descriptors {
            let q0 = descriptor.words.q0
            if let type = types[q0 & 0xe0f] { counts["desc " + type, default: 0] += 1 }
            if let kind = granularities[q0 & 0xe0f] { counts["\(kind) gran \(q0 >> 4 & 3)", default: 0] += 1 }
        }
        return counts
    }

    private func checkProbes(_ capture: Capture) throws(CaptureError) {
        guard let probes = document["probes"] else { return }
        let source = "rows of \(capture.probesFile)"
        let faults = capture.probes.filter { $0.answer.fault != 0 }
        try compare("total", in: probes, capture.probes.count, source)
        try compare("fault", in: probes, faults.count, source)
        try compare("xlat", in: probes, capture.probes.count - faults.count, source)
        let codes = Self.counts(of: faults.map { "0x" + String($0.answer.fault, radix: 16) })
        try compare("faults", in: probes, codes, source)
        if let same = probes["equal_to_walker"]?.integer, let different = probes["different"]?.integer {
            guard same &+ different == capture.probes.count else {
                throw CaptureError(
                    file: file, line: probes.line, "\"equal_to_walker\" and \"different\" do not add up to the rows")
            }
        }
    }

    private func compare(_ key: String, _ count: Int, _ source: String) throws(CaptureError) {
        try compare(key, in: document, count, source)
    }

    private func compare(_ key: String, _ counts: [String: Int], _ source: String) throws(CaptureError) {
        try compare(key, in: document, counts, source)
    }

    private func compare(
        _ key: String, in object: JSONValue, _ count: Int, _ source: String
    ) throws(CaptureError) {
        guard let value = object[key] else { return }
        guard value.integer == count else {
            throw CaptureError(file: file, line: value.line, "\"\(key)\" is not \(count), the number of \(source)")
        }
    }

    private func compare(
        _ key: String, in object: JSONValue, _ counts: [String: Int], _ source: String
    ) throws(CaptureError) {
        guard let value = object[key] else { return }
        guard let members = value.members else {
            throw CaptureError(file: file, line: value.line, "\"\(key)\" is not an object")
        }
        for member in members {
            let count = counts[member.key] ?? 0
            guard let stated = member.value.integer, stated == count else {
                throw CaptureError(
                    file: file, line: member.value.line,
                    "\"\(key)\", \"\(member.key)\" is not \(count), the number of \(source)")
            }
        }
        let keys = Set(members.map(\.key))
        if let missing = counts.keys.sorted().first(where: { !keys.contains($0) }) {
            throw CaptureError(
                file: file, line: value.line, "\"\(key)\" lacks \"\(missing)\", which \(source) have")
        }
    }

    private static func counts<Key: Hashable>(of keys: [Key]) -> [Key: Int] {
        keys.reduce(into: [:]) { $0[$1, default: 0] += 1 }
    }

    /// How the recorder groups mappings: `00:07.0 2M RW`.
    private static func label(of row: MappingRow) -> String {
        let sizes: [UInt64: String] = [1 << 12: "4K", 1 << 21: "2M", 1 << 30: "1G"]
        let size = sizes[row.size] ?? String(row.size, radix: 16)
        return "\(name(of: row.source)) \(size) \(row.readable ? "R" : "")\(row.writable ? "W" : "")"
    }

    /// A source id as a PCI address.
    private static func name(of source: UInt16) -> String {
        let bus = String(source >> 8, radix: 16)
        let device = String(source >> 3 & 31, radix: 16)
        let padded = [bus, device].map { $0.count == 1 ? "0" + $0 : $0 }
        return "\(padded[0]):\(padded[1]).\(source & 7)"
    }
}
