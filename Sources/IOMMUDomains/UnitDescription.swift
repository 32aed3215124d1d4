// SPDX-License-Identifier: LGPL-2.1-or-later
//
// UnitDescription - a unit describes itself: a model number, then properties one by one [B-B3]. What the properties are is in
// UnitDescription+Properties.swift.

public import IOMMUCore

/// What a unit is, in a form that outlives versions of this library: a model, and properties with names, types and defaults.
///
/// Newer versions may add properties: a reader skips those that it does not know, and takes the defined default for those that are
/// absent. An incompatible change is a new model, which an older reader refuses.
public struct UnitDescription: Hashable, Sendable {
    /// An architecture, with formats that exclude each other's.
    public struct Model: RawRepresentable, Hashable, Sendable {
        /// The model number.
        public let rawValue: UInt32

        /// Makes a model from any number.
        public init(rawValue: UInt32) {
            self.rawValue = rawValue
        }

        /// VT-d, number 1.
        public static let vtd = Model(rawValue: 1)
        /// SMMUv3, number 2. The engine does not implement it.
        public static let smmuV3 = Model(rawValue: 2)
    }

    /// A property and its value.
    public struct Property: Hashable, Sendable {
        /// The name, lower case with underscores.
        public var name: String
        /// The value.
        public var value: Value

        /// Makes a property. Whether it has a meaning shows when a description is made of it.
        public init(_ name: String, _ value: Value) {
            self.name = name
            self.value = value
        }
    }

    /// A value of one of the types that properties have.
    public enum Value: Hashable, Sendable {
        /// A register of 64 bits.
        case register(UInt64)
        /// A number.
        case number(UInt64)
        /// Yes or no.
        case flag(Bool)
        /// Some of a set of names, in the order of their definition.
        case names([String])
    }

    /// What the unit offers.
    public let capabilities: Capabilities

    /// The model.
    public var model: Model { .vtd }

    /// Describes a unit with these capabilities.
    public init(_ capabilities: Capabilities) {
        self.capabilities = capabilities
    }

    /// Reads a description. Unknown properties are skipped, absent ones take their default, and what follows from the registers
    /// may be absent but not contradict them.
    ///
    /// - Throws: ``IOMMUError/unsupported`` for a model or a revision that the engine does not implement;
    ///   ``IOMMUError/invalidArgument`` for a property of another type or named twice; ``IOMMUError/inconsistent`` for properties or
    ///   capability fields that contradict each other. ``IOMMUError/detail`` says which.
    public init(model: Model, properties: [Property]) throws(IOMMUError) {
        guard model == .vtd else {
            throw .unsupported.with(detail: "a unit of model \(model); this version knows model \(Model.vtd)")
        }
        var given: [String: Value] = [:]
        for property in properties {
            guard given.updateValue(property.value, forKey: property.name) == nil else {
                throw .invalidArgument.with(detail: "property \(property.name) is there twice")
            }
        }
        try self.init(given)
    }

    /// Every property with its value, in the order of ``definitions``.
    public var properties: [Property] {
        Self.definitions.map { Property($0.name, $0.value(capabilities)) }
    }

    /// The value of a property; nil for a name that is not defined.
    public subscript(name: String) -> Value? {
        Self.definitions.first { $0.name == name }?.value(capabilities)
    }
}

extension RemappingUnit {
    /// What this unit is.
    public var unitDescription: UnitDescription {
        UnitDescription(capabilities)
    }
}

extension UnitDescription.Model: CustomStringConvertible {
    /// The number, with the name of the architecture where it is known: `1 (VT-d)`.
    public var description: String {
        switch self {
        case .vtd: "1 (VT-d)"
        case .smmuV3: "2 (SMMUv3)"
        default: String(rawValue)
        }
    }
}

extension UnitDescription.Value: CustomStringConvertible {
    /// The value: registers in hexadecimal, numbers in decimal, `yes` or `no`, names separated by commas.
    public var description: String {
        switch self {
        case .register(let value): "0x" + String(value, radix: 16)
        case .number(let value): String(value)
        case .flag(let value): value ? "yes" : "no"
        case .names(let names): names.isEmpty ? "none" : names.joined(separator: ", ")
        }
    }
}
