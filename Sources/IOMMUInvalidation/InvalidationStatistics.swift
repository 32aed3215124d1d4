// SPDX-License-Identifier: LGPL-2.1-or-later
//
// InvalidationStatistics - counters for a host's metrics: a plain listing of names and values, so that this library
// needs no metrics library.

internal import CIOMMU
public import IOMMUCore

/// What a unit did for invalidations since it was made.
public struct InvalidationStatistics: Hashable, Sendable, Codable {
    /// Inner invalidations applied, in batches and one by one.
    public let invalidations: UInt64
    /// Batches applied.
    public let batches: UInt64
    /// Segments of batches that were completed: each ends with a wait descriptor or with its array.
    public let segments: UInt64
    /// Entries taken from batches by descriptor type, 0 to 15 [FORMATS-VTD C2]; stage-1 entries are type 0.
    public let entries: [UInt64]
    /// Batches that ended with a refused entry.
    public let refused: UInt64
    /// Batches in which a device or a port was late or failed.
    public let late: UInt64
    /// Entries of batches that needed no work of their own.
    public let merged: UInt64
    /// Times that many ranges of one address space became all of it.
    public let widened: UInt64
    /// Waits for access sections.
    public let drains: UInt64
    /// Waits that ran into the deadline.
    public let drainTimeouts: UInt64
    /// Waits that found a section open, by the base-2 logarithm of their nanoseconds, 0 to 39.
    public let drainTimes: [UInt64]

    /// The counters by name, always the same names in the same order. The histogram is not among them.
    public var values: [NamedValue] {
        [
            NamedValue("iommu_invalidations_total", invalidations),
            NamedValue("iommu_invalidation_batches_total", batches),
            NamedValue("iommu_invalidation_segments_total", segments),
            NamedValue("iommu_invalidation_entries_total", entries.reduce(0, &+)),
            NamedValue("iommu_invalidation_batches_refused_total", refused),
            NamedValue("iommu_invalidation_batches_late_total", late),
            NamedValue("iommu_invalidation_entries_merged_total", merged),
            NamedValue("iommu_invalidation_spaces_widened_total", widened),
            NamedValue("iommu_drains_total", drains),
            NamedValue("iommu_drain_timeouts_total", drainTimeouts),
        ]
    }
}

extension RemappingUnit {
    /// What the unit did for invalidations so far; exact while no invalidation is under way.
    public var invalidationStatistics: InvalidationStatistics {
        var counters = ciommu_invalidation_statistics()
        counters.size = UInt32(MemoryLayout<ciommu_invalidation_statistics>.size)
        unsafe ciommu_unit_invalidation_statistics(handle, &counters)
        return InvalidationStatistics(
            invalidations: statistics.invalidations, batches: counters.batches, segments: counters.segments,
            entries: unsafe withUnsafeBytes(of: counters.entries) { unsafe Array($0.bindMemory(to: UInt64.self)) },
            refused: counters.refused, late: counters.late, merged: counters.merged, widened: counters.widened,
            drains: counters.drains, drainTimeouts: counters.drain_timeouts,
            drainTimes: unsafe withUnsafeBytes(of: counters.drain_times) {
                unsafe Array($0.bindMemory(to: UInt64.self))
            })
    }
}
