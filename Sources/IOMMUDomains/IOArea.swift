// SPDX-License-Identifier: LGPL-2.1-or-later
//
// IOArea - what a host sees of an area.

public import IOMMUCore

// @safe: the host address is handed out as a pointer only by a property that is marked unsafe.
/// One area of an ``IOAddressSpace``: a run of input addresses with one backing and one set of rights, as it was when
/// asked for.
@safe
public struct IOArea: Hashable, Sendable {
    /// What backs an area.
    public enum Backing: Hashable, Sendable {
        /// Host memory.
        case host
        /// A file, from this offset in bytes on.
        case file(offset: UInt64)
        /// Output addresses that the host named.
        case output
    }

    /// The first input address.
    public let first: IOVA
    /// The last input address, inclusive.
    public let last: IOVA
    /// Where ``first`` leads.
    public let output: OutputAddress
    /// What devices may do with it.
    public let rights: AccessRights
    /// What backs it.
    public let backing: Backing
    /// Pins that touch it now.
    public let pinCount: Int

    private let hostAddress: UInt

    /// Bytes.
    public var length: UInt64 { last.rawValue - first.rawValue + 1 }

    /// Where ``first`` lies in the host's memory; nil for a backing by output addresses.
    ///
    /// Unsafe: valid as long as the area exists, which a pin (``IOAccessor``) ensures.
    @unsafe
    public var host: UnsafeMutableRawPointer? {
        unsafe UnsafeMutableRawPointer(bitPattern: hostAddress)
    }

    init(_ record: borrowing AreaRecord) {
        first = IOVA(record.first)
        last = IOVA(record.last)
        output = OutputAddress(record.output)
        rights = record.rights
        pinCount = Int(record.pins)
        hostAddress = record.host
        backing =
            switch record.source {
            case .host: .host
            case .output: .output
            case .file: .file(offset: (record.placement?.keeper as? FileMapping)?.offset(of: record.host) ?? 0)
            }
    }
}

extension IOArea: CustomStringConvertible {
    /// One line: input addresses, output address, rights, backing.
    public var description: String {
        let from =
            switch backing {
            case .host: "host memory"
            case .file(let offset): "file at 0x\(String(offset, radix: 16))"
            case .output: "output addresses"
            }
        return "\(first)...\(last) -> \(output) \(rights) (\(from))"
    }
}
