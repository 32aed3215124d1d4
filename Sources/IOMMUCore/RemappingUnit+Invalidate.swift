// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Invalidation: in the inner form, or as the descriptor that the guest wrote.

internal import CIOMMU

extension RemappingUnit {
    /// Drops everything that an invalidation covers. When it returns, nothing covered is cached and no section that began before
    /// can still use it. The guest's own table writes must happen before the call. Needs no memory.
    ///
    /// - Parameters:
    ///   - invalidation: What is no longer true.
    ///   - port: The caller's own port, if it has one: then a call from inside its section is refused instead of waiting for
    ///     itself.
    /// - Throws: ``IOMMUError/inSection``; ``IOMMUError/invalidArgument`` for a malformed invalidation or another unit's port;
    ///   ``IOMMUError/timedOut``: applied, but a section still runs (see ``drain()``).
    public func invalidate(_ invalidation: Invalidation, port: Port? = nil) throws(IOMMUError) {
        try checkOwner(of: port)
        var invalidation = ciommu_invalidation(invalidation)
        try unsafe IOMMUError.check(ciommu_invalidate(handle, port?.handle, &invalidation))
    }

    /// Applies one descriptor of a VT-d invalidation queue. Its legality follows the unit's capabilities and the latched root-table
    /// address [FORMATS-VTD C]; otherwise as ``invalidate(_:port:)``.
    ///
    /// - Parameters:
    ///   - descriptor: The descriptor in host byte order.
    ///   - port: The caller's own port, if it has one.
    /// - Returns: What is left to the host.
    /// - Throws: ``IOMMUError/badDescriptor`` with ``IOMMUError/invalidationQueueError`` and the rule that was broken: nothing
    ///   changed. ``IOMMUError/timedOut`` with ``IOMMUError/portID``: applied, but a section still runs. Otherwise as
    ///   ``invalidate(_:port:)``.
    @discardableResult
    public func invalidate(
        descriptor: InvalidationDescriptor, port: Port? = nil
    ) throws(IOMMUError) -> DescriptorOutcome {
        try checkOwner(of: port)
        let words: InlineArray<4, UInt64> = [descriptor.q0, descriptor.q1, descriptor.q2, descriptor.q3]
        var result = unsafe ciommu_descriptor_result()
        unsafe result.size = UInt32(MemoryLayout<ciommu_descriptor_result>.size)
        unsafe result.invalidation.size = UInt32(MemoryLayout<ciommu_invalidation>.size)
        let status = unsafe words.span.withUnsafeBufferPointer { words in
            unsafe ciommu_invalidate_descriptor(
                handle, port?.handle, words.baseAddress, descriptor.isWide, &result)
        }
        if status == CIOMMU_OK {
            return unsafe DescriptorOutcome(result)
        }
        var error = IOMMUError(status)
        if status == CIOMMU_BAD_DESCRIPTOR {
            unsafe error.detail = result.error.map { unsafe String(cString: $0) }
            error.invalidationQueueError = unsafe Int(result.iqei)
        } else if status == CIOMMU_TIMED_OUT {
            error.portID = unsafe result.port_id
        }
        throw error
    }

    /// Refuses another unit's port.
    package func checkOwner(of port: Port?) throws(IOMMUError) {
        if let port, port.unit !== self {
            throw .invalidArgument.with(detail: "the port belongs to another unit")
        }
    }
}
