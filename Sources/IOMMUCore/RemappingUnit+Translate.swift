// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Translation without a port of one's own: through a pooled port, address only. For hosts that ask rarely, and for tools.

internal import CIOMMU

extension RemappingUnit {
    /// Translates one address through a pooled port. The answer may be out of date as soon as the call returns.
    ///
    /// - Parameters:
    ///   - iova: The input address.
    ///   - access: What is wanted; without read, write and execute a probe.
    ///   - source: Who asks.
    ///   - pasid: The PASID that the request carries; nil for none.
    ///   - options: How the request is to be treated.
    /// - Throws: ``IOMMUError/noPort`` when every pooled port is taken; ``IOMMUError/invalidArgument`` for a source over 16 bits or
    ///   unknown bits. A fault is a result.
    public func translate(
        _ iova: IOVA, access: AccessRights, source: SourceID, pasid: PASID? = nil, options: RequestOptions = []
    ) throws(IOMMUError) -> TranslationResult {
        var result = unsafe ciommu_result.empty
        try unsafe IOMMUError.check(
            ciommu_translate(
                handle, nil, source.rawValue, pasid.wire, iova.rawValue, access.rawValue, options.rawValue, &result))
        return unsafe TranslationResult(result)
    }

    /// Walks the tables as they stand now, past every cache, without touching accessed or dirty bits or recording a fault, and
    /// reports every entry that was read.
    ///
    /// Parameters and errors are those of ``translate(_:access:source:pasid:options:)``.
    public func trace(
        _ iova: IOVA, access: AccessRights, source: SourceID, pasid: PASID? = nil, options: RequestOptions = []
    ) throws(IOMMUError) -> WalkTrace {
        // A nested 5-level walk reads 39 entries: 4 of device tables, 5 first-stage ones with 5 + 1 for each, 5 for the page.
        var steps = [ciommu_step](repeating: ciommu_step(), count: 64)
        var count: UInt32 = 0
        var result = unsafe ciommu_result.empty
        try unsafe IOMMUError.check(
            ciommu_trace(
                handle, nil, source.rawValue, pasid.wire, iova.rawValue, access.rawValue, options.rawValue,
                &steps, UInt32(steps.count), &count, &result))
        return unsafe WalkTrace(
            steps: steps.prefix(Int(count)).map(WalkStep.init), isTruncated: Int(count) > steps.count,
            result: TranslationResult(result))
    }
}
