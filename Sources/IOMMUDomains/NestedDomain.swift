// SPDX-License-Identifier: LGPL-2.1-or-later
//
// NestedDomain - a guest's first stage over a paging domain of the host.

internal import CIOMMU
public import IOMMUCore

/// A guest's own first stage over a paging domain, which it keeps alive. Its input addresses are the guest's, its tables lie at
/// input addresses of the parent.
///
/// What is in the tables is not looked at before a request needs it: a bad entry is a fault then [B-B1]. The guest says when it
/// changed them: ``invalidate(_:leafOnly:port:)``. Changes of the parent reach it before they complete.
public final class NestedDomain: Domain, @unchecked Sendable {
    /// The second stage under this one.
    public let parent: PagingDomain

    /// Where the guest's tables begin, and the flags.
    public let firstStage: FirstStage

    /// Makes a nested domain. Nothing is read from the guest's tables.
    ///
    /// - Parameters:
    ///   - parent: A paging domain that was made as a nest parent.
    ///   - firstStage: The guest's tables.
    /// - Throws: ``IOMMUError/notNestParent``; ``IOMMUError/invalidArgument`` for a width other than 48 and 57 or an unknown option;
    ///   ``IOMMUError/misaligned`` for the root; ``IOMMUError/unsupported``, with the capability that is missing;
    ///   ``IOMMUError/noSpace`` when the unit's ``RemappingUnit/Configuration/domains`` exist; ``IOMMUError/noMemory``.
    public init(parent: PagingDomain, firstStage: FirstStage) throws(IOMMUError) {
        var config = ciommu_nested_config(
            size: UInt32(MemoryLayout<ciommu_nested_config>.size),
            address_width: UInt32(clamping: firstStage.addressWidth), flags: firstStage.options.rawValue,
            pgtbl_addr: firstStage.root.rawValue)
        var handle: OpaquePointer?
        let status = unsafe ciommu_nested_create(parent.handle, &config, &handle)
        guard status == CIOMMU_OK, let handle = unsafe handle else {
            throw Self.error(status, parent, firstStage)
        }
        self.parent = parent
        self.firstStage = firstStage
        unsafe super.init(handle: handle, unit: parent.unit, kind: .nested, keptAlive: parent)
    }

    /// The guest changed its first stage. When this returns, nothing that the range covers is cached or in use.
    ///
    /// - Parameters:
    ///   - range: Input addresses whose entries changed.
    ///   - leafOnly: Only leaf entries changed, none that points to a table (IH).
    ///   - port: The caller's own port, if it has one: then a call from inside its section is refused instead of waiting for
    ///     itself.
    /// - Throws: ``IOMMUError/inSection``; ``IOMMUError/invalidArgument`` for another unit's port; ``IOMMUError/timedOut``: done,
    ///   but a section that began before still runs (see ``RemappingUnit/drain()``).
    public func invalidate(
        _ range: ClosedRange<IOVA>, leafOnly: Bool = false, port: Port? = nil
    ) throws(IOMMUError) {
        try unit.checkOwner(of: port)
        try unsafe IOMMUError.check(
            ciommu_nested_invalidate(
                handle, port?.handle, range.lowerBound.rawValue, range.upperBound.rawValue, leafOnly))
    }

    /// The guest changed anything in its first stage; otherwise as ``invalidate(_:leafOnly:port:)``.
    public func invalidateAll(port: Port? = nil) throws(IOMMUError) {
        try invalidate(.min ... .max, port: port)
    }

    /// Says which rule the arguments broke.
    private static func error(_ status: ciommu_status, _ parent: PagingDomain, _ firstStage: FirstStage) -> IOMMUError {
        let error = IOMMUError(status)
        let capabilities = parent.unit.capabilities
        switch error {
        case .invalidArgument where ![48, 57].contains(firstStage.addressWidth):
            return error.with(detail: "a first stage has 48 or 57 address bits, not \(firstStage.addressWidth)")
        case .invalidArgument:
            return error.with(detail: "unknown first-stage options: \(firstStage.options)")
        case .misaligned:
            return error.with(detail: "the first-stage root \(firstStage.root) is not a multiple of 4096")
        case .unsupported where !capabilities.nestedTranslation:
            return error.with(detail: "nested translation needs ECAP.NEST")
        case .unsupported where !capabilities.firstStage:
            return error.with(detail: "a first stage needs ECAP.FSTS")
        case .unsupported where firstStage.addressWidth == 57 && !capabilities.firstStage5Level:
            return error.with(detail: "57 address bits need CAP.FS5LP")
        case .unsupported where firstStage.options.contains(.supervisorRequests) && !capabilities.supervisorRequests:
            return error.with(detail: "SRE needs ECAP.SRS")
        case .unsupported where firstStage.options.contains(.extendedAccessed) && !capabilities.extendedAccessedFlag:
            return error.with(detail: "EAFE needs ECAP.EAFS")
        default:
            return error
        }
    }
}
