// SPDX-License-Identifier: LGPL-2.1-or-later
//
// PageRequest - one part of a group as a device sends it, and the pages of a whole group.

internal import CIOMMU
public import IOMMUCore

/// A page that is asked for.
public struct RequestedPage: Hashable, Sendable {
    /// Any address in the page; its first one where the library tells it.
    public var address: IOVA
    /// What the device wants to do there.
    public var access: AccessRights

    /// Asks for a page.
    public init(_ address: IOVA, access: AccessRights) {
        self.address = address
        self.access = access
    }
}

/// One page request as a device sends it [FORMATS-VTD D1].
public struct PageRequest: Hashable, Sendable {
    /// The page, and what the device wants to do there.
    public var page: RequestedPage
    /// The PASID; nil for none.
    public var pasid: PASID?
    /// The index of its group: 0 to 511.
    public var group: Int
    /// It is the last of its group, which then wants an answer. Without read and write it is a stop marker, which is
    /// dropped.
    public var isLast: Bool
    /// Comes back with the answer. A request that has some is the last of its group.
    public var privateData: PagePrivateData?

    /// Makes a request.
    public init(
        _ address: IOVA, access: AccessRights, pasid: PASID? = nil, group: Int, isLast: Bool = true,
        privateData: PagePrivateData? = nil
    ) {
        page = RequestedPage(address, access: access)
        self.pasid = pasid
        self.group = group
        self.isLast = isLast
        self.privateData = privateData
    }

    /// The 32 bytes of the request in a page-request queue, as four little-endian words [FORMATS-VTD D1].
    public func descriptor(from source: SourceID) throws(IOMMUError) -> [UInt64] {
        var request = try makeC()
        var words: [UInt64] = [0, 0, 0, 0]
        unsafe words.withUnsafeMutableBufferPointer { words in
            unsafe ciommu_page_descriptor(source.rawValue, &request, words.baseAddress)
        }
        return words
    }

    /// Sends it through an interface that a host in C made.
    @unsafe
    package func send(through interface: OpaquePointer) throws(IOMMUError) {
        var request = try makeC()
        try unsafe IOMMUError.check(ciommu_page_request(interface, nil, &request))
    }

    /// As the C interface wants it, which checks all but what does not fit its integers.
    func makeC() throws(IOMMUError) -> ciommu_page_request {
        guard let index = UInt32(exactly: group), index <= CIOMMU_PAGE_GROUP_MAX else {
            throw .invalidArgument.with(detail: "group is \(group); it must be 0 to \(CIOMMU_PAGE_GROUP_MAX)")
        }
        var request = ciommu_page_request()
        request.size = UInt32(MemoryLayout<ciommu_page_request>.size)
        request.pasid = pasid.wire
        request.address = page.address.rawValue
        request.access = page.access.rawValue
        request.group = index
        request.flags = isLast ? CIOMMU_PAGE_LAST : 0
        if let words = privateData?.words {
            request.flags |= CIOMMU_PAGE_PRIVATE_DATA
            request.private_data = (words.low, words.high)
        }
        return request
    }
}

/// What a page-group response descriptor says [FORMATS-VTD C2 type 9].
public struct PageGroupName: Hashable, Sendable {
    /// Whose group it is.
    public var source: SourceID
    /// Its PASID; nil for none.
    public var pasid: PASID?
    /// Its index.
    public var group: Int

    /// Names a group.
    public init(source: SourceID, pasid: PASID?, group: Int) {
        self.source = source
        self.pasid = pasid
        self.group = group
    }

    /// Reads a descriptor: the group, and the response to it. Reserved codes mean failure.
    ///
    /// - Parameter descriptor: Four words.
    /// - Throws: ``IOMMUError/badDescriptor`` for another type; ``IOMMUError/invalidArgument`` for less than four words.
    public static func decode(_ descriptor: [UInt64]) throws(IOMMUError) -> (PageGroupName, PageResponse) {
        guard descriptor.count >= 4 else { throw .invalidArgument }
        var source: UInt32 = 0
        var pasid: UInt32 = 0
        var group: UInt32 = 0
        var code = CIOMMU_PAGE_SUCCESS
        let status = unsafe descriptor.withUnsafeBufferPointer { words in
            unsafe ciommu_page_response_decode(words.baseAddress, &source, &pasid, &group, &code)
        }
        try IOMMUError.check(status)
        let name = PageGroupName(source: SourceID(source), pasid: PASID(pasid), group: Int(group))
        return (name, PageResponse(rawValue: code.rawValue) ?? .failure)
    }
}
