// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Descriptors by name, 128 bits each (see `widened`): what a driver would put into the queue [FORMATS-VTD C2]. Values are put
// where they belong and are not checked against a unit.

extension InvalidationDescriptor {
    /// Context-cache invalidation (type 1): one source, or all of a domain, or everything.
    ///
    /// - Parameters:
    ///   - domain: Domain id; nil for everything.
    ///   - source: 16-bit source id, only with a domain; nil for the whole domain.
    ///   - functionMask: 0 exact, 1 ignore bit 2, 2 ignore bits 2:1, 3 ignore bits 2:0 of the source.
    public static func contextCache(
        domain: UInt16? = nil, source: SourceID? = nil, functionMask: UInt64 = 0
    ) -> InvalidationDescriptor {
        guard let domain else { return InvalidationDescriptor(1 | 1 << 4, 0) }
        guard let source else { return InvalidationDescriptor(1 | 2 << 4 | UInt64(domain) << 16, 0) }
        let low = 1 | 3 << 4 | UInt64(domain) << 16
        return InvalidationDescriptor(low | UInt64(source.rawValue & 0xffff) << 32 | (functionMask & 3) << 48, 0)
    }

    /// IOTLB invalidation (type 2) of a domain or of everything, draining reads and writes.
    public static func iotlb(domain: UInt16? = nil) -> InvalidationDescriptor {
        guard let domain else { return InvalidationDescriptor(2 | 1 << 4 | drain, 0) }
        return InvalidationDescriptor(2 | 2 << 4 | drain | UInt64(domain) << 16, 0)
    }

    /// IOTLB invalidation (type 2) of 2^`addressMask` pages of a domain, draining reads and writes.
    ///
    /// - Parameters:
    ///   - domain: Domain id.
    ///   - page: An address in the pages; its low 12 + `addressMask` bits do not count.
    ///   - addressMask: 0 to 63.
    ///   - leafOnly: Only leaf entries changed (IH).
    public static func iotlb(
        domain: UInt16, page: IOVA, addressMask: Int = 0, leafOnly: Bool = false
    ) -> InvalidationDescriptor {
        InvalidationDescriptor(
            2 | 3 << 4 | drain | UInt64(domain) << 16, pages(page, addressMask: addressMask, leafOnly: leafOnly))
    }

    /// PASID-based IOTLB invalidation (type 6) of a PASID.
    public static func pasidIOTLB(domain: UInt16, pasid: PASID) -> InvalidationDescriptor {
        InvalidationDescriptor(6 | 2 << 4 | UInt64(domain) << 16 | UInt64(pasid.rawValue) << 32, 0)
    }

    /// PASID-based IOTLB invalidation (type 6) of 2^`addressMask` pages of a PASID; parameters as for
    /// ``iotlb(domain:page:addressMask:leafOnly:)``.
    public static func pasidIOTLB(
        domain: UInt16, pasid: PASID, page: IOVA, addressMask: Int = 0, leafOnly: Bool = false
    ) -> InvalidationDescriptor {
        InvalidationDescriptor(
            6 | 3 << 4 | UInt64(domain) << 16 | UInt64(pasid.rawValue) << 32,
            pages(page, addressMask: addressMask, leafOnly: leafOnly))
    }

    /// PASID-cache invalidation (type 7): one PASID of a domain, or all of a domain, or everything.
    ///
    /// - Parameters:
    ///   - domain: Domain id; nil for everything.
    ///   - pasid: The PASID, only with a domain; nil for the whole domain.
    public static func pasidCache(domain: UInt16? = nil, pasid: PASID? = nil) -> InvalidationDescriptor {
        guard let domain else { return InvalidationDescriptor(7 | 3 << 4, 0) }
        guard let pasid else { return InvalidationDescriptor(7 | UInt64(domain) << 16, 0) }
        return InvalidationDescriptor(7 | 1 << 4 | UInt64(domain) << 16 | UInt64(pasid.rawValue) << 32, 0)
    }

    /// Wait (type 5): everything before it is complete when it is.
    ///
    /// - Parameters:
    ///   - status: Where to store which 32 bits; the address is a multiple of 4.
    ///   - interrupt: Raise the completion event.
    ///   - fence: Later descriptors wait for this one.
    ///   - drainPageRequests: Drain page requests first.
    public static func wait(
        status: (address: OutputAddress, data: UInt32)? = nil, interrupt: Bool = false, fence: Bool = false,
        drainPageRequests: Bool = false
    ) -> InvalidationDescriptor {
        var low: UInt64 = 5 | (interrupt ? 1 << 4 : 0) | (fence ? 1 << 6 : 0) | (drainPageRequests ? 1 << 7 : 0)
        guard let status else { return InvalidationDescriptor(low, 0) }
        low |= 1 << 5 | UInt64(status.data) << 32
        return InvalidationDescriptor(low, status.address.rawValue & ~3)
    }

    /// DW and DR of an IOTLB invalidation.
    private static var drain: UInt64 { 3 << 6 }

    private static func pages(_ page: IOVA, addressMask: Int, leafOnly: Bool) -> UInt64 {
        page.rawValue & ~0xfff | (leafOnly ? 1 << 6 : 0) | UInt64(addressMask & 63)
    }
}
