// SPDX-License-Identifier: LGPL-2.1-or-later
//
// FaultText - fault-recording registers in words [FORMATS-VTD B7, E].

internal import IOMMUCore

/// A fault record's halves.
enum FaultText {
    /// AT of a record.
    static let addressTypes = ["untranslated", "translation request", "translated", "reserved"]

    /// Name and condition of a fault reason, such as `LRT.2: root entry not present`.
    static func meaning(of code: UInt64) -> String {
        let fault = Fault(
            reason: .none, code: UInt32(truncatingIfNeeded: code), source: SourceID(0), access: [], address: IOVA(0))
        return fault.codeName.isEmpty ? "not a code of this unit" : "\(fault.codeName): \(fault.codeText)"
    }

    /// Bit 63: software has not cleared it.
    static func isPending(_ high: UInt64) -> Bool { high >> 63 == 1 }

    static func source(_ high: UInt64) -> SourceID { SourceID(UInt32(truncatingIfNeeded: high & 0xffff)) }

    /// Nil without PP.
    static func pasid(_ high: UInt64) -> UInt64? { high >> 31 & 1 == 1 ? high >> 40 & 0xf_ffff : nil }

    static func code(_ high: UInt64) -> UInt64 { high >> 32 & 0xff }

    /// Codes of interrupt remapping: the record has an index of its table, and neither a type nor an address.
    static func isInterrupt(_ high: UInt64) -> Bool { code(high) >> 4 == 2 }

    /// What was asked for, such as `write, execute, supervisor, translated`.
    static func request(_ high: UInt64) -> String {
        guard !isInterrupt(high) else { return "interrupt request" }
        let types = ["write", "page request", "read", "atomic"]
        var words = [types[Int(high >> 62 & 1) << 1 | Int(high >> 28 & 1)]]
        if high >> 30 & 1 == 1 { words.append("execute") }
        if high >> 29 & 1 == 1 { words.append("supervisor") }
        words.append(addressTypes[Int(high >> 60 & 3)])
        return words.joined(separator: ", ")
    }

    /// The input address, or of an interrupt request the index of its entry.
    static func place(low: UInt64, high: UInt64) -> String {
        isInterrupt(high) ? "table entry \(low >> 48)" : "address \(hexadecimal(low & ~0xfff))"
    }
}
