// SPDX-License-Identifier: LGPL-2.1-or-later
//
// RecordedAnswer - what the recorder answered to one request.

/// The recorder's answer to a translation.
public struct RecordedAnswer: Hashable, Sendable {
    /// Output address of the page; 0 for a fault.
    public let outputBase: UInt64
    /// Page size - 1; 0 for a fault.
    public let mask: UInt64
    /// Bit 0 read, bit 1 write; 0 for a fault.
    public let rights: UInt8
    /// The fault code; 0 for a translation.
    public let fault: UInt8
    /// Translation was disabled.
    public let isDisabled: Bool

    /// Makes an answer from its parts.
    public init(outputBase: UInt64, mask: UInt64, rights: UInt8, fault: UInt8, isDisabled: Bool) {
        self.outputBase = outputBase
        self.mask = mask
        self.rights = rights
        self.fault = fault
        self.isDisabled = isDisabled
    }

    /// A translation whose rights do not include what was asked, which the recorder does on a hit in its IOTLB.
    public func lacksRight(forWrite isWrite: Bool) -> Bool {
        fault == 0 && rights & (isWrite ? 2 : 1) == 0
    }

    /// What every answer of the recorder has.
    func check(_ reader: LineReader) throws(CaptureError) {
        if fault != 0 {
            guard outputBase == 0, mask == 0, rights == 0 else {
                throw reader.error("a fault comes with an address, a mask or rights")
            }
            return
        }
        guard mask & 0xfff == 0xfff, mask & (mask &+ 1) == 0 else {
            throw reader.error("the mask 0x\(String(mask, radix: 16)) is not a page size - 1")
        }
        guard outputBase & mask == 0 else { throw reader.error("the output address is not the start of a page") }
    }
}

extension RecordedAnswer: CustomStringConvertible {
    /// The answer in one line.
    public var description: String {
        guard fault == 0 else { return "fault 0x" + String(fault, radix: 16) }
        let letters = [(rights & 1 != 0 ? "R" : ""), (rights & 2 != 0 ? "W" : "")].joined()
        let page = "0x\(String(outputBase, radix: 16)) mask 0x\(String(mask, radix: 16))"
        return page + " " + (letters.isEmpty ? "none" : letters) + (isDisabled ? " (translation off)" : "")
    }
}
