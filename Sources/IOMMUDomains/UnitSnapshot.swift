// SPDX-License-Identifier: LGPL-2.1-or-later
//
// UnitSnapshot - what a host set up in a unit, as a value: to be stored, sent elsewhere and set up again. Taking one:
// UnitSnapshot+Take.swift; setting it up: +Restore; what is refused before: +Check.

internal import IOMMUCore

/// Everything that a host set up in a unit: devices with their attachments and bound tables, domains with the spaces they follow,
/// PASID namespaces. What is only cached is not in it, nor what belongs to the guest (root table and translation switch, which the
/// host sets again), nor the memory map.
///
/// Objects refer to each other by position. `Codable`, with a version: data of a newer version is refused.
public struct UnitSnapshot: Hashable, Sendable {
    /// The version that is written, and the newest that is read.
    public static let version = 1

    /// What the unit was.
    public var description: UnitDescription
    /// The spaces that its paging domains follow, in the order of the first domain over each.
    public var spaces: [SpaceRecord]
    /// Its paging and nested domains, in the order of their making: a parent before its children.
    public var domains: [DomainRecord]
    /// Its devices, in the order of their making.
    public var devices: [DeviceRecord]
    /// Its PASID namespaces, in the order of their making.
    public var namespaces: [NamespaceRecord]

    /// Makes a snapshot from its parts; they are checked when it is restored.
    public init(
        description: UnitDescription, spaces: [SpaceRecord] = [], domains: [DomainRecord] = [],
        devices: [DeviceRecord] = [], namespaces: [NamespaceRecord] = []
    ) {
        self.description = description
        self.spaces = spaces
        self.domains = domains
        self.devices = devices
        self.namespaces = namespaces
    }
}

extension UnitSnapshot: Codable {
    private enum Key: String, CodingKey {
        case version, unit, spaces, domains, devices, namespaces
    }

    /// Reads a snapshot. Whether its parts fit together shows when it is restored.
    ///
    /// - Throws: ``IOMMUError/unsupported`` for a newer version or an unknown model; `DecodingError` for what is no snapshot.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: Key.self)
        let version = try container.decode(Int.self, forKey: .version)
        guard (1...Self.version).contains(version) else {
            throw IOMMUError.unsupported.with(
                detail: "a snapshot of version \(version); this version of the library reads 1 to \(Self.version)")
        }
        description = try container.decode(UnitDescription.self, forKey: .unit)
        spaces = try container.decode([SpaceRecord].self, forKey: .spaces)
        domains = try container.decode([DomainRecord].self, forKey: .domains)
        devices = try container.decode([DeviceRecord].self, forKey: .devices)
        namespaces = try container.decode([NamespaceRecord].self, forKey: .namespaces)
    }

    /// Writes the snapshot.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: Key.self)
        try container.encode(Self.version, forKey: .version)
        try container.encode(description, forKey: .unit)
        try container.encode(spaces, forKey: .spaces)
        try container.encode(domains, forKey: .domains)
        try container.encode(devices, forKey: .devices)
        try container.encode(namespaces, forKey: .namespaces)
    }
}
