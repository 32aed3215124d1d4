// SPDX-License-Identifier: LGPL-2.1-or-later
//
// DeviceID - the host's own name for a device. The engine only hands it back.

/// What a host calls a device: any 64-bit value, unique in a unit, such as an index or a pointer of the host.
///
/// Several devices may share a ``SourceID`` (SIOV); faults and errors name the device by this [B-A4].
public struct DeviceID: RawRepresentable, Hashable, Comparable, Sendable {
    /// The host's value.
    public let rawValue: UInt64

    /// Makes an id from any 64-bit value.
    @inlinable
    public init(rawValue: UInt64) {
        self.rawValue = rawValue
    }

    /// Makes an id from any 64-bit value.
    @inlinable
    public init(_ rawValue: UInt64) {
        self.rawValue = rawValue
    }

    /// Orders by value.
    @inlinable
    public static func < (left: DeviceID, right: DeviceID) -> Bool {
        left.rawValue < right.rawValue
    }
}

extension DeviceID: ExpressibleByIntegerLiteral {
    /// Makes an id from a literal.
    @inlinable
    public init(integerLiteral value: UInt64) {
        self.init(value)
    }
}

extension DeviceID: CustomStringConvertible {
    /// The value in decimal.
    public var description: String {
        String(rawValue)
    }
}
