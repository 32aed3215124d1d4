// SPDX-License-Identifier: LGPL-2.1-or-later
//
// OutputAddress - what a translation answers and where guest tables lie: a guest-physical address of the VM.

/// An output address of a unit: in a virtual machine, a guest-physical address. In bytes, any 64-bit value.
///
/// ``GuestMemory`` says which host memory backs it. Distinct from ``IOVA`` so that the two cannot be mixed up.
public struct OutputAddress: RawRepresentable, Hashable, Comparable, Sendable {
    /// The address in bytes.
    public let rawValue: UInt64

    /// Makes an output address from any 64-bit value.
    @inlinable
    public init(rawValue: UInt64) {
        self.rawValue = rawValue
    }

    /// Makes an output address from any 64-bit value.
    @inlinable
    public init(_ rawValue: UInt64) {
        self.rawValue = rawValue
    }

    /// Orders by address.
    @inlinable
    public static func < (left: OutputAddress, right: OutputAddress) -> Bool {
        left.rawValue < right.rawValue
    }
}

extension OutputAddress: ExpressibleByIntegerLiteral {
    /// Makes an output address from a literal such as `0x1000`.
    @inlinable
    public init(integerLiteral value: UInt64) {
        self.init(value)
    }
}

extension OutputAddress: CustomStringConvertible {
    /// The address in hexadecimal, such as `0x1000`.
    public var description: String {
        "0x" + String(rawValue, radix: 16)
    }
}
