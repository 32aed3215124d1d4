// SPDX-License-Identifier: LGPL-2.1-or-later
//
// PagingDomain - a second stage that the host fills: by itself, or as the mirror of an IOAddressSpace. What is mapped in it:
// +Mappings; dirty tracking: +Dirty.

internal import CIOMMU
public import IOMMUCore
internal import Synchronization

// @unchecked: as Domain; `mirrorSerial` is atomic, `tracking` behind its lock.
/// A domain whose page tables the host fills.
///
/// Made over an ``IOAddressSpace`` it has the same mappings, from its making on, and cannot be filled directly. Several domains, also
/// of several units, may be over one space. Any thread may call, at any time; calls that wait for access sections must not be made
/// from inside one.
@safe
public final class PagingDomain: Domain, @unchecked Sendable {
    /// What a paging domain can do besides.
    public struct Options: OptionSet, Hashable, Sendable {
        /// Bit 0 nest parent, 1 dirty tracking.
        public let rawValue: UInt32

        /// Makes options from bits.
        public init(rawValue: UInt32) {
            self.rawValue = rawValue
        }

        /// It may be the parent of nested domains. Needs ECAP.NEST.
        public static let nestParent = Options(rawValue: 1)

        /// ``PagingDomain/startDirtyTracking(splittingLargePages:port:)`` may be called. Needs ECAP.SSADS.
        public static let dirtyTracking = Options(rawValue: 2)
    }

    /// The space that it mirrors; nil when the host fills it directly. Kept alive.
    public let space: IOAddressSpace?

    /// What it was made for.
    public let options: Options

    /// Bits of its input addresses.
    public let addressWidth: Int

    /// The limit on its pages that it was made with; nil for the largest that the unit offers.
    public let largestPage: PageSize?

    /// What dirty tracking does; held while C starts or stops it, because C cannot be asked.
    let tracking = Mutex(DirtyTracking.off)

    /// Names this mirror in the space; 0 as long as there is none.
    private let mirrorSerial = Atomic<UInt64>(0)

    /// Makes a domain: empty, or with all that the space has mapped. It reserves in the space the interrupt window
    /// (0xFEE00000...0xFEEFFFFF) and everything beyond its address width.
    ///
    /// - Parameters:
    ///   - unit: The unit that it belongs to; kept alive.
    ///   - space: The space to mirror, over the same ``RemappingUnit/memory``.
    ///   - options: What it is to do besides.
    ///   - addressWidth: Bits of input addresses: 39, 48 or 57, as CAP.SAGAW offers.
    ///   - largestPage: No larger pages are used; nil means the largest that the unit offers (CAP.SSLPS).
    /// - Throws: ``IOMMUError/invalidArgument``: another width, or an unknown option. ``IOMMUError/unsupported``: a width,
    ///   page size or option that the unit does not offer. ``IOMMUError/otherUnit``: the space is over another memory map.
    ///   ``IOMMUError/inUse``: an area of the space, or an explicitly allowed range, lies in
    ///   what it reserves. ``IOMMUError/misaligned``: an area is not aligned to 4096. ``IOMMUError/noSpace``: the unit's
    ///   ``RemappingUnit/Configuration/domains`` are used up. ``IOMMUError/outOfRange``: an area leads to an output address beyond
    ///   the unit's. ``IOMMUError/noMemory``.
    public init(
        unit: RemappingUnit, space: IOAddressSpace? = nil, options: Options = [], addressWidth: Int = 48,
        largestPage: PageSize? = nil
    ) throws(IOMMUError) {
        guard space == nil || space?.memory === unit.memory else {
            throw .otherUnit.with(detail: "the space is over another memory map than the unit")
        }
        var config = ciommu_paging_config()
        unsafe ciommu_paging_config_init(&config)
        config.flags = options.rawValue
        config.address_width = UInt32(clamping: addressWidth)
        config.largest_page_lg2 = largestPage?.rawValue ?? 0
        var handle: OpaquePointer?
        try unsafe IOMMUError.check(ciommu_paging_create(unit.handle, &config, &handle))
        self.space = space
        self.options = options
        self.addressWidth = addressWidth
        self.largestPage = largestPage
        unsafe super.init(handle: handle!, unit: unit, kind: .paging)
        if let space {
            mirrorSerial.store(try space.add(self), ordering: .relaxed)
        }
    }

    deinit {
        let serial = mirrorSerial.load(ordering: .relaxed)
        if serial != 0 { space?.remove(mirror: serial) }
    }

    // MARK: Filling it directly

