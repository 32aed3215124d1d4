// SPDX-License-Identifier: LGPL-2.1-or-later
//
// What is wrong with a snapshot, before anything is built: positions, ranges, overflows, duplicates, sizes. What only the unit can
// know, such as which shares of a source id exclude each other, it says itself when the snapshot is restored.

public import IOMMUCore

extension UnitSnapshot {
    /// Checks that the parts of the snapshot fit together.
    ///
    /// - Throws: ``IOMMUError/noSpace`` when it is larger than `limits`; ``IOMMUError/invalidArgument``, ``IOMMUError/overlap``,
    ///   ``IOMMUError/exists`` or ``IOMMUError/wraps`` otherwise. ``IOMMUError/detail`` says where and what.
    public func check(limits: Limits = Limits()) throws(IOMMUError) {
        try checkCounts(limits)
        for (index, space) in spaces.enumerated() {
            try space.check("spaces[\(index)]", limits)
        }
        for (index, domain) in domains.enumerated() {
            switch domain {
            case .paging(let record): try record.check("domains[\(index)]", spaceCount: spaces.count)
            case .nested(let record):
                guard (0..<index).contains(record.parent), case .paging = domains[record.parent] else {
                    throw refusal("domains[\(index)].parent", "\(record.parent) is no paging domain before it")
                }
            }
        }
        try checkTables(limits)
        try checkDevices()
        for (index, namespace) in namespaces.enumerated() {
            try namespace.check("namespaces[\(index)]")
        }
    }

    private func checkCounts(_ limits: Limits) throws(IOMMUError) {
        let mappings = domains.map { domain in
            if case .paging(let record) = domain { record.mappings.count } else { 0 }
        }
        let counts: [(String, Int, Int)] = [
            ("spaces", spaces.count, limits.spaces),
            ("areas", spaces.reduce(0) { $0 + $1.areas.count }, limits.areas),
            ("domains", domains.count, limits.domains),
            ("mappings", mappings.reduce(0, +), limits.mappings),
            ("devices", devices.count, limits.devices),
            ("attachments", devices.reduce(0) { $0 + $1.attachments.count }, limits.attachments),
            ("namespaces", namespaces.count, limits.namespaces),
            ("bindings", namespaces.reduce(0) { $0 + $1.bindings.count }, limits.bindings),
        ]
        for (what, count, limit) in counts where count > limit {
            throw .noSpace.with(detail: "the snapshot has \(count) \(what), more than \(limit)")
        }
    }

    /// Domains that follow a space with the same pages need the same tables: counted once.
    private func checkTables(_ limits: Limits) throws(IOMMUError) {
        struct Shape: Hashable {
            let space: Int
            let page: UInt32
        }
        let capabilities = description.capabilities
        let offered: UInt32 = capabilities.secondStage1GiB ? 30 : capabilities.secondStage2MiB ? 21 : 12
        var known: [Shape: UInt64] = [:]
        var tables: UInt64 = 0
        for case .paging(let record) in domains {
            let page = record.tracking == .splitting ? 12 : min(record.largestPage ?? offered, offered)
            var count = TableCount()
            if let space = record.space {
                let shape = Shape(space: space, page: page)
                if known[shape] == nil {
                    for area in spaces[space].areas {
                        count.add(area.first.rawValue, area.last.rawValue, output: area.output.rawValue, pageLog2: page)
                    }
                    known[shape] = count.tables
                }
                tables += known[shape] ?? 0
            } else {
                for run in record.mappings {
                    count.add(run.first.rawValue, run.last.rawValue, output: run.output.rawValue, pageLog2: page)
                }
                tables += count.tables
            }
            guard tables <= UInt64(max(limits.tables, 0)) else {
                throw .noSpace.with(
                    detail: "the domains of the snapshot need more than \(limits.tables) pages of page tables")
            }
        }
    }

    private func checkDevices() throws(IOMMUError) {
        var ids: Set<DeviceID> = []
        for (index, device) in devices.enumerated() {
            let place = "devices[\(index)]"
            guard ids.insert(device.id).inserted else {
                throw .exists.with(detail: "\(place).id: \(device.id) is there twice")
            }
            guard device.table == nil || device.attachments.isEmpty else {
                throw refusal(place, "a bound table and attachments exclude each other")
            }
            var pasids: Set<PASID?> = []
            for (number, attachment) in device.attachments.enumerated() {
                let place = "\(place).attachments[\(number)]"
                guard pasids.insert(attachment.pasid).inserted else {
                    throw .exists.with(detail: "\(place).pasid is there twice")
                }
                if case .domain(let position) = attachment.domain, !domains.indices.contains(position) {
                    throw refusal("\(place).domain", "there is no domain \(position)")
                }
            }
        }
    }
}

