// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Address-only translation through a port. A first-level hit is inlined into the host; the rest is one call of C.

public import CIOMMU

extension Port {
    /// Translates one address. Inside a section the answer stays good until the section ends; outside it may be out of date as
    /// soon as the call returns. A hit and a walk take no lock and allocate nothing.
    ///
    /// - Parameters:
    ///   - iova: The input address.
    ///   - access: What is wanted; without read, write and execute a probe.
    ///   - source: Who asks.
    ///   - pasid: The PASID that the request carries; nil for none.
    ///   - options: How the request is to be treated.
    /// - Throws: ``IOMMUError/invalidArgument`` for a source over 16 bits or unknown bits. A fault is a result.
    @inlinable
    public func translate(
        _ iova: IOVA, access: AccessRights, source: SourceID, pasid: PASID? = nil, options: RequestOptions = []
    ) throws(IOMMUError) -> TranslationResult {
        enter()
        defer { leave() }
        if access.isPlainTransfer && options.isEmpty {
            var segment = unsafe ciommu_segment()
            if unsafe ciommu_first_level_lookup(
                handle, source.rawValue, pasid.wire, iova.rawValue, access.rawValue, &segment)
            {
                return unsafe .mapped(
                    Translation(
                        address: OutputAddress(segment.address), pageSizeLog2: Int(segment.page_lg2),
                        rights: AccessRights(rawValue: segment.rights), contiguousBytes: segment.length,
                        attributes: hitAttributes(iova, source: source, pasid: pasid)))
            }
        }
        return try translateMiss(iova, access: access, source: source, pasid: pasid, options: options)
    }

    /// Translates one address for each request, in order, inside one section; the counts of the requests are ignored.
    ///
    /// - Throws: ``IOMMUError/invalidArgument`` as for ``translate(_:access:source:pasid:options:)``.
    public func translate(_ requests: [Request]) throws(IOMMUError) -> [TranslationResult] {
        var results: [TranslationResult] = []
        results.reserveCapacity(requests.count)
        try translate(requests, appendingTo: &results)
        return results
    }

    /// Translates one address for each request and appends the results in order. Allocates nothing if `results` has the capacity.
    ///
    /// - Throws: As for ``translate(_:)``; the results of the requests before the offending one have been appended.
    public func translate(
        _ requests: [Request], appendingTo results: inout [TranslationResult]
    ) throws(IOMMUError) {
        enter()
        defer { leave() }
        var start = 0
        while start < requests.count {
            let end = min(start + 16, requests.count)
            try translateChunk(requests[start..<end], appendingTo: &results)
            start = end
        }
    }

    private func translateChunk(
        _ requests: ArraySlice<Request>, appendingTo results: inout [TranslationResult]
    ) throws(IOMMUError) {
        var done: UInt32 = 0
        let status = unsafe withUnsafeTemporaryAllocation(of: ciommu_request.self, capacity: requests.count) { input in
            unsafe withUnsafeTemporaryAllocation(of: ciommu_result.self, capacity: requests.count) { output in
                for (index, request) in requests.enumerated() {
                    unsafe input.initializeElement(at: index, to: ciommu_request(request))
                }
                unsafe output.initialize(repeating: .empty)
                let status = unsafe ciommu_translate_batch(
                    handle, input.baseAddress, output.baseAddress, UInt32(requests.count), &done)
                for index in 0..<Int(done) {
                    unsafe results.append(TranslationResult(output[index]))
                }
                return status
            }
        }
        try IOMMUError.check(status)
    }

    /// What the first level does not answer. Inside a section.
    @usableFromInline
    func translateMiss(
        _ iova: IOVA, access: AccessRights, source: SourceID, pasid: PASID?, options: RequestOptions
    ) throws(IOMMUError) -> TranslationResult {
        var result = unsafe ciommu_result.empty
        try unsafe IOMMUError.check(
            ciommu_translate(
                unit.handle, handle, source.rawValue, pasid.wire, iova.rawValue, access.rawValue, options.rawValue,
                &result))
        return unsafe TranslationResult(result)
    }

    /// The attributes of the first-level entry that has just hit; a segment does not carry them.
    @inlinable
    @inline(__always)
    func hitAttributes(_ iova: IOVA, source: SourceID, pasid: PASID?) -> UInt64 {
        let head = unsafe UnsafePointer<ciommu_port_head>(handle)
        let requester = ciommu_requester(source.rawValue, pasid.wire)
        let slot = unsafe ciommu_first_level_slot(iova.rawValue >> 12, requester) & head.pointee.first_level_mask
        return unsafe UInt64(head.pointee.first_level[Int(truncatingIfNeeded: slot)].attributes)
    }
}
