// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A description as data: {"model": 1, "properties": {"cap": "0x...", "revision": 4, "nesting": true, ...}}. Registers are
// hexadecimal strings, because many readers of JSON keep 53 bits of a number.

internal import IOMMUCore

extension UnitDescription: Codable {
    private enum Key: String, CodingKey {
        case model, properties
    }

    /// The name of a property.
    private struct Name: CodingKey {
        let stringValue: String
        var intValue: Int? { nil }

        init(_ name: String) { stringValue = name }
        init?(stringValue: String) { self.stringValue = stringValue }
        init?(intValue: Int) { nil }
    }

    /// Reads a description.
    ///
    /// - Throws: What ``init(model:properties:)`` throws; `DecodingError` for what is no description at all.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: Key.self)
        let model = try container.decode(Model.self, forKey: .model)
        guard model == .vtd, container.contains(.properties) else {
            try self.init(model: model, properties: [])
            return
        }
        let values = try container.nestedContainer(keyedBy: Name.self, forKey: .properties)
        var given: [Property] = []
        for definition in Self.definitions where values.contains(Name(definition.name)) {
            let name = Name(definition.name)
            let value: Value =
                switch definition.type {
                case .register: .register(try Self.register(values, name))
                case .number: .number(try values.decode(UInt64.self, forKey: name))
                case .flag: .flag(try values.decode(Bool.self, forKey: name))
                case .names: .names(try values.decode([String].self, forKey: name))
                }
            given.append(Property(definition.name, value))
        }
        try self.init(model: model, properties: given)
    }

    /// Writes every property.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: Key.self)
        try container.encode(model, forKey: .model)
        var values = container.nestedContainer(keyedBy: Name.self, forKey: .properties)
        for property in properties {
            let name = Name(property.name)
            switch property.value {
            case .register: try values.encode("\(property.value)", forKey: name)
            case .number(let value): try values.encode(value, forKey: name)
            case .flag(let value): try values.encode(value, forKey: name)
            case .names(let value): try values.encode(value, forKey: name)
            }
        }
    }

    /// A hexadecimal string with `0x`; or a number, as people write it.
    private static func register(_ values: KeyedDecodingContainer<Name>, _ name: Name) throws -> UInt64 {
        if let value = try? values.decode(UInt64.self, forKey: name) { return value }
        let text = try values.decode(String.self, forKey: name)
        guard let value = UInt64(hexadecimal: text) else {
            throw DecodingError.dataCorruptedError(
                forKey: name, in: values, debugDescription: "\"\(text)\" is not a register such as 0x260200")
        }
        return value
    }
}

extension UnitDescription.Model: Codable {
    /// Reads the number.
    public init(from decoder: any Decoder) throws {
        self.init(rawValue: try decoder.singleValueContainer().decode(UInt32.self))
    }

    /// Writes the number.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(rawValue)
    }
}
