// SPDX-License-Identifier: LGPL-2.1-or-later
//
// IOVA - the address a device puts on the bus: the input of every translation.

/// An input address: what a device asks for, before translation. In bytes, any 64-bit value.
///
/// Distinct from ``OutputAddress`` so that the two cannot be mixed up.
public struct IOVA: RawRepresentable, Hashable, Comparable, Sendable {
    /// The address in bytes.
    public let rawValue: UInt64

    /// Makes an input address from any 64-bit value.
    @inlinable
    public init(rawValue: UInt64) {
        self.rawValue = rawValue
    }

    /// Makes an input address from any 64-bit value.
    @inlinable
    public init(_ rawValue: UInt64) {
        self.rawValue = rawValue
    }

    /// The lowest input address.
    @inlinable
    public static var min: IOVA { IOVA(0) }

    /// The highest input address.
    @inlinable
    public static var max: IOVA { IOVA(.max) }

    /// Orders by address.
    @inlinable
    public static func < (left: IOVA, right: IOVA) -> Bool {
        left.rawValue < right.rawValue
    }
}

extension IOVA: ExpressibleByIntegerLiteral {
    /// Makes an input address from a literal such as `0x1000`.
    @inlinable
    public init(integerLiteral value: UInt64) {
        self.init(value)
    }
}

extension IOVA: CustomStringConvertible {
    /// The address in hexadecimal, such as `0x1000`.
    public var description: String {
        "0x" + String(rawValue, radix: 16)
    }
}
