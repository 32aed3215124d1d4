// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Statistics - what a unit has done since it was made.

internal import CIOMMU

/// Counters of a unit since it was made, summed over its ports. Each is exact once the ports are idle.
public struct Statistics: Hashable, Sendable {
    /// Ports that exist now, the pool included.
    public let ports: Int
    /// Pages asked for.
    public let lookups: UInt64
    /// Answered by a port's first-level cache.
    public let firstLevelHits: UInt64
    /// Answered by the shared IOTLB.
    public let iotlbHits: UInt64
    /// Paging structures walked.
    public let walks: UInt64
    /// Requests refused.
    public let faults: UInt64
    /// Faults that found their fault ring full.
    public let faultsLost: UInt64
    /// Device and PASID tables walked.
    public let bindingWalks: UInt64
    /// Answered without caching: a pool was full, a lock busy, or caching is off.
    public let uncached: UInt64
    /// Inner invalidations applied.
    public let invalidations: UInt64
    /// Waits for access sections.
    public let drains: UInt64
    /// Waits that ran into the deadline.
    public let drainTimeouts: UInt64
    /// Bindings cached now.
    public let bindings: UInt64
    /// Address spaces cached now.
    public let spaces: UInt64
    /// Bindings evicted because their pool was full.
    public let reclaimed: UInt64
    /// Faults that concerned nobody who has a fault queue, while the unit had any.
    public let faultsOrphaned: UInt64
}

extension Statistics {
    /// Reads what C wrote.
    init(_ statistics: ciommu_statistics) {
        ports = Int(statistics.ports)
        lookups = statistics.lookups
        firstLevelHits = statistics.first_level_hits
        iotlbHits = statistics.iotlb_hits
        walks = statistics.walks
        faults = statistics.faults
        faultsLost = statistics.faults_lost
        bindingWalks = statistics.binding_walks
        uncached = statistics.uncached
        invalidations = statistics.invalidations
        drains = statistics.drains
        drainTimeouts = statistics.drain_timeouts
        bindings = statistics.bindings
        spaces = statistics.spaces
        reclaimed = statistics.reclaimed
        faultsOrphaned = statistics.faults_orphaned
    }
}
