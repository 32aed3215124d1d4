// SPDX-License-Identifier: LGPL-2.1-or-later
//
// RequestOptions - what sets a request apart from plain untranslated DMA.

/// How a request is to be treated. The empty set is plain DMA, and the only one that the inlined hit path serves.
public struct RequestOptions: OptionSet, Hashable, Sendable {
    /// The bits below. Others are refused with ``IOMMUError/invalidArgument``.
    public let rawValue: UInt32

    /// Makes a set from bits.
    @inlinable
    public init(rawValue: UInt32) {
        self.rawValue = rawValue
    }

    /// Returns a fault but does not put it into the port's fault ring.
    @inlinable
    public static var noFault: RequestOptions { RequestOptions(rawValue: 1) }

    /// Leaves accessed and dirty bits alone; write is then granted only where the dirty bit is set already.
    @inlinable
    public static var noAccessedDirty: RequestOptions { RequestOptions(rawValue: 2) }

    /// An ATS translation request [FORMATS-VTD A9b]: the device asks in order to store the answer, which it does inside the
    /// section, or later with the token of ``Port/requestTranslation(_:access:source:pasid:options:)``.
    ///
    /// A guest's tables allow it or not (TT, DTE). A source id with a device of the host is allowed it while a device-TLB covers
    /// the PASID; without one, this and ``translated`` are refused as with TT = 0 or DTE = 0 ("unsupported request").
    @inlinable
    public static var translationRequest: RequestOptions { RequestOptions(rawValue: 4) }

    /// A translated request: its address is an output address that ATS gave earlier [FORMATS-VTD A9b].
    @inlinable
    public static var translated: RequestOptions { RequestOptions(rawValue: 8) }

    /// Treats the request as one without PASID whose implied PASID (RID_PASID) is the given one. For diagnosis: it shows what a
    /// PASID-table entry would do.
    @inlinable
    public static var impliedPASID: RequestOptions { RequestOptions(rawValue: 16) }

    /// Neither looks into nor fills any cache: walks the tables as they stand now.
    @inlinable
    public static var noCache: RequestOptions { RequestOptions(rawValue: 32) }
}