extension UnitSnapshot.SpaceRecord {
    fileprivate func check(_ place: String, _ limits: UnitSnapshot.Limits) throws(IOMMUError) {
        guard granule.nonzeroBitCount == 1, granule <= 1 << 30 else {
            throw refusal("\(place).granule", "\(granule) is not a power of two up to 2^30")
        }
        guard firstAutomaticOutput <= lastAutomaticOutput else {
            throw refusal("\(place).firstAutomaticOutput", "it lies behind the last one")
        }
        guard max(allowed.count, reserved.count) <= limits.ranges else {
            throw .noSpace.with(detail: "\(place) has more than \(limits.ranges) ranges")
        }
        for (index, range) in allowed.enumerated() where range.first > range.last {
            throw refusal("\(place).allowed[\(index)]", "it ends before it begins")
        }
        for (index, range) in reserved.enumerated() where range.first > range.last {
            throw refusal("\(place).reserved[\(index)]", "it ends before it begins")
        }
        try checkAscending(
            areas.map { ($0.first.rawValue, $0.last.rawValue, $0.output.rawValue, $0.rights) }, "\(place).areas")
        for (index, area) in areas.enumerated() where area.offset != 0 && area.backing != .file {
            throw refusal("\(place).areas[\(index)].offset", "only a file has one")
        }
    }
}

extension UnitSnapshot.PagingRecord {
    fileprivate func check(_ place: String, spaceCount: Int) throws(IOMMUError) {
        let known: PagingDomain.Options = [.nestParent, .dirtyTracking]
        guard PagingDomain.Options(rawValue: options).isSubset(of: known) else {
            throw refusal("\(place).options", "\(options) has unknown bits")
        }
        guard [39, 48, 57].contains(addressWidth) else {
            throw refusal("\(place).addressWidth", "\(addressWidth) is not 39, 48 or 57")
        }
        if let largestPage, PageSize(rawValue: largestPage) == nil {
            throw refusal("\(place).largestPage", "\(largestPage) is not 12, 21 or 30")
        }
        guard tracking == .off || PagingDomain.Options(rawValue: options).contains(.dirtyTracking) else {
            throw refusal("\(place).tracking", "the domain was made without dirty tracking")
        }
        if let space {
            guard (0..<spaceCount).contains(space) else {
                throw refusal("\(place).space", "there is no space \(space)")
            }
            guard mappings.isEmpty else {
                throw refusal("\(place).mappings", "a domain over a space has none of its own")
            }
        }
        try checkAscending(
            mappings.map { ($0.first.rawValue, $0.last.rawValue, $0.output.rawValue, $0.rights) }, "\(place).mappings")
        for (index, run) in mappings.enumerated()
        where (run.first.rawValue | (run.last.rawValue &+ 1) | run.output.rawValue) & 4095 != 0 {
            throw .misaligned.with(detail: "\(place).mappings[\(index)]: not whole pages")
        }
        if let last = mappings.last?.last.rawValue, last >> UInt64(addressWidth) != 0 {
            throw refusal("\(place).mappings", "they reach beyond \(addressWidth) bits")
        }
    }
}

extension UnitSnapshot.NamespaceRecord {
    fileprivate func check(_ place: String) throws(IOMMUError) {
        guard first <= last else {
            throw refusal(place, "it ends before it begins")
        }
        var guests: Set<PASID> = []
        var hosts: Set<PASID> = []
        for (index, binding) in bindings.enumerated() {
            guard guests.insert(binding.guest).inserted, hosts.insert(binding.host).inserted else {
                throw .exists.with(detail: "\(place).bindings[\(index)]: one of the two is bound already")
            }
            guard (first...last).contains(binding.host) else {
                throw refusal("\(place).bindings[\(index)].host", "\(binding.host) is not the namespace's")
            }
        }
    }
}

/// Refuses ranges that are empty, overlap, do not ascend, wrap or have no rights.
private func checkAscending(
    _ ranges: [(first: UInt64, last: UInt64, output: UInt64, rights: AccessRights)], _ place: String
) throws(IOMMUError) {
    var previous: UInt64?
    for (index, range) in ranges.enumerated() {
        let place = "\(place)[\(index)]"
        guard range.first <= range.last else {
            throw refusal(place, "it ends before it begins")
        }
        guard previous.map({ $0 < range.first }) != false else {
            throw .overlap.with(detail: "\(place): it does not lie behind the one before it")
        }
        let length = range.last - range.first
        guard length < .max, range.output <= .max - length else {
            throw .wraps.with(detail: "\(place): its end passes the end of the addresses")
        }
        guard !range.rights.isEmpty, range.rights.isSubset(of: [.read, .write]) else {
            throw refusal("\(place).rights", "\(range.rights) is not R, W or RW")
        }
        previous = range.last
    }
}

private func refusal(_ place: String, _ reason: String) -> IOMMUError {
    IOMMUError.invalidArgument.with(detail: "\(place): \(reason)")
}
