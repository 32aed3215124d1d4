// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Copy helpers: a section of their own (or the caller's), a scatter list, and the copy. They tell the dirty log what they wrote.

internal import CIOMMU

extension Port {
    /// Reads guest memory into a raw span.
    ///
    /// - Parameters:
    ///   - destination: Gets the bytes, as many as it holds; those that were not transferred are left as they are.
    ///   - iova: Address of the first byte.
    ///   - source: Who asks.
    ///   - pasid: The PASID that the request carries; nil for none.
    ///   - access: ``AccessRights/privileged`` or ``AccessRights/execute`` besides read, which is implied.
    ///   - options: How the request is to be treated.
    /// - Returns: How far it came. Faults and missing memory are in it.
    /// - Throws: ``IOMMUError/wraps``, ``IOMMUError/invalidArgument`` as for a translation.
    public func read(
        into destination: inout MutableRawSpan, from iova: IOVA, source: SourceID, pasid: PASID? = nil,
        access: AccessRights = [], options: RequestOptions = []
    ) throws(IOMMUError) -> CopyProgress {
        try unsafe destination.withUnsafeMutableBytes { bytes throws(IOMMUError) in
            try unsafe read(
                into: bytes, from: iova, source: source, pasid: pasid, access: access, options: options)
        }
    }

    /// Reads guest memory into a span of bytes; otherwise as the form that takes a raw span.
    public func read(
        into destination: inout MutableSpan<UInt8>, from iova: IOVA, source: SourceID, pasid: PASID? = nil,
        access: AccessRights = [], options: RequestOptions = []
    ) throws(IOMMUError) -> CopyProgress {
        try unsafe destination.withUnsafeMutableBytes { bytes throws(IOMMUError) in
            try unsafe read(
                into: bytes, from: iova, source: source, pasid: pasid, access: access, options: options)
        }
    }

    /// Reads guest memory into a buffer; otherwise as the form that takes a raw span.
    @unsafe
    public func read(
        into destination: UnsafeMutableRawBufferPointer, from iova: IOVA, source: SourceID, pasid: PASID? = nil,
        access: AccessRights = [], options: RequestOptions = []
    ) throws(IOMMUError) -> CopyProgress {
        var request = ciommu_request(
            Request(
                source: source, pasid: pasid, iova: iova, count: destination.count, access: access, options: options))
        var progress = ciommu_progress.empty
        let status = unsafe ciommu_read(handle, &request, destination.baseAddress, &progress)
        return try CopyProgress(status, progress, of: request)
    }

    /// Writes bytes to guest memory.
    ///
    /// - Parameters:
    ///   - bytes: What to write.
    ///   - iova: Address of the first byte.
    ///   - source: Who asks.
    ///   - pasid: The PASID that the request carries; nil for none.
    ///   - access: ``AccessRights/privileged`` besides write, which is implied.
    ///   - options: How the request is to be treated.
    /// - Returns: How far it came. Faults and missing or read-only memory are in it.
    /// - Throws: ``IOMMUError/wraps``, ``IOMMUError/invalidArgument`` as for a translation.
    public func write(
        _ bytes: RawSpan, to iova: IOVA, source: SourceID, pasid: PASID? = nil, access: AccessRights = [],
        options: RequestOptions = []
    ) throws(IOMMUError) -> CopyProgress {
        try unsafe bytes.withUnsafeBytes { bytes throws(IOMMUError) in
            try unsafe write(bytes, to: iova, source: source, pasid: pasid, access: access, options: options)
        }
    }

    /// Writes a span of bytes to guest memory; otherwise as the form that takes a raw span.
    public func write(
        _ bytes: Span<UInt8>, to iova: IOVA, source: SourceID, pasid: PASID? = nil, access: AccessRights = [],
        options: RequestOptions = []
    ) throws(IOMMUError) -> CopyProgress {
        try unsafe bytes.withUnsafeBytes { bytes throws(IOMMUError) in
            try unsafe write(bytes, to: iova, source: source, pasid: pasid, access: access, options: options)
        }
    }

    /// Writes a buffer to guest memory; otherwise as the form that takes a raw span.
    @unsafe
    public func write(
        _ bytes: UnsafeRawBufferPointer, to iova: IOVA, source: SourceID, pasid: PASID? = nil,
        access: AccessRights = [], options: RequestOptions = []
    ) throws(IOMMUError) -> CopyProgress {
        var request = ciommu_request(
            Request(source: source, pasid: pasid, iova: iova, count: bytes.count, access: access, options: options))
        var progress = ciommu_progress.empty
        let status = unsafe ciommu_write(handle, &request, bytes.baseAddress, &progress)
        return try CopyProgress(status, progress, of: request)
    }

    /// Compares a value in guest memory and exchanges it if it is equal, in one atomic step with sequentially consistent order. Needs
    /// read and write rights. Values are in the host's byte order.
    ///
    /// - Parameters:
    ///   - iova: Address of the value, a multiple of its size.
    ///   - expected: What is to be there.
    ///   - desired: What is to replace it; 8, 16, 32 or 64 bits.
    ///   - source: Who asks.
    ///   - pasid: The PASID that the request carries; nil for none.
    ///   - access: ``AccessRights/privileged`` besides read and write, which are implied.
    ///   - options: How the request is to be treated.
    /// - Returns: What was found and done. Faults and missing or read-only memory are in it.
    /// - Throws: ``IOMMUError/misaligned``, ``IOMMUError/invalidArgument`` as for a translation or for another size of value.
    public func compareExchange<Value: FixedWidthInteger & UnsignedInteger & Sendable>(
        at iova: IOVA, expected: Value, desired: Value, source: SourceID, pasid: PASID? = nil,
        access: AccessRights = [], options: RequestOptions = []
    ) throws(IOMMUError) -> CompareExchangeResult<Value> {
        guard [8, 16, 32, 64].contains(Value.bitWidth) else {
            throw .invalidArgument.with(detail: "a value of \(Value.bitWidth) bits")
        }
        var request = ciommu_request(
            Request(
                source: source, pasid: pasid, iova: iova, count: Value.bitWidth / 8, access: access, options: options))
        var progress = ciommu_progress.empty
        var found = UInt64(expected)
        var exchanged = false
        let status = unsafe ciommu_compare_exchange(
            handle, &request, &found, UInt64(desired), &exchanged, &progress)
        let report = try CopyProgress(status, progress, of: request)
        return CompareExchangeResult(
            exchanged: report.isComplete && exchanged,
            original: report.isComplete ? Value(truncatingIfNeeded: found) : nil,
            progress: report)
    }
}
