// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A unit with something of everything that a snapshot records.

import Foundation
import IOMMU
import IOMMUTestSupport

/// Objects of a unit, kept alive.
struct SnapshotWorld {
    let space: IOAddressSpace
    let reservation: IOReservation
    let devices: [Device]
    let domains: [Domain]
    let namespaces: [PASIDNamespace]

    init(_ bench: HostBench) throws {
        let unit = bench.unit
        space = try IOAddressSpace(memory: bench.memory)
        // Outside of the allowed ranges, because it was there before.
        _ = try space.map(.output(0x40_0000), length: 0x2000, at: 0x9_0000_0000, rights: .read)
        _ = try space.map(.output(0x20_0000), length: 0x40_0000, at: 0x20_0000, rights: [.read, .write])
        _ = try space.map(.output(0x1000), length: 0x1000, at: 0x60_0000, rights: .write)
        try space.allow([0x1000...0xfff_ffff, 0x2_0000_0000...0x2_ffff_ffff])
        reservation = try space.reserve(0x4_0000_0000...0x4_0000_ffff, reason: "doorbells")

        let parent = try PagingDomain(unit: unit, space: space, options: [.nestParent, .dirtyTracking])
        let nested = try NestedDomain(
            parent: parent,
            firstStage: FirstStage(root: 0x20_0000, addressWidth: 57, options: [.supervisorRequests, .writeProtect]))
        let follower = try PagingDomain(unit: unit, space: space, addressWidth: 39, largestPage: .twoMiB)
        let direct = try PagingDomain(unit: unit, options: .dirtyTracking, addressWidth: 57)
        try direct.map(0x1000, to: 0x5000, length: 0x3000, rights: .read)
        try direct.map(0x4000, to: 0x8000, length: 0x1000, rights: .write)
        try direct.map(0x4000_0000, to: 0x8000_0000, length: 0x20_1000, rights: [.read, .write])
        try parent.startDirtyTracking(splittingLargePages: false)
        try direct.startDirtyTracking(splittingLargePages: true)
        domains = [parent, nested, follower, direct]

        let whole = try bench.device(.init(.max))
        try whole.attach(nested)
        try whole.attach(parent, to: pasid(3))
        try whole.attach(unit.identityDomain, to: pasid(0xfffff))
        let source = HostBench.otherSource
        let parentDevice = try bench.device(2, at: source, .parent)
        try parentDevice.attach(unit.blockedDomain)
        let low = try bench.device(7, at: source, .slice(16, 40, .all))
        let high = try bench.device(3, at: source, .slice(32, 63, .all))
        try low.attach(direct, to: pasid(33))
        try high.attach(direct, to: pasid(33))
        let bound = try bench.device(11, at: SourceID(0x42))
        try bound.bind(PASIDTable(pasidBits: 12, ridPASID: pasid(9), address: OutputAddress(GuestImage.ram)))
        devices = [whole, parentDevice, low, high, bound, try bench.device(12, at: SourceID(0xffff))]

        let namespace = try PASIDNamespace(unit: unit, hostPASIDs: pasids(100, 199))
        try namespace.bind(guest: pasid(5), to: pasid(150))
        try namespace.bind(guest: pasid(4), to: pasid(199))
        namespaces = [namespace, try PASIDNamespace(unit: unit, hostPASIDs: pasids(200, 200))]
    }
}

extension HostBench {
    /// Asks for everything that a snapshot could change.
    func answers() throws -> [TranslationResult] {
        var results: [TranslationResult] = []
        for source in [HostBench.source, HostBench.otherSource, SourceID(0x42), SourceID(0xffff), SourceID(5)] {
            for pasid in [nil, pasid(3), pasid(16), pasid(33), pasid(0xfffff)] {
                for iova: IOVA in [0x1000, 0x20_0000, 0x60_0000, 0x9_0000_0000, 0x4000_0000, 0x4020_0000] {
                    for access: AccessRights in [.read, .write] {
                        results.append(
                            try port.translate(iova, access: access, source: source, pasid: pasid, options: .noFault))
                    }
                }
            }
        }
        return results
    }

    /// The snapshot of a world that is gone again.
    func recordedWorld() throws -> UnitSnapshot {
        let world = try SnapshotWorld(self)
        defer { withExtendedLifetime(world) {} }
        return UnitSnapshot(of: unit)
    }

    /// True if the host's side of the unit holds nothing.
    var isEmpty: Bool {
        let snapshot = UnitSnapshot(of: unit)
        return snapshot == UnitSnapshot(description: unit.unitDescription)
    }
}

extension UnitSnapshot {
    /// As JSON, always the same.
    func json() throws -> Data {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return try encoder.encode(self)
    }

    init(json: Data) throws {
        self = try JSONDecoder().decode(UnitSnapshot.self, from: json)
    }
}