    /// Maps input addresses, with the largest pages that alignment allows. All or nothing; waits for nobody.
    ///
    /// - Parameters:
    ///   - iova: The first input address, a multiple of 4096.
    ///   - output: Where it leads, a multiple of 4096.
    ///   - length: Bytes: a multiple of 4096, not zero.
    ///   - rights: Read, write or both.
    /// - Throws: ``IOMMUError/inUse`` for a domain over a space. ``IOMMUError/overlap``, ``IOMMUError/misaligned``,
    ///   ``IOMMUError/outOfRange``, ``IOMMUError/wraps``, ``IOMMUError/invalidArgument``, ``IOMMUError/noMemory``.
    public func map(
        _ iova: IOVA, to output: OutputAddress, length: UInt64, rights: AccessRights
    ) throws(IOMMUError) {
        try checkHasNoSpace()
        try mirrorMap(iova, length: length, to: output, rights: rights)
    }

    /// Removes whatever is mapped in a range; larger pages that it cuts are split. After the return nobody uses it any more, nested
    /// domains included.
    ///
    /// - Parameters:
    ///   - iova: The first input address, a multiple of 4096.
    ///   - length: Bytes, a multiple of 4096.
    ///   - port: The caller's own port, if it has one: then a call from inside its section is refused.
    /// - Returns: How many bytes were mapped there.
    /// - Throws: ``IOMMUError/inUse`` for a domain over a space. ``IOMMUError/misaligned``, ``IOMMUError/outOfRange``,
    ///   ``IOMMUError/wraps``, ``IOMMUError/noMemory``, ``IOMMUError/inSection``; ``IOMMUError/timedOut``: removed, but an older
    ///   section may still use it.
    @discardableResult
    public func unmap(_ iova: IOVA, length: UInt64, port: Port? = nil) throws(IOMMUError) -> UInt64 {
        try checkHasNoSpace()
        try unit.checkOwner(of: port)
        var bytes: UInt64 = 0
        try unsafe IOMMUError.check(ciommu_domain_unmap(handle, port?.handle, iova.rawValue, length, &bytes))
        return bytes
    }

    /// Removes everything, without needing memory. Otherwise as ``unmap(_:length:port:)``.
    @discardableResult
    public func unmapAll(port: Port? = nil) throws(IOMMUError) -> UInt64 {
        try unmap(0, length: .max, port: port)
    }

    /// Gives every page in a range other rights; larger pages that it cuts are split. After the return nobody uses a right that was
    /// taken away.
    ///
    /// - Throws: ``IOMMUError/inUse`` for a domain over a space. ``IOMMUError/notFound``: a page is not mapped, and nothing
    ///   changed. ``IOMMUError/invalidArgument`` for other rights; otherwise as ``unmap(_:length:port:)``.
    public func protect(
        _ iova: IOVA, length: UInt64, rights: AccessRights, port: Port? = nil
    ) throws(IOMMUError) {
        try checkHasNoSpace()
        try unit.checkOwner(of: port)
        try unsafe IOMMUError.check(
            ciommu_domain_protect(handle, port?.handle, iova.rawValue, length, rights.rawValue))
    }

    private func checkHasNoSpace() throws(IOMMUError) {
        guard space == nil else {
            throw .inUse.with(detail: "the domain follows its space, which is what is to be changed")
        }
    }
}

extension PagingDomain: SpaceMirror {
    package var mirrorAlignment: UInt64 { 4096 }

    package var mirrorReservations: [(range: ClosedRange<IOVA>, reason: String)] {
        [
            (0xfee0_0000...0xfeef_ffff, "the interrupt window"),
            (IOVA(1 << UInt64(addressWidth))...IOVA.max, "beyond the \(addressWidth) address bits of a domain"),
        ]
    }

    package func mirrorMap(
        _ first: IOVA, length: UInt64, to output: OutputAddress, rights: AccessRights
    ) throws(IOMMUError) {
        var mapping = ciommu_mapping()
        mapping.size = UInt32(MemoryLayout<ciommu_mapping>.size)
        mapping.rights = rights.rawValue
        mapping.iova = first.rawValue
        mapping.length = length
        mapping.address = output.rawValue
        try unsafe IOMMUError.check(ciommu_domain_map(handle, &mapping))
    }

    package func mirrorUnmap(_ first: IOVA, length: UInt64) throws(IOMMUError) {
        try unsafe IOMMUError.check(ciommu_domain_unmap(handle, nil, first.rawValue, length, nil))
    }

    package func mirrorUnmapAll() throws(IOMMUError) {
        try unsafe IOMMUError.check(ciommu_domain_unmap(handle, nil, 0, .max, nil))
    }

    package func mirrorProtect(_ first: IOVA, length: UInt64, rights: AccessRights) throws(IOMMUError) {
        try unsafe IOMMUError.check(ciommu_domain_protect(handle, nil, first.rawValue, length, rights.rawValue))
    }
}
