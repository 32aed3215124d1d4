// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The sizes of a unit: the host's choice, taken when the unit is made, never grown.

package import CIOMMU

extension RemappingUnit {
    /// The sizes of a unit. Memory is taken when the unit is made and never grows; zero entries switch a cache off.
    public struct Configuration: Hashable, Sendable {
        /// Entries of the shared IOTLB, 16 bytes each: 0, or a power of two from 4 to 2^26.
        public var iotlbEntries = 65_536
        /// First-level cache entries of each port, 64 bytes each: 0, or a power of two up to 2^16.
        public var firstLevelEntries = 256
        /// Walk-cache entries of each port, 64 bytes each: 0, or a power of two up to 2^16.
        public var walkCacheEntries = 256
        /// Pairs of source and PASID that are cached: 0 to 2^20.
        public var bindings = 4096
        /// Address spaces that are cached: 0 to 2^20.
        public var addressSpaces = 4096
        /// Paging and nested domains that the host may make: 0 to 2^20.
        public var domains = 4096
        /// Pages of 4096 bytes that the paging structures of the host's domains may take together, not negative. A map that
        /// would need more is refused with ``IOMMUError/noMemory``. The default is 4 GiB of them.
        public var tablePages = 1 << 20
        /// Most ports that exist at a time: 1 to 4096, the pool included.
        public var ports = 64
        /// Ports kept for the unit's own translations: 0 to ``ports``.
        public var pooledPorts = 8
        /// Fault ring entries of each port: a power of two from 2 to 2^16. 68 bytes each.
        public var faultEntries = 256
        /// Longest wait for access sections. Zero, or less: no wait, ``IOMMUError/timedOut`` at once if a section is open.
        public var drainTimeout = Duration.seconds(1)
        /// Longest time from a request to a device-TLB to its answer, more than zero, for those device-TLBs that are made without a time
        /// of their own. Hardware waits for about a minute; a device in software that takes a second is stuck.
        public var deviceTLBTimeout = Duration.seconds(1)
        /// Uses 16-byte atomic loads for the IOTLB where the processor has them. Off: a portable form, for tests.
        public var usesWideLoads = true

        /// The sizes above.
        public init() {}

        /// Every cache off: each request walks the tables as they stand.
        public static var noCache: Configuration {
            var configuration = Configuration()
            configuration.iotlbEntries = 0
            configuration.firstLevelEntries = 0
            configuration.walkCacheEntries = 0
            configuration.bindings = 0
            configuration.addressSpaces = 0
            return configuration
        }
    }
}

extension RemappingUnit.Configuration {
    /// As the C interface wants it, which checks all but what does not fit its integers.
    func makeC(_ capabilities: Capabilities) throws(IOMMUError) -> ciommu_unit_config {
        var config = ciommu_unit_config()
        unsafe ciommu_unit_config_init(&config)
        config.cap = capabilities.cap
        config.ecap = capabilities.ecap
        config.revision = capabilities.revision.rawValue
        config.host_address_width = UInt32(capabilities.hostAddressWidth)
        config.iotlb_entries = try Self.size(iotlbEntries, "iotlbEntries")
        config.first_level_entries = try Self.size(firstLevelEntries, "firstLevelEntries")
        config.walk_cache_entries = try Self.size(walkCacheEntries, "walkCacheEntries")
        config.bindings = try Self.size(bindings, "bindings")
        config.spaces = try Self.size(addressSpaces, "addressSpaces")
        config.domains = try Self.size(domains, "domains")
        guard let tables = UInt64(exactly: tablePages) else {
            throw .invalidArgument.with(detail: "tablePages is \(tablePages)")
        }
        config.table_pages = tables
        config.ports = try Self.size(ports, "ports")
        config.pool_ports = try Self.size(pooledPorts, "pooledPorts")
        config.fault_entries = try Self.size(faultEntries, "faultEntries")
        config.flags = usesWideLoads ? 0 : CIOMMU_UNIT_NO_WIDE_LOADS
        config.drain_timeout = Self.nanoseconds(drainTimeout)
        return config
    }

    /// The sizes that a C host gives; the unit checks them.
    package init(_ config: ciommu_unit_config) {
        iotlbEntries = Int(config.iotlb_entries)
        firstLevelEntries = Int(config.first_level_entries)
        walkCacheEntries = Int(config.walk_cache_entries)
        bindings = Int(config.bindings)
        addressSpaces = Int(config.spaces)
        domains = Int(config.domains)
        tablePages = Int(clamping: config.table_pages)
        ports = Int(config.ports)
        pooledPorts = Int(config.pool_ports)
        faultEntries = Int(config.fault_entries)
        drainTimeout = .nanoseconds(Int64(clamping: config.drain_timeout))
        usesWideLoads = config.flags & CIOMMU_UNIT_NO_WIDE_LOADS == 0
    }

    private static func size(_ value: Int, _ name: String) throws(IOMMUError) -> UInt32 {
        guard let size = UInt32(exactly: value) else {
            throw .invalidArgument.with(detail: "\(name) is \(value)")
        }
        return size
    }

    /// Clamped to what the C interface can say: none, or up to 292 years.
    private static func nanoseconds(_ duration: Duration) -> UInt64 {
        let (seconds, attoseconds) = duration.components
        guard seconds >= 0, attoseconds >= 0 else { return 0 }
        guard seconds < Int64.max / 1_000_000_000 else { return UInt64(Int64.max) }
        return UInt64(seconds) * 1_000_000_000 + UInt64(attoseconds) / 1_000_000_000
    }
}
