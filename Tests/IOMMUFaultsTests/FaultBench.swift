// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A unit whose devices have nothing attached, so that every request of them faults.

import Dispatch
import Foundation
import IOMMU
import IOMMUTestSupport
import Synchronization
import Testing

final class FaultBench: Sendable {
    static let source = SourceID(0x100)

    let unit: RemappingUnit
    private let devices = Mutex<[Device]>([])

    init(faultEntries: Int = 256) throws {
        var configuration = RemappingUnit.Configuration()
        configuration.faultEntries = faultEntries
        configuration.iotlbEntries = 64
        configuration.pooledPorts = 16
        unit = try RemappingUnit(capabilities: .full, memory: GuestMemory(), configuration: configuration)
        try unit.setTranslation(enabled: true)
    }

    /// A device that lives until it is dropped.
    func device(
        _ id: DeviceID = 7, at source: SourceID = FaultBench.source, _ share: Device.Share = .whole
    ) throws -> Device {
        let device = try Device(id: id, sourceID: source, share: share, in: unit)
        devices.withLock { $0.append(device) }
        return device
    }

    /// Forgets all devices: those that nobody else keeps are destroyed.
    func dropDevices() {
        devices.withLock { $0 = [] }
    }

    /// One request that faults, through the pool.
    @discardableResult
    func fault(_ page: UInt64, source: SourceID = FaultBench.source, pasid: PASID? = nil) throws -> Fault {
        let result = try unit.translate(IOVA(page << 12), access: .read, source: source, pasid: pasid)
        return try #require(result.fault)
    }
}

/// What handlers have heard.
final class Heard: Sendable {
    private let records = Mutex<[FaultRecord]>([])

    func hear(_ record: FaultRecord) {
        records.withLock { $0.append(record) }
    }

    var all: [FaultRecord] { records.withLock { $0 } }

    /// Pages of the faults.
    var pages: [UInt64] { all.compactMap { $0.fault.map { $0.address.rawValue >> 12 } } }

    /// Waits until as many faults were heard of, lost ones included.
    func comesTo(_ count: UInt64) -> Bool {
        isTrue { self.all.reduce(0) { $0 + $1.count } >= count }
    }

    /// The records tile the numbers from 0 on.
    var isComplete: Bool {
        var next: UInt64 = 0
        for record in all {
            guard record.sequence == next else { return false }
            next += record.count
        }
        return true
    }
}

/// Waits until a condition holds; false when it takes too long. Where a rule is broken on purpose (BrokenRule) it may never hold.
func isTrue(_ condition: () -> Bool) -> Bool {
    let isSound = ProcessInfo.processInfo.environment["IOMMU_BROKEN_RULE"] == nil
    let end = Date().addingTimeInterval(isSound ? 300 : 5)
    while !condition() {
        guard Date() < end else { return false }
        Thread.sleep(forTimeInterval: 0.000_2)
    }
    return true
}

func pasid(_ value: UInt32) -> PASID {
    guard let pasid = PASID(value) else { preconditionFailure("no PASID \(value)") }
    return pasid
}
