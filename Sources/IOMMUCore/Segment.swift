// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Segment - one piece of a request, without its host pointer: may leave the section, as an address that may be out of date.

public import CIOMMU

/// A piece of a request that is contiguous in output addresses and, where it is reachable, in host memory.
public struct Segment: Hashable, Sendable {
    /// Input address of the first byte.
    public let iova: IOVA
    /// Output address of the first byte.
    public let address: OutputAddress
    /// Bytes, at least 1.
    public let count: Int
    /// Rights that were granted for the privilege of the request.
    public let rights: AccessRights
    /// Base-2 logarithm of the size of the first page in it.
    public let pageSizeLog2: Int
    /// Registered memory backs it and permits the access.
    public let isReachable: Bool

    @inlinable
    init(_ segment: ciommu_segment) {
        iova = unsafe IOVA(segment.iova)
        address = unsafe OutputAddress(segment.address)
        count = unsafe Int(segment.length)
        rights = unsafe AccessRights(rawValue: segment.rights)
        pageSizeLog2 = unsafe Int(segment.page_lg2)
        isReachable = unsafe segment.host != nil
    }
}
