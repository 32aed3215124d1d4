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
        // Written out for both cases, and the section left on each path apart: so neither pays for the other, nor for the miss.
        if isInside {
            if let hit = firstLevelHit(iova, access: access, source: source, pasid: pasid, options: options) {
                return .mapped(hit)
            }
            return try translateMiss(
                iova, access: access, source: source, pasid: pasid, options: options, leaves: false)
        }
        enter()
        if let hit = firstLevelHit(iova, access: access, source: source, pasid: pasid, options: options) {
            leave()
            return .mapped(hit)
        }
        return try translateMiss(iova, access: access, source: source, pasid: pasid, options: options, leaves: true)
    }

    /// The answer of the first level, if it has one. Inside a section.
    @inlinable
    @inline(__always)
    func firstLevelHit(
        _ iova: IOVA, access: AccessRights, source: SourceID, pasid: PASID?, options: RequestOptions
    ) -> Translation? {
        guard access.isPlainTransfer, options.isEmpty,
            let entry = unsafe ciommu_first_level_find(
                handle, source.rawValue, pasid.wire, iova.rawValue, access.rawValue)
        else { return nil }
        return unsafe Translation(entry, iova, access)
    }

    /// Translates one address for each request, in order, inside one section; the counts of the requests are ignored.
    ///
    /// Nothing is allocated or converted: the fastest way to many addresses.
    ///
    /// - Parameters:
    ///   - requests: At most 2^32 - 1.
    ///   - slots: Gets the results, from the first slot on.
    /// - Precondition: there is a slot for every request.
    /// - Throws: ``IOMMUError/invalidArgument`` as for ``translate(_:access:source:pasid:options:)``; the results of the requests
    ///   before the offending one have been written.
    @inlinable
    public func translate(_ requests: Span<Request>, into slots: inout MutableSpan<TranslationSlot>) throws(IOMMUError)
    {
        let count = requests.count
        precondition(count <= slots.count, "a batch needs a slot for every request")
        let status = unsafe requests.withUnsafeBytes { requests in
            unsafe slots.withUnsafeMutableBytes { slots in
                unsafe ciommu_translate_batch(
                    handle, requests.baseAddress?.assumingMemoryBound(to: ciommu_request.self),
                    slots.baseAddress?.assumingMemoryBound(to: ciommu_result.self), UInt32(count), nil)
            }
        }
        extendLifetime(self)
        if status != CIOMMU_OK {
            throw .refused(status)
        }
    }

    /// The same into an array of its own.
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
        let status = unsafe withUnsafeTemporaryAllocation(of: ciommu_result.self, capacity: Self.chunk) { output in
            for index in output.indices {
                unsafe output[index].size = UInt32(MemoryLayout<ciommu_result>.size)
            }
            return unsafe requests.withUnsafeBufferPointer { requests in
                var start = 0
                var status = CIOMMU_OK
                while start < requests.count && status == CIOMMU_OK {
                    let count = min(Self.chunk, requests.count - start)
                    status = unsafe translateChunk(
                        UnsafeBufferPointer(rebasing: requests[start..<start + count]), output, &results)
                    start += count
                }
                return status
            }
        }
        try IOMMUError.check(status)
    }

    /// How many results are taken from C at a time.
    private static var chunk: Int { 32 }

    private func translateChunk(
        _ requests: UnsafeBufferPointer<Request>, _ output: UnsafeMutableBufferPointer<ciommu_result>,
        _ results: inout [TranslationResult]
    ) -> ciommu_status {
        var done: UInt32 = 0
        let status = unsafe requests.withMemoryRebound(to: ciommu_request.self) { requests in
            unsafe ciommu_translate_batch(
                handle, requests.baseAddress, output.baseAddress, UInt32(requests.count), &done)
        }
        for index in 0..<Int(done) {
            unsafe results.append(TranslationResult(output[index]))
        }
        return status
    }

    /// What the first level does not answer. Inside a section, which it may leave.
    ///
    /// One function for both, and the result written where it is wanted: a copy of it on the way would wait for stores that are
    /// narrower than its loads.
    @usableFromInline
    @inline(never)
    func translateMiss(
        _ iova: IOVA, access: AccessRights, source: SourceID, pasid: PASID?, options: RequestOptions, leaves: Bool
    ) throws(IOMMUError) -> TranslationResult {
        try unsafe withUnsafeTemporaryAllocation(of: ciommu_result.self, capacity: 1) { room throws(IOMMUError) in
            let result = room.baseAddress!
            unsafe result.pointee.size = UInt32(MemoryLayout<ciommu_result>.size)
            let status = unsafe ciommu_translate(
                unit.handle, handle, source.rawValue, pasid.wire, iova.rawValue, access.rawValue, options.rawValue,
                result)
            if leaves {
                leave()
            }
            if status != CIOMMU_OK {
                throw .refused(status)
            }
            if unsafe result.pointee.outcome == CIOMMU_TRANSLATED_OK.rawValue {
                return unsafe .mapped(Translation(result.pointee))
            }
            return unsafe TranslationResult(result.pointee)
        }
    }
}

extension Translation {
    /// Reads a first-level entry that has just answered.
    @inlinable
    @inline(__always)
    init(_ entry: UnsafePointer<ciommu_first_level_entry>, _ iova: IOVA, _ access: AccessRights) {
        unsafe self.init(
            address: OutputAddress(entry.pointee.address &+ (iova.rawValue & 0xfff)),
            pageSizeLog2: Int(entry.pointee.page_lg2),
            rights: AccessRights(rawValue: ciommu_first_level_rights(entry, access.rawValue)),
            contiguousBytes: entry.pointee.last &- iova.rawValue &+ 1,
            attributes: UInt64(entry.pointee.attributes))
    }
}
