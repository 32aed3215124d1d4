// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Request - one DMA request as a value, for batches. Kept in the form of the C interface: a batch is handed over as it stands.

public import CIOMMU

/// One DMA request.
public struct Request: BitwiseCopyable, Sendable {
    @usableFromInline
    var wire: ciommu_request

    /// Makes a request from its parts.
    ///
    /// - Parameters:
    ///   - source: Who asks.
    ///   - pasid: The PASID that the request carries; nil for none.
    ///   - iova: Address of the first byte.
    ///   - count: Bytes wanted, not negative. A batch of translations asks for one address each and ignores it.
    ///   - access: What is wanted.
    ///   - options: How it is to be treated.
    @inlinable
    public init(
        source: SourceID, pasid: PASID? = nil, iova: IOVA, count: Int = 1, access: AccessRights,
        options: RequestOptions = []
    ) {
        wire = ciommu_request(
            source: source.rawValue, pasid: pasid.wire, iova: iova.rawValue, length: UInt64(bitPattern: Int64(count)),
            access: access.rawValue, flags: options.rawValue)
    }

    /// Who asks.
    @inlinable
    public var source: SourceID {
        get { SourceID(wire.source) }
        set { wire.source = newValue.rawValue }
    }

    /// The PASID that the request carries; nil for none.
    @inlinable
    public var pasid: PASID? {
        get { PASID(wire.pasid) }
        set { wire.pasid = newValue.wire }
    }

    /// Address of the first byte.
    @inlinable
    public var iova: IOVA {
        get { IOVA(wire.iova) }
        set { wire.iova = newValue.rawValue }
    }

    /// Bytes wanted, not negative. A batch of translations asks for one address each and ignores it.
    @inlinable
    public var count: Int {
        get { Int(truncatingIfNeeded: wire.length) }
        set { wire.length = UInt64(bitPattern: Int64(newValue)) }
    }

    /// What is wanted; see ``AccessRights``.
    @inlinable
    public var access: AccessRights {
        get { AccessRights(rawValue: wire.access) }
        set { wire.access = newValue.rawValue }
    }

    /// How it is to be treated.
    @inlinable
    public var options: RequestOptions {
        get { RequestOptions(rawValue: wire.flags) }
        set { wire.flags = newValue.rawValue }
    }
}

extension Request: Hashable {
    /// Equal in every part.
    public static func == (left: Request, right: Request) -> Bool {
        left.source == right.source && left.pasid == right.pasid && left.iova == right.iova
            && left.count == right.count && left.access == right.access && left.options == right.options
    }

    /// Hashes every part.
    public func hash(into hasher: inout Hasher) {
        hasher.combine(source)
        hasher.combine(pasid)
        hasher.combine(iova)
        hasher.combine(count)
        hasher.combine(access)
        hasher.combine(options)
    }
}

extension ciommu_request {
    /// As the C interface wants it where it looks at the length.
    ///
    /// - Precondition: the count is not negative.
    init(_ request: Request) {
        precondition(request.count >= 0, "a request has no negative count of bytes")
        self = request.wire
    }
}
