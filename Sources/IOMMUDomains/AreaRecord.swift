// SPDX-License-Identifier: LGPL-2.1-or-later
//
// AreaRecord - one area as the table of a space keeps it: compact, because there may be hundreds of thousands.

package import IOMMUCore

/// A run of mapped input addresses with one backing and one set of rights.
package struct AreaRecord: Sendable {
    /// What backs an area.
    package enum Source: UInt8, Sendable {
        case host, file, output
    }

    /// First and last input address, inclusive.
    package var first: UInt64
    package var last: UInt64
    /// Output address of `first`.
    package var output: UInt64
    /// Address of `first` in the host's own memory; 0 when the space does not know it.
    package var host: UInt
    /// The library's registration behind it, of which each record is one user. Nil: the host's own, or none.
    package var placement: MemoryPlacement?
    package var rights: AccessRights
    /// How many pins touch it.
    package var pins: UInt32 = 0
    package var source: Source
    /// The backing permits writing.
    package var isWritable: Bool
    /// The unmap that waits for its pins, 0 if none: nobody else may change, pin or copy it.
    package var leavingFor: UInt32 = 0

    package init(
        first: UInt64, last: UInt64, output: UInt64, host: UInt = 0, placement: MemoryPlacement? = nil,
        rights: AccessRights, source: Source = .output, isWritable: Bool = true
    ) {
        self.first = first
        self.last = last
        self.output = output
        self.host = host
        self.placement = placement
        self.rights = rights
        self.source = source
        self.isWritable = isWritable
    }

    /// Bytes; an area never covers all 2^64.
    package var length: UInt64 { last - first + 1 }

    /// The part from `newFirst` to `newLast`, both inside. Its pins are the whole's: the caller counts them anew.
    package func part(_ newFirst: UInt64, _ newLast: UInt64) -> AreaRecord {
        let skipped = broken(.partKeepsOutput) ? 0 : newFirst - first
        var part = self
        part.first = newFirst
        part.last = newLast
        part.output = output &+ skipped
        part.host = host == 0 ? 0 : host &+ UInt(skipped)
        return part
    }

    /// The area in words, for errors.
    package var name: String { "the area \(addressRange(first, last))" }
}

/// A range in hexadecimal, such as `0x1000...0x1fff`.
package func addressRange(_ first: UInt64, _ last: UInt64) -> String {
    "0x\(String(first, radix: 16))...0x\(String(last, radix: 16))"
}
