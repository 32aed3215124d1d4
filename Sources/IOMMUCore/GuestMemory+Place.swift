// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Host memory without an output address of its own: finding the one that it has, or letting the map choose one.

internal import CIOMMU

extension GuestMemory {
    /// The output address behind which host memory is registered: the lowest one behind which all these bytes lie in
    /// one range that permits the rights. Waits for nobody; takes time in proportion to the number of ranges.
    ///
    /// It stays true until the range is removed or replaced.
    ///
    /// - Parameters:
    ///   - host: The memory; any alignment, not empty.
    ///   - rights: ``AccessRights/read``, ``AccessRights/write`` or both.
    /// - Returns: The output address of its first byte, or nil when no range holds it all.
    /// - Throws: ``IOMMUError/invalidArgument`` for an empty buffer or other rights.
    @unsafe
    public func locate(
        _ host: UnsafeRawBufferPointer, rights: AccessRights = [.read, .write]
    ) throws(IOMMUError) -> OutputAddress? {
        var address: UInt64 = 0
        let status = unsafe ciommu_memory_locate(
            handle, host.baseAddress, UInt64(host.count), rights.rawValue, &address)
        if status == CIOMMU_NOT_FOUND { return nil }
        try IOMMUError.check(status)
        return OutputAddress(address)
    }

    /// Where a placed range may go.
    package struct Wish: Sendable {
        /// Its first and last output address lie in here.
        package var range: ClosedRange<OutputAddress>
        /// The largest page that may map it, as log2 of bytes: 12 to 63.
        package var alignmentLog2: Int
        /// Its first output address modulo that page, a multiple of 4096.
        package var offset: UInt64

        package init(range: ClosedRange<OutputAddress>, alignmentLog2: Int, offset: UInt64) {
            self.range = range
            self.alignmentLog2 = alignmentLog2
            self.offset = offset
        }
    }

    /// Registers host memory at the lowest output address that suits `wish`.
    ///
    /// Unsafe for the same reason as ``add(_:at:rights:)``.
    ///
    /// - Returns: The output address, and whether it is in force everywhere: if not, an older section still runs
    ///   without it.
    /// - Throws: ``IOMMUError/noSpace``; otherwise as ``add(_:at:rights:)``, except for ``IOMMUError/timedOut``.
    @unsafe
    package func place(
        _ host: UnsafeMutableRawBufferPointer, _ wish: Wish, rights: AccessRights
    ) throws(IOMMUError) -> (address: OutputAddress, isInForce: Bool) {
        var range = unsafe Self.range(host, at: 0, rights: rights)
        var address: UInt64 = 0
        let status = unsafe ciommu_memory_place(
            handle, &range, wish.range.lowerBound.rawValue, wish.range.upperBound.rawValue, UInt32(wish.alignmentLog2),
            wish.offset, &address)
        if status != CIOMMU_TIMED_OUT {
            try IOMMUError.check(status)
        }
        return (OutputAddress(address), status == CIOMMU_OK)
    }
}
