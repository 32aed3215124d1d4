// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Addresses and ids as data. 64-bit values are hexadecimal strings, because many readers of JSON keep 53 bits of a number; they
// are read from numbers too.

extension IOVA: Codable {
    /// Reads `"0x1000"` or a number.
    public init(from decoder: any Decoder) throws {
        self.init(try UInt64(hexadecimalFrom: decoder))
    }

    /// Writes `"0x1000"`.
    public func encode(to encoder: any Encoder) throws {
        try rawValue.encodeHexadecimal(to: encoder)
    }
}

extension OutputAddress: Codable {
    /// Reads `"0x1000"` or a number.
    public init(from decoder: any Decoder) throws {
        self.init(try UInt64(hexadecimalFrom: decoder))
    }

    /// Writes `"0x1000"`.
    public func encode(to encoder: any Encoder) throws {
        try rawValue.encodeHexadecimal(to: encoder)
    }
}

extension DeviceID: Codable {
    /// Reads `"0x1000"` or a number.
    public init(from decoder: any Decoder) throws {
        self.init(try UInt64(hexadecimalFrom: decoder))
    }

    /// Writes `"0x1000"`.
    public func encode(to encoder: any Encoder) throws {
        try rawValue.encodeHexadecimal(to: encoder)
    }
}

/// As a number of 32 bits.
extension SourceID: Codable {}

/// As a number, which is refused when it has more than 20 bits.
extension PASID: Codable {}

/// As the number that its bits are.
extension AccessRights: Codable {}

extension UInt64 {
    /// Reads `"0x1000"` or a number.
    package init(hexadecimalFrom decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        if let value = try? container.decode(UInt64.self) {
            self = value
            return
        }
        let text = try container.decode(String.self)
        guard let value = UInt64(hexadecimal: text) else {
            throw DecodingError.dataCorruptedError(
                in: container, debugDescription: "\"\(text)\" is not a hexadecimal number such as 0x1000")
        }
        self = value
    }

    /// Reads `0x` and up to 16 hexadecimal digits. The integer initialiser alone would let a sign through.
    package init?(hexadecimal text: String) {
        let digits = text.utf8.dropFirst(2)
        guard text.hasPrefix("0x"), (1...16).contains(digits.count), digits.allSatisfy({ $0 != UInt8(ascii: "+") }),
            let value = UInt64(text.dropFirst(2), radix: 16)
        else { return nil }
        self = value
    }

    /// Writes `"0x1000"`.
    package func encodeHexadecimal(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode("0x" + String(self, radix: 16))
    }
}
