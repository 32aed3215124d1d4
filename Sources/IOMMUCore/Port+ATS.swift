// SPDX-License-Identifier: LGPL-2.1-or-later
//
// What devices with a cache of their own do (ATS): ask for translations, and store them.

internal import CIOMMU

extension Port {
    /// Asks for a translation on behalf of a device that stores it (an ATS translation request [FORMATS-VTD A9b]).
    ///
    /// The device stores the answer inside the section that this call was made in, or later through
    /// ``storeIfValid(_:_:)`` with the token: what it stores otherwise it may use for ever. It uses what it stored by requests
    /// with ``RequestOptions/translated``, until its device-TLB is asked to drop it.
    ///
    /// - Parameters:
    ///   - iova: The input address.
    ///   - access: What the device wants to do; without read, write and execute a probe.
    ///   - source: Who asks.
    ///   - pasid: The PASID that the request carries; nil for none.
    ///   - options: ``RequestOptions/translationRequest`` is added.
    /// - Returns: The answer, and a token where the device may store it: nil with a fault, and with
    ///   ``Translation/isUntranslatedOnly``. A fault that ``Fault/isRecoverable`` is an answer without rights, which a page
    ///   request may cure, and is not recorded; others are unsupported requests.
    /// - Throws: ``IOMMUError/invalidArgument`` for a source over 16 bits or unknown bits, or together with
    ///   ``RequestOptions/translated``. A fault is a result.
    public func requestTranslation(
        _ iova: IOVA, access: AccessRights, source: SourceID, pasid: PASID? = nil, options: RequestOptions = []
    ) throws(IOMMUError) -> (result: TranslationResult, token: ATSToken?) {
        var result = unsafe ciommu_result.empty
        let flags = options.union(.translationRequest).rawValue
        try unsafe IOMMUError.check(
            ciommu_translate(
                unit.handle, handle, source.rawValue, pasid.wire, iova.rawValue, access.rawValue, flags, &result))
        return unsafe (TranslationResult(result), ATSToken(result.token))
    }

    /// Runs `store` inside an access section if the answer of the token is still true.
    ///
    /// Until `store` returns, every invalidation that covers the answer waits; then the device is asked to drop it. So `store` must
    /// put the answer where the device's handler finds it, be short, and wait for nobody who invalidates.
    ///
    /// - Parameters:
    ///   - token: Of this port's unit; that of another one is never valid.
    ///   - store: Stores the answer.
    /// - Returns: What `store` returns; nil if it was not called: an invalidation, a change of tables or the end of the address
    ///   space may have overtaken the answer, or something else in the same address space did. Ask again.
    public func storeIfValid<Result: ~Copyable, Failure: Error>(
        _ token: ATSToken, _ store: () throws(Failure) -> Result
    ) throws(Failure) -> Result? {
        enter()
        defer { leave() }
        guard isValid(token) else { return nil }
        return try store()
    }

    /// True inside a section of this port if the answer of the token is still true: it may be stored until the section ends. For
    /// several tokens in one section; otherwise ``storeIfValid(_:_:)``. False outside a section.
    public func isValid(_ token: ATSToken) -> Bool {
        var wire = token.wire
        return unsafe ciommu_ats_token_valid(handle, &wire)
    }
}
