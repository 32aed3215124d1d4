// SPDX-License-Identifier: LGPL-2.1-or-later
//
// FaultStatistics - what a fault queue has seen.

internal import CIOMMU
public import IOMMUCore

/// Counters of a fault queue since it was made.
public struct FaultStatistics: Hashable, Sendable {
    /// Records that are unread now.
    public let unread: Int
    /// Faults collected, folded and dropped ones included.
    public let faults: UInt64
    /// Of ``faults``: folded into an earlier record.
    public let folded: UInt64
    /// Of ``faults``: dropped, because the quota was used up.
    public let overQuota: UInt64
    /// Faults that found no place in a port's ring; they are not in ``faults``.
    public let lost: UInt64
    /// Most records unread at a time.
    public let highWater: Int
    /// ``faults`` by reason; reasons that never came are absent.
    public let reasons: [FaultReason: UInt64]
}

extension FaultStatistics {
    /// Reads what C wrote.
    init(_ statistics: ciommu_fault_queue_statistics) {
        unread = Int(statistics.unread)
        faults = statistics.faults
        folded = statistics.folded
        overQuota = statistics.over_quota
        lost = statistics.lost
        highWater = Int(statistics.high_water)
        let counts = unsafe withUnsafeBytes(of: statistics.reasons) { bytes in
            unsafe Array(bytes.bindMemory(to: UInt64.self))
        }
        let counted = counts.enumerated().compactMap { index, count in
            FaultReason(rawValue: UInt32(index)).map { ($0, count) }
        }
        reasons = Dictionary(uniqueKeysWithValues: counted.filter { $0.1 != 0 })
    }
}
