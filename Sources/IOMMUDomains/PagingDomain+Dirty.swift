// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Dirty tracking: which pages devices wrote to, for live migration [FORMATS-IOMMUFD 8].

internal import CIOMMU
public import IOMMUCore
internal import Synchronization

extension PagingDomain {
    /// Whether writes are tracked, and how.
    public enum DirtyTracking: Hashable, Sendable {
        /// They are not.
        case off
        /// They are: by pages of 4 KiB, or by pages as they are.
        case on(splittingLargePages: Bool)
    }

    /// Whether writes are tracked, and how. Waits for a start or a stop that runs.
    public var dirtyTracking: DirtyTracking {
        tracking.withLock { $0 }
    }

    /// Starts to track: every page is clean when this returns. Once more cleans them again.
    ///
    /// - Parameters:
    ///   - splittingLargePages: Uses pages of 4 KiB until tracking stops, so that a small write does not make a large page dirty.
    ///     Needs memory for the tables.
    ///   - port: The caller's own port, if it has one: then a call from inside its section is refused.
    /// - Throws: ``IOMMUError/unsupported``: made without ``Options/dirtyTracking``. ``IOMMUError/noMemory``: nothing changed.
    ///   ``IOMMUError/inSection``; ``IOMMUError/timedOut``: started, but a section that began before may still write unseen.
    public func startDirtyTracking(splittingLargePages: Bool = true, port: Port? = nil) throws(IOMMUError) {
        try unit.checkOwner(of: port)
        let flags: UInt32 = splittingLargePages ? UInt32(CIOMMU_DIRTY_SPLIT) : 0
        let portHandle = unsafe port?.handle
        try setTracking(.on(splittingLargePages: splittingLargePages)) {
            unsafe ciommu_dirty_start(handle, portHandle, flags)
        }
    }

    /// Stops to track. Allowed also when it was off.
    ///
    /// - Throws: ``IOMMUError/inSection``; ``IOMMUError/timedOut``: stopped, but a section that began before still runs.
    public func stopDirtyTracking(port: Port? = nil) throws(IOMMUError) {
        try unit.checkOwner(of: port)
        let portHandle = unsafe port?.handle
        try setTracking(.off) { unsafe ciommu_dirty_stop(handle, portHandle) }
    }

    private func setTracking(_ state: DirtyTracking, _ change: () -> ciommu_status) throws(IOMMUError) {
        let status = tracking.withLock { tracking in
            let status = change()
            if status == CIOMMU_OK || status == CIOMMU_TIMED_OUT {
                tracking = state
            }
            return status
        }
        try IOMMUError.check(status)
    }

    /// Reads which pages were written to since tracking started, or since they were last cleared.
    ///
    /// A write that races with the call shows in this answer, or its page is dirty in the next one.
    ///
    /// - Parameters:
    ///   - iova: The first input address, a multiple of `pageSize`.
    ///   - length: Bytes: a multiple of `pageSize`, not zero. The answer takes one bit a page.
    ///   - pageSize: What one bit stands for: a power of two from 4096 on.
    ///   - clear: Makes them clean.
    ///   - port: The caller's own port, if it has one: then a call from inside its section is refused.
    /// - Returns: The pages; look at ``DirtyBitmap/isSettled``.
    /// - Throws: ``IOMMUError/notTracking``, ``IOMMUError/misaligned``, ``IOMMUError/invalidArgument``, ``IOMMUError/wraps``,
    ///   ``IOMMUError/outOfRange``, ``IOMMUError/inSection``.
    public func readDirty(
        _ iova: IOVA, length: UInt64, pageSize: UInt64 = 4096, clear: Bool = true, port: Port? = nil
    ) throws(IOMMUError) -> DirtyBitmap {
        // Before memory is taken for bits that cannot be.
        guard length <= 1 << UInt64(addressWidth) else {
            throw .outOfRange.with(detail: "\(length) bytes are more than \(addressWidth) address bits reach")
        }
        var bitmap = try DirtyBitmap(base: iova, length: length, pageSize: pageSize)
        try readDirty(into: &bitmap, clear: clear, port: port)
        return bitmap
    }

    /// Reads which pages of a bitmap's range were written to, and adds them to it. Otherwise as
    /// ``readDirty(_:length:pageSize:clear:port:)``.
    public func readDirty(
        into bitmap: inout DirtyBitmap, clear: Bool = true, port: Port? = nil
    ) throws(IOMMUError) {
        try unit.checkOwner(of: port)
        let (base, length, pageSize) = (bitmap.base.rawValue, bitmap.length, bitmap.pageSize)
        let flags: UInt32 = clear ? 0 : UInt32(CIOMMU_DIRTY_NO_CLEAR)
        let status = unsafe bitmap.words.withUnsafeMutableBufferPointer { words in
            unsafe ciommu_dirty_read(handle, port?.handle, base, length, pageSize, words.baseAddress, flags)
        }
        // What was read and cleared must not be lost in an error.
        if status == CIOMMU_TIMED_OUT {
            bitmap.isSettled = false
        } else {
            try IOMMUError.check(status)
        }
    }
}
