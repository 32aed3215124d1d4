// SPDX-License-Identifier: LGPL-2.1-or-later
//
// FaultOrigin - whose faults a queue holds; FaultQueueOptions - how many of them.

internal import CIOMMU
public import IOMMUCore
public import IOMMUDomains

/// Whose faults a queue receives.
public enum FaultOrigin: Sendable {
    /// A device's. A fault that several devices may have caused goes to where their policy says [B-A3]: to the one made
    /// first, to each of them, or to the parent; a PASID in nobody's slice is the parent's. The queue does not keep the
    /// device alive: once it is gone, nothing new comes.
    case device(Device)
    /// Everything that no other queue receives: of source ids without devices, of devices without a queue, and of
    /// PASIDs in nobody's slice where there is no parent or it has no queue.
    case rest
    /// A device in software only, which takes no part in the IOMMU [B-E2]: what it reports itself.
    case software(DeviceID)
}

/// The size of a fault queue, and whether it folds.
public struct FaultQueueOptions: Hashable, Sendable {
    /// Unread records it holds, 1 to 2^20; more are lost, and told so. 112 bytes each.
    public var quota: Int
    /// A fault that differs from the newest unread record in nothing but the time is counted there.
    public var isFolding: Bool
    /// Places for faults that the device reports itself and that are not collected yet: 0 (64 for a device in
    /// software), or a power of two from 2 to 2^16.
    public var reports: Int

    /// Makes options: 256 records, no folding, no reports.
    public init(quota: Int = 256, isFolding: Bool = false, reports: Int = 0) {
        self.quota = quota
        self.isFolding = isFolding
        self.reports = reports
    }
}

extension FaultQueueOptions {
    /// As the C interface wants it, which checks all but what does not fit its integers. Without callback.
    func makeC() throws(IOMMUError) -> ciommu_fault_queue_config {
        guard let quota = UInt32(exactly: quota), let reports = UInt32(exactly: reports) else {
            throw .invalidArgument.with(detail: "quota is \(quota), reports is \(reports)")
        }
        var config = unsafe ciommu_fault_queue_config()
        unsafe ciommu_fault_queue_config_init(&config)
        unsafe config.flags = isFolding ? CIOMMU_FAULT_QUEUE_FOLD : 0
        unsafe config.quota = quota
        unsafe config.reports = reports
        return unsafe config
    }
}
