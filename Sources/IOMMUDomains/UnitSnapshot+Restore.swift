// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Setting up again what a snapshot recorded. Everything is held by one value until all of it stands: when something fails, that
// value goes, and with it every object.

public import IOMMUCore

extension UnitSnapshot {
    /// What a restore made. The host keeps what it wants to keep; what nothing refers to goes.
    public struct Restored: Sendable {
        /// The spaces, by their position in the snapshot.
        public fileprivate(set) var spaces: [IOAddressSpace] = []
        /// The host's reservations of each space, by their position in it: to take them back with.
        public fileprivate(set) var reservations: [[IOReservation]] = []
        /// The domains, by their position in the snapshot.
        public fileprivate(set) var domains: [Domain] = []
        /// The devices, by their id.
        public fileprivate(set) var devices: [DeviceID: Device] = [:]
        /// The namespaces, by their position in the snapshot.
        public fileprivate(set) var namespaces: [PASIDNamespace] = []
    }

    /// Sets up in an empty unit what the snapshot says. Nobody else may make anything in the unit meanwhile, and no section of a port
    /// may be open.
    ///
    /// - Parameters:
    ///   - unit: A unit in which the host has made nothing, or everything is gone again.
    ///   - limits: What to build at most.
    ///   - source: Says what an area is to be made of now; nil for the recorded output address. Called once an area.
    /// - Returns: The objects.
    /// - Throws: ``IOMMUError/inUse`` for a unit that is not empty; ``IOMMUError/unsupported`` for one that offers less than the
    ///   recorded one, with what is missing; what ``check(limits:)`` throws; what `source` throws; and what making the objects throws.
    ///   ``IOMMUError/detail`` says for which. The unit is empty then.
    public func restore(
        into unit: RemappingUnit, limits: Limits = Limits(), source: (AreaRecord) throws -> AreaSource? = { _ in nil }
    ) throws -> Restored {
        try check(limits: limits)
        try Self.checkIsEmpty(unit)
        if let shortfall = unit.capabilities.shortfall(for: description.capabilities) {
            throw IOMMUError.unsupported.with(detail: "the unit cannot stand in for the recorded one: \(shortfall)")
        }
        var restored = Restored()
        for (index, record) in spaces.enumerated() {
            try Self.within("spaces[\(index)]") { try restored.add(record, unit, source) }
        }
        for (index, record) in domains.enumerated() {
            try Self.within("domains[\(index)]") { try restored.add(record, unit) }
        }
        for (index, record) in devices.enumerated() {
            try Self.within("devices[\(index)]") { try restored.add(record, unit) }
        }
        // After all devices: a slice is the slice's before its parent attaches anything.
        for (index, record) in devices.enumerated() {
            try Self.within("devices[\(index)]") { try restored.connect(record, unit) }
        }
        for (index, record) in namespaces.enumerated() {
            try Self.within("namespaces[\(index)]") { try restored.add(record, unit) }
        }
        for (index, record) in domains.enumerated() {
            try Self.within("domains[\(index)]") { try restored.track(record, index) }
        }
        return restored
    }

    private static func checkIsEmpty(_ unit: RemappingUnit) throws(IOMMUError) {
        let registry = unit.registry
        let domains = registry.domains.all.filter { $0.kind == .paging || $0.kind == .nested }
        for (what, count) in [
            ("devices", registry.devices.all.count), ("domains", domains.count),
            ("PASID namespaces", registry.namespaces.all.count),
        ] where count > 0 {
            throw .inUse.with(detail: "the unit has \(count) \(what)")
        }
    }

    /// Adds to errors of this library which part of the snapshot they are about.
    private static func within(_ place: String, _ body: () throws -> Void) throws {
        do {
            try body()
        } catch let error as IOMMUError {
            throw error.with(detail: place + (error.detail.map { ": " + $0 } ?? ""))
        }
    }
}

extension UnitSnapshot.Restored {
    fileprivate mutating func add(
        _ record: UnitSnapshot.SpaceRecord, _ unit: RemappingUnit,
        _ source: (UnitSnapshot.AreaRecord) throws -> AreaSource?
    ) throws {
        let space = try IOAddressSpace(
            memory: unit.memory, granule: record.granule,
            automaticOutput: record.firstAutomaticOutput...record.lastAutomaticOutput)
        // Areas first: those that were there when the allowed list came may lie outside of it.
        for area in record.areas {
            let length = area.last.rawValue - area.first.rawValue + 1
            _ = try space.map(
                try source(area) ?? .output(area.output), length: length, at: area.first, rights: area.rights)
        }
        if !record.allowed.isEmpty {
            try space.allow(record.allowed.map { $0.first...$0.last })
        }
        reservations.append(try space.reserve(record.reserved.map { ($0.first...$0.last, $0.reason) }))
        spaces.append(space)
    }

    fileprivate mutating func add(_ record: UnitSnapshot.DomainRecord, _ unit: RemappingUnit) throws {
        switch record {
        case .paging(let record):
            let domain = try PagingDomain(
                unit: unit, space: record.space.map { spaces[$0] },
                options: PagingDomain.Options(rawValue: record.options), addressWidth: record.addressWidth,
                largestPage: record.largestPage.flatMap { PageSize(rawValue: $0) })
            for run in record.mappings {
                try domain.map(
                    run.first, to: run.output, length: run.last.rawValue - run.first.rawValue + 1, rights: run.rights)
            }
            domains.append(domain)
        case .nested(let record):
            guard let parent = domains[record.parent] as? PagingDomain else {
                throw IOMMUError.notNestParent
            }
            domains.append(try NestedDomain(parent: parent, firstStage: record.firstStage))
        }
    }

    fileprivate mutating func add(_ record: UnitSnapshot.DeviceRecord, _ unit: RemappingUnit) throws {
        devices[record.id] = try Device(id: record.id, sourceID: record.source, share: record.share, in: unit)
    }

    fileprivate func connect(_ record: UnitSnapshot.DeviceRecord, _ unit: RemappingUnit) throws {
        guard let device = devices[record.id] else { return }
        for attachment in record.attachments {
            let domain: Domain =
                switch attachment.domain {
                case .identity: unit.identityDomain
                case .blocked: unit.blockedDomain
                case .domain(let position): domains[position]
                }
            try device.attach(domain, to: attachment.pasid)
        }
        if let table = record.table {
            try device.bind(table)
        }
    }

    fileprivate mutating func add(_ record: UnitSnapshot.NamespaceRecord, _ unit: RemappingUnit) throws {
        let namespace = try PASIDNamespace(unit: unit, hostPASIDs: record.first...record.last)
        for binding in record.bindings {
            try namespace.bind(guest: binding.guest, to: binding.host)
        }
        namespaces.append(namespace)
    }

    fileprivate func track(_ record: UnitSnapshot.DomainRecord, _ index: Int) throws {
        guard case .paging(let record) = record, record.tracking != .off, let domain = domains[index] as? PagingDomain
        else { return }
        try domain.startDirtyTracking(splittingLargePages: record.tracking == .splitting)
    }
}
