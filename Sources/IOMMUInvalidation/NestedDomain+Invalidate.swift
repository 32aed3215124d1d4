// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Stage-1 entries against a nested domain: what a host's virtual unit does for its guest.

public import IOMMUCore
public import IOMMUDomains

extension NestedDomain {
    /// The guest changed several parts of its first stage. All are dropped together; when this returns
    /// ``InvalidationResult/isComplete``, nothing of them is cached, in use, or held by a device [FORMATS-IOMMUFD 5].
    ///
    /// - Parameters:
    ///   - entries: What changed, at most ``InvalidationBatch/maximumCount``.
    ///   - port: The caller's own port, if it has one: then a call from inside its section is refused instead of
    ///     waiting for itself.
    /// - Returns: What became of them; the index of a refused entry is that in `entries`.
    /// - Throws: ``IOMMUError/inSection``; ``IOMMUError/invalidArgument`` for another unit's port and for too many
    ///   entries.
    @discardableResult
    public func invalidate(
        batch entries: some Sequence<StageOneEntry>, port: Port? = nil
    ) throws(IOMMUError) -> InvalidationResult {
        var batch = try InvalidationBatch(.vtdStageOne(self), capacity: entries.underestimatedCount)
        for entry in entries {
            try batch.append(entry)
        }
        return try unit.apply(batch, port: port)
    }

    /// The same for entries as the guest, or the kernel's interface, has them in memory.
    ///
    /// Unsafe: `entries` must stay readable until the call returns.
    ///
    /// - Parameters:
    ///   - entries: The entries, at any alignment; a whole number of them.
    ///   - entryLength: Bytes from entry to entry: 24 up to ``InvalidationBatch/maximumEntryLength``.
    ///   - port: The caller's own port, if it has one.
    /// - Throws: As ``invalidate(batch:port:)``; also ``IOMMUError/invalidArgument`` for the length.
    @unsafe
    @discardableResult
    public func invalidate(
        rawEntries entries: UnsafeRawBufferPointer, entryLength: Int = 24, port: Port? = nil
    ) throws(IOMMUError) -> InvalidationResult {
        try unsafe unit.apply(rawEntries: entries, format: .vtdStageOne(self), entryLength: entryLength, port: port)
    }
}
