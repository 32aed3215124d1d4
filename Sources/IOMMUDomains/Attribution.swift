// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Attribution - to whom a request, a fault or an error belongs.

internal import CIOMMU
public import IOMMUCore

/// The devices that a (source id, PASID) is attributed to [B-A2, B-A3].
public struct Attribution: Hashable, Sendable {
    /// The devices, in the order of their making; empty if nobody owns it.
    public var devices: [DeviceID]
    /// More than one device could have sent it: two slices share the PASID.
    public var isAmbiguous: Bool
    /// The PASID lies in nobody's slice: it is the parent device's, if there is one.
    public var isUnclaimed: Bool
    /// The source id has devices. False: it is the guest's.
    public var isKnown: Bool

    /// Makes an attribution from its parts.
    public init(
        devices: [DeviceID] = [], isAmbiguous: Bool = false, isUnclaimed: Bool = false, isKnown: Bool = false
    ) {
        self.devices = devices
        self.isAmbiguous = isAmbiguous
        self.isUnclaimed = isUnclaimed
        self.isKnown = isKnown
    }
}

extension RemappingUnit {
    /// The devices that a fault or an error of a source and PASID is attributed to. Lock-free; may be called from inside an access
    /// section.
    ///
    /// - Parameters:
    ///   - source: Who asked.
    ///   - pasid: The PASID of the request; nil for one without.
    /// - Throws: ``IOMMUError/invalidArgument`` for a source over 16 bits.
    public func owners(of source: SourceID, pasid: PASID? = nil) throws(IOMMUError) -> Attribution {
        var capacity = 8
        while true {
            var count: UInt32 = 0
            var flags: UInt32 = 0
            var status = CIOMMU_OK
            let ids = unsafe [UInt64](unsafeUninitializedCapacity: capacity) { buffer, initialized in
                unsafe status = ciommu_owners(
                    handle, source.rawValue, pasid.wire, buffer.baseAddress, UInt32(capacity), &count, &flags)
                initialized = status == CIOMMU_OK ? min(Int(count), capacity) : 0
            }
            try IOMMUError.check(status)
            if Int(count) > capacity {
                // Devices may come meanwhile: leave some room.
                capacity = Int(count) + 8
                continue
            }
            return Attribution(
                devices: ids.map { DeviceID($0) }, isAmbiguous: flags & CIOMMU_OWNER_AMBIGUOUS != 0,
                isUnclaimed: flags & CIOMMU_OWNER_UNCLAIMED != 0, isKnown: flags & CIOMMU_OWNER_KNOWN_SOURCE != 0)
        }
    }
}
