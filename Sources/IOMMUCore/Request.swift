// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Request - one DMA request as a value, for batches.

internal import CIOMMU

/// One DMA request.
public struct Request: Hashable, Sendable {
    /// Who asks.
    public var source: SourceID
    /// The PASID that the request carries; nil for none.
    public var pasid: PASID?
    /// Address of the first byte.
    public var iova: IOVA
    /// Bytes wanted, not negative. A batch of translations asks for one address each and ignores it.
    public var count: Int
    /// What is wanted; see ``AccessRights``.
    public var access: AccessRights
    /// How it is to be treated.
    public var options: RequestOptions

    /// Makes a request from its parts.
    public init(
        source: SourceID, pasid: PASID? = nil, iova: IOVA, count: Int = 1, access: AccessRights,
        options: RequestOptions = []
    ) {
        self.source = source
        self.pasid = pasid
        self.iova = iova
        self.count = count
        self.access = access
        self.options = options
    }
}

extension ciommu_request {
    /// As the C interface wants it.
    ///
    /// - Precondition: the count is not negative.
    init(_ request: Request) {
        precondition(request.count >= 0, "a request has no negative count of bytes")
        self.init(
            source: request.source.rawValue, pasid: request.pasid.wire, iova: request.iova.rawValue,
            length: UInt64(request.count), access: request.access.rawValue, flags: request.options.rawValue)
    }
}
