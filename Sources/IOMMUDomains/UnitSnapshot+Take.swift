// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Taking a snapshot: asks every object of the unit what it is.

public import IOMMUCore

extension UnitSnapshot {
    /// Records what the host set up in a unit. What changes meanwhile is recorded as it was or as it is; for a snapshot of one
    /// moment the host changes nothing. Devices may go on with DMA.
    ///
    /// - Parameter unit: The unit.
    public init(of unit: RemappingUnit) {
        let devices = unit.registry.devices.all
        let attachments = devices.map(\.attachments)
        // After the attachments, which keep their domains: so none of theirs is missing.
        let domains = unit.registry.domains.all.filter { $0.kind == .paging || $0.kind == .nested }
        let positions = Dictionary(
            uniqueKeysWithValues: domains.enumerated().map { (ObjectIdentifier($0.element), $0.offset) })
        var spaces = Spaces()
        let records = domains.map { DomainRecord($0, positions, &spaces) }
        self.init(
            description: unit.unitDescription, spaces: spaces.list.map { SpaceRecord($0) }, domains: records,
            devices: zip(devices, attachments).map { device, attachments in
                DeviceRecord(
                    id: device.id, source: device.sourceID, share: device.share,
                    attachments: attachments.map {
                        AttachmentRecord(pasid: $0.pasid, domain: TargetRecord($0.domain, positions))
                    },
                    table: device.boundTable)
            },
            namespaces: unit.registry.namespaces.all.map {
                NamespaceRecord(hostPASIDs: $0.hostPASIDs, bindings: $0.bindings)
            })
    }

    /// The spaces that were met, and their positions.
    fileprivate struct Spaces {
        var list: [IOAddressSpace] = []
        private var positions: [ObjectIdentifier: Int] = [:]

        mutating func position(of space: IOAddressSpace) -> Int {
            if let known = positions[ObjectIdentifier(space)] { return known }
            positions[ObjectIdentifier(space)] = list.count
            list.append(space)
            return list.count - 1
        }
    }
}

extension UnitSnapshot.TargetRecord {
    fileprivate init(_ domain: Domain, _ positions: [ObjectIdentifier: Int]) {
        switch domain.kind {
        case .identity: self = .identity
        case .blocked: self = .blocked
        case .paging, .nested:
            guard let position = positions[ObjectIdentifier(domain)] else {
                preconditionFailure("an attached domain is in the registry of its unit")
            }
            self = .domain(position)
        }
    }
}

extension UnitSnapshot.DomainRecord {
    fileprivate init(
        _ domain: Domain, _ positions: [ObjectIdentifier: Int], _ spaces: inout UnitSnapshot.Spaces
    ) {
        if let nested = domain as? NestedDomain, let parent = positions[ObjectIdentifier(nested.parent)] {
            self = .nested(UnitSnapshot.NestedRecord(parent: parent, firstStage: nested.firstStage))
        } else if let paging = domain as? PagingDomain {
            self = .paging(
                UnitSnapshot.PagingRecord(
                    options: paging.options, addressWidth: paging.addressWidth, largestPage: paging.largestPage,
                    space: paging.space.map { spaces.position(of: $0) },
                    mappings: paging.space == nil ? Self.runs(of: paging) : [],
                    tracking: UnitSnapshot.TrackingRecord(paging.dirtyTracking)))
        } else {
            preconditionFailure("a \(domain.kind) domain is not recorded")
        }
    }

    /// Pages that continue each other, joined.
    private static func runs(of domain: PagingDomain) -> [UnitSnapshot.MappingRecord] {
        var runs: [UnitSnapshot.MappingRecord] = []
        for page in domain.mappings {
            let last = IOVA(page.iova.rawValue + (page.length - 1))
            if let run = runs.last, run.last.rawValue + 1 == page.iova.rawValue, run.rights == page.rights,
                page.output.rawValue &- run.output.rawValue == page.iova.rawValue - run.first.rawValue
            {
                runs[runs.count - 1].last = last
            } else {
                runs.append(
                    UnitSnapshot.MappingRecord(first: page.iova, last: last, output: page.output, rights: page.rights))
            }
        }
        return runs
    }
}

extension UnitSnapshot.TrackingRecord {
    fileprivate init(_ tracking: PagingDomain.DirtyTracking) {
        switch tracking {
        case .off: self = .off
        case .on(let splitting): self = splitting ? .splitting : .on
        }
    }
}

extension UnitSnapshot.SpaceRecord {
    fileprivate init(_ space: IOAddressSpace) {
        self.init(
            granule: space.granule, automaticOutput: space.automaticOutput,
            allowed: space.allowedRanges.map {
                UnitSnapshot.RangeRecord(first: $0.lowerBound, last: $0.upperBound)
            },
            reserved: space.hostReservations.map {
                UnitSnapshot.ReservationRecord(
                    first: $0.range.lowerBound, last: $0.range.upperBound, reason: $0.reason)
            },
            areas: space.areas.dropFirst(broken(.areaOmitted) ? 1 : 0).map { UnitSnapshot.AreaRecord($0) })
    }
}

extension UnitSnapshot.AreaRecord {
    fileprivate init(_ area: IOArea) {
        var backing = Backing.output
        var offset: UInt64 = 0
        switch area.backing {
        case .output: break
        case .host: backing = .host
        case .file(let start):
            backing = .file
            offset = start
        }
        self.init(
            first: area.first, last: area.last, output: area.output, rights: area.rights, backing: backing,
            offset: offset)
    }
}
