// SPDX-License-Identifier: LGPL-2.1-or-later
//
// EntryLayout - the fields of every table entry by name [FORMATS-VTD A2 to A8]. For people to read; the engine has its own.

internal import IOMMU

/// A field of an entry.
struct EntryField: Sendable {
    /// How a value reads best.
    enum Style: Sendable {
        /// A number in decimal.
        case number
        /// Address bits in their place, in hexadecimal.
        case address
        /// Bits in hexadecimal.
        case bits
    }

    let name: String
    let word: Int
    let low: UInt64
    let width: UInt64
    let style: Style

    init(_ name: String, _ low: UInt64, _ width: UInt64 = 1, word: Int = 0, _ style: Style = .number) {
        self.name = name
        self.word = word
        self.low = low
        self.width = width
        self.style = style
    }

    /// Bits 63:12, or fewer, as an address.
    static func address(_ name: String, to high: UInt64 = 63, word: Int = 0) -> EntryField {
        EntryField(name, 12, high - 11, word: word, .address)
    }

    /// The bits that the field takes in its word.
    var mask: UInt64 {
        (width == 64 ? .max : (1 << width) - 1) << low
    }

    /// The value as text.
    func text(in word: UInt64) -> String {
        switch style {
        case .number: String((word & mask) >> low)
        case .address: "0x" + String(word & mask, radix: 16)
        case .bits: "0x" + String((word & mask) >> low, radix: 16)
        }
    }
}

/// The fields of the kinds of entries.
enum EntryLayout {
    /// The fields of an entry that a walk read, in the order of their bits.
    static func fields(of step: WalkStep) -> [EntryField] {
        switch step.table {
        case .root: root
        // The halves are one entry of 16 bytes; a walk may read only the one that it needs.
        case .scalableRoot where step.words.count > 1: lowerRoot + upperRoot(word: 1)
        case .scalableRoot: step.address.rawValue & 8 == 0 ? lowerRoot : upperRoot(word: 0)
        case .context: context
        case .scalableContext: scalableContext
        case .pasidDirectory: pasidDirectory
        case .pasid: pasid
        case .firstStage: firstStage
        case .secondStage: secondStage
        }
    }

    private static let root: [EntryField] = [EntryField("P", 0), .address("CTP")]
    private static let lowerRoot: [EntryField] = [EntryField("LP", 0), .address("LCTP")]

    private static func upperRoot(word: Int) -> [EntryField] {
        [EntryField("UP", 0, word: word), .address("UCTP", word: word)]
    }

    private static let context: [EntryField] = [
        EntryField("P", 0), EntryField("FPD", 1), EntryField("TT", 2, 2), .address("SSPTPTR"),
        EntryField("AW", 0, 3, word: 1), EntryField("DID", 8, 16, word: 1),
    ]

    private static let scalableContext: [EntryField] = [
        EntryField("P", 0), EntryField("FPD", 1), EntryField("DTE", 2), EntryField("PASIDE", 3), EntryField("PRE", 4),
        EntryField("PDTS", 9, 3), .address("PASIDDIRPTR"),
        EntryField("RID_PASID", 0, 20, word: 1), EntryField("RID_PRIV", 20, word: 1),
    ]

    private static let pasidDirectory: [EntryField] = [EntryField("P", 0), EntryField("FPD", 1), .address("SMPTBLPTR")]

    private static let pasid: [EntryField] = [
        EntryField("P", 0), EntryField("FPD", 1), EntryField("AW", 2, 3), EntryField("SSEE", 5),
        EntryField("PGTT", 6, 3), EntryField("SSADE", 9), .address("SSPTPTR"),
        EntryField("DID", 0, 16, word: 1), EntryField("PWSNP", 23, word: 1), EntryField("PGSNP", 24, word: 1),
        EntryField("CD", 25, word: 1), EntryField("EMTE", 26, word: 1), EntryField("EMT", 27, 3, word: 1),
        EntryField("PWT", 30, word: 1), EntryField("PCD", 31, word: 1), EntryField("PAT", 32, 32, word: 1, .bits),
        EntryField("SRE", 0, word: 2), EntryField("ERE", 1, word: 2), EntryField("FSPM", 2, 2, word: 2),
        EntryField("WPE", 4, word: 2), EntryField("NXE", 5, word: 2), EntryField("SMEP", 6, word: 2),
        EntryField("EAFE", 7, word: 2), .address("FSPTPTR", word: 2),
    ]

    private static let firstStage: [EntryField] = [
        EntryField("P", 0), EntryField("R/W", 1), EntryField("U/S", 2), EntryField("PWT", 3), EntryField("PCD", 4),
        EntryField("A", 5), EntryField("D", 6), EntryField("PS", 7), EntryField("G", 8), EntryField("EA", 10),
        .address("ADDR", to: 51), EntryField("XD", 63),
    ]

    private static let secondStage: [EntryField] = [
        EntryField("R", 0), EntryField("W", 1), EntryField("X", 2), EntryField("EMT", 3, 3), EntryField("IPAT", 6),
        EntryField("PS", 7), EntryField("A", 8), EntryField("D", 9), EntryField("SNP", 11), .address("ADDR", to: 51),
    ]
}

extension WalkStep {
    /// The fields by name with their values, then what bits are set besides.
    var fields: [(name: String, value: String)] {
        let layout = EntryLayout.fields(of: self).filter { $0.word < words.count }
        var list = layout.map { (name: $0.name, value: $0.text(in: words[$0.word])) }
        for (index, word) in words.enumerated() {
            let named = layout.filter { $0.word == index }.reduce(0) { $0 | $1.mask }
            guard word & ~named != 0 else { continue }
            let name = words.count == 1 ? "other bits" : "other bits of word \(index)"
            list.append((name, "0x" + String(word & ~named, radix: 16)))
        }
        return list
    }

    /// The table's name, with the level of a paging structure and what one of its entries spans.
    var title: String {
        guard let level else { return "\(table)" }
        let spans = ["4 KiB", "2 MiB", "1 GiB", "512 GiB", "256 TiB"]
        return "\(table) level \(level)" + (level < spans.count ? " (\(spans[level]) an entry)" : "")
    }
}
