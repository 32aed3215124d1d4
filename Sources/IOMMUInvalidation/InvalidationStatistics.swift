// SPDX-License-Identifier: LGPL-2.1-or-later
//
// InvalidationStatistics - counters for a host's metrics: a plain listing of names and values, so that this library
// needs no metrics library.

public import IOMMUCore

/// A counter or a gauge by name, for a host's metrics.
public struct NamedValue: Hashable, Sendable, Codable {
    /// Lower-case words joined by underscores; a counter's ends with `_total`.
    public let name: String
    /// The value.
    public let value: UInt64

    /// Makes a pair.
    public init(_ name: String, _ value: UInt64) {
        self.name = name
        self.value = value
    }
}

/// What a unit did for invalidations since it was made.
public struct InvalidationStatistics: Hashable, Sendable, Codable {
    /// Inner invalidations applied.
    public let invalidations: UInt64
    /// Waits for access sections.
    public let drains: UInt64
    /// Waits that ran into the deadline.
    public let drainTimeouts: UInt64

    /// Takes a unit's counters.
    public init(_ statistics: Statistics) {
        invalidations = statistics.invalidations
        drains = statistics.drains
        drainTimeouts = statistics.drainTimeouts
    }

    /// The counters by name, always the same names in the same order.
    public var values: [NamedValue] {
        [
            NamedValue("iommu_invalidations_total", invalidations),
            NamedValue("iommu_drains_total", drains),
            NamedValue("iommu_drain_timeouts_total", drainTimeouts),
        ]
    }
}

extension RemappingUnit {
    /// What the unit did for invalidations so far.
    public var invalidationStatistics: InvalidationStatistics {
        InvalidationStatistics(statistics)
    }
}
