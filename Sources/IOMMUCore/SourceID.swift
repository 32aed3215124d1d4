// SPDX-License-Identifier: LGPL-2.1-or-later
//
// SourceID - who asks: the requester id that a request carries on the bus.

/// The source id of a request. VT-d uses 16 bits, bus, device and function of PCI; wider values are for architectures to come.
///
/// A unit refuses a request whose source is wider than its architecture allows with ``IOMMUError/invalidArgument``.
public struct SourceID: RawRepresentable, Hashable, Comparable, Sendable {
    /// The id: for PCI bus in bits 15:8, device in 7:3, function in 2:0.
    public let rawValue: UInt32

    /// Makes a source id from any 32-bit value.
    @inlinable
    public init(rawValue: UInt32) {
        self.rawValue = rawValue
    }

    /// Makes a source id from any 32-bit value.
    @inlinable
    public init(_ rawValue: UInt32) {
        self.rawValue = rawValue
    }

    /// Makes a source id from a PCI address.
    ///
    /// - Precondition: `device` is at most 31 and `function` at most 7.
    public init(bus: UInt8, device: UInt8, function: UInt8) {
        precondition(device < 32, "a PCI device number has 5 bits")
        precondition(function < 8, "a PCI function number has 3 bits")
        self.init(UInt32(bus) << 8 | UInt32(device) << 3 | UInt32(function))
    }

    /// Reads `bus:device.function` (`"00:07.0"`, hexadecimal, function 0 to 7) or one hexadecimal number with up to eight digits
    /// (`"0038"`, `"0x38"`). Nil for anything else.
    public init?(_ text: String) {
        guard let value = Self.parsePCI(text) ?? Self.parseNumber(text) else { return nil }
        self.init(value)
    }

    /// PCI bus number, bits 15:8.
    @inlinable
    public var bus: UInt8 { UInt8(truncatingIfNeeded: rawValue >> 8) }

    /// PCI device number, bits 7:3.
    @inlinable
    public var device: UInt8 { UInt8(truncatingIfNeeded: rawValue >> 3 & 31) }

    /// PCI function number, bits 2:0.
    @inlinable
    public var function: UInt8 { UInt8(truncatingIfNeeded: rawValue & 7) }

    /// Orders by value.
    @inlinable
    public static func < (left: SourceID, right: SourceID) -> Bool {
        left.rawValue < right.rawValue
    }

    private static func parsePCI(_ text: String) -> UInt32? {
        let halves = text.split(separator: ":", omittingEmptySubsequences: false)
        guard halves.count == 2 else { return nil }
        let parts = halves[1].split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 2,
            let bus = hexadecimal(halves[0], digits: 2),
            let device = hexadecimal(parts[0], digits: 2), device < 32,
            let function = hexadecimal(parts[1], digits: 1), function < 8
        else { return nil }
        return bus << 8 | device << 3 | function
    }

    private static func parseNumber(_ text: String) -> UInt32? {
        hexadecimal(text.hasPrefix("0x") ? text.dropFirst(2) : text[...], digits: 8)
    }

    /// The integer initialiser alone would let a sign through.
    private static func hexadecimal(_ text: Substring, digits: Int) -> UInt32? {
        guard text.utf8.count <= digits, text.allSatisfy({ $0.isASCII && $0.isHexDigit }) else { return nil }
        return UInt32(text, radix: 16)
    }
}

extension SourceID: CustomStringConvertible {
    /// `bus:device.function` in hexadecimal, such as `00:07.0`; a bare hexadecimal number if there are more than 16 bits.
    public var description: String {
        guard rawValue <= 0xffff else { return String(rawValue, radix: 16) }
        return Self.padded(bus) + ":" + Self.padded(device) + "." + String(function)
    }

    private static func padded(_ value: UInt8) -> String {
        (value < 16 ? "0" : "") + String(value, radix: 16)
    }
}
