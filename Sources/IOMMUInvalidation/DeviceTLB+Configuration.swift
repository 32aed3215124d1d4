// SPDX-License-Identifier: LGPL-2.1-or-later
//
// DeviceTLB.Configuration - whose cache it is, how many requests it takes at once, and how long it may take.

internal import CIOMMU
public import IOMMUCore

extension DeviceTLB {
    /// Whose translations a device-TLB holds, and how it is asked.
    public struct Configuration: Sendable {
        /// Who the device's requests come from: 16 bits.
        public var source: SourceID
        /// The PASIDs whose translations it holds; nil for the whole source id, requests without PASID included.
        public var pasids: ClosedRange<PASID>?
        /// With nil ``pasids``: the cache of a parent function, which holds what no other device-TLB of the source id covers.
        /// Those are asked themselves, and the parent is not asked about their PASIDs; invalidations that name no PASID ask
        /// all. False: no other device-TLB of the source id may exist.
        public var sharesSource = false
        /// The host's name for the device, for reports [B-A4].
        public var device: DeviceID
        /// Source id of the physical function (PFSID), 16 bits: the device's own unless it is a virtual function.
        /// Devices of one physical function share ``queueDepth`` [FORMATS-VTD C2].
        public var physicalFunction: SourceID
        /// Requests in flight for the physical function, 1 to 32; more wait for an answer.
        public var queueDepth = 32
        /// Longest time from a request to its answer, more than zero; nil for the unit's
        /// (`RemappingUnit.Configuration.deviceTLBTimeout`). A device that takes longer is blocked.
        public var timeout: Duration?
        /// Monotonic nanoseconds, so that tests need not wait; nil for the system's clock. Any thread calls it.
        public var clock: (@Sendable () -> UInt64)?

        /// Makes a configuration for a device of its own physical function.
        public init(source: SourceID, pasids: ClosedRange<PASID>? = nil, device: DeviceID) {
            self.source = source
            self.pasids = pasids
            self.device = device
            physicalFunction = source
        }
    }
}

extension DeviceTLB.Configuration {
    /// As the C interface wants it, which checks all but what does not fit its integers. Without handler and clock.
    func makeC(_ unit: RemappingUnit) throws(IOMMUError) -> ciommu_device_tlb_config {
        guard let depth = UInt32(exactly: queueDepth), (1...32).contains(depth) else {
            throw .invalidArgument.with(detail: "queueDepth is \(queueDepth); it must be 1 to 32")
        }
        guard source.rawValue <= 0xffff, physicalFunction.rawValue <= 0xffff else {
            throw .invalidArgument.with(detail: "a source id of ATS has 16 bits")
        }
        let longest = timeout ?? unit.configuration.deviceTLBTimeout
        let (seconds, attoseconds) = longest.components
        guard longest > .zero, seconds < Int64.max / 1_000_000_000 else {
            throw .invalidArgument.with(detail: "timeout is \(longest)")
        }
        var config = unsafe ciommu_device_tlb_config()
        unsafe config.size = UInt32(MemoryLayout<ciommu_device_tlb_config>.size)
        let whole = sharesSource ? CIOMMU_DEVICE_TLB_OTHER_PASIDS : CIOMMU_DEVICE_TLB_ALL_PASIDS
        unsafe config.flags = pasids == nil ? whole : 0
        unsafe config.source = source.rawValue
        unsafe config.pfsid = physicalFunction.rawValue
        unsafe config.first_pasid = pasids?.lowerBound.rawValue ?? 0
        unsafe config.last_pasid = pasids?.upperBound.rawValue ?? 0
        unsafe config.queue_depth = depth
        // At least one: less than a nanosecond is no deadline at all.
        unsafe config.timeout = max(1, UInt64(seconds) * 1_000_000_000 + UInt64(attoseconds) / 1_000_000_000)
        unsafe config.device = device.rawValue
        return unsafe config
    }
}
