// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Applying a batch on the calling thread. A guest's bad entries are results; only misuse by the host throws.

internal import CIOMMU
public import IOMMUCore

extension RemappingUnit {
    /// Applies a batch, segment by segment: a segment ends with a wait descriptor or the array, changes what it must
    /// together, waits for access sections once, and completes. When this returns ``InvalidationResult/isComplete``,
    /// nothing that an entry covers is cached, in use, or held by a device. The guest's own table writes must happen
    /// before the call.
    ///
    /// A wait descriptor's status is stored where the guest can read it, before the host hears of it; where no writable
    /// memory is it is lost, as on hardware. Legality of queue descriptors follows the unit's capabilities and its
    /// latched root-table address [FORMATS-VTD C].
    ///
    /// - Parameters:
    ///   - batch: The entries.
    ///   - port: The caller's own port, if it has one: then a call from inside its section is refused instead of
    ///     waiting for itself. Without one, a queue format takes a port of the unit's pool for storing status.
    ///   - host: Does what the descriptors of a queue ask of the host, on this thread.
    ///   - failureLimit: Keep so many failures, from 0; the others are counted.
    /// - Returns: What became of it: refused entries and time-outs are results.
    /// - Throws: Nothing happened: ``IOMMUError/inSection``; ``IOMMUError/otherUnit`` for a nested domain and
    ///   ``IOMMUError/invalidArgument`` for a port of another unit; ``IOMMUError/noPort`` without a port when the pool
    ///   has none.
    @discardableResult
    public func apply(
        _ batch: InvalidationBatch, port: Port? = nil, host: InvalidationHost = InvalidationHost(),
        failureLimit: Int = 64
    ) throws(IOMMUError) -> InvalidationResult {
        try unsafe batch.bytes.span.bytes.withUnsafeBytes { (entries) throws(IOMMUError) in
            let view = try unsafe BatchView(batch.format, entries, entryLength: batch.entryLength, for: self)
            return try unsafe apply(view, port, host, failureLimit)
        }
    }

    /// Applies entries where they lie, such as in a guest's memory: each is copied once, before it is looked at.
    /// Whatever a guest writes there meanwhile, what is applied of an entry is what was checked.
    ///
    /// Unsafe: `entries` must stay readable until the call returns.
    ///
    /// - Parameters:
    ///   - entries: The entries, at any alignment; a whole number of them.
    ///   - format: What they are.
    ///   - entryLength: Bytes from entry to entry, up to ``InvalidationBatch/maximumEntryLength``; nil for the format's
    ///     own length. What is beyond that must be zero: an entry where it is not is refused.
    ///   - port: As for ``apply(_:port:host:failureLimit:)``.
    ///   - host: As for ``apply(_:port:host:failureLimit:)``.
    /// - Throws: As ``apply(_:port:host:failureLimit:)``; also ``IOMMUError/invalidArgument`` for the length of entries
    ///   and for more than ``InvalidationBatch/maximumCount``.
    @unsafe
    @discardableResult
    public func apply(
        rawEntries entries: UnsafeRawBufferPointer, format: InvalidationBatch.Format, entryLength: Int? = nil,
        port: Port? = nil, host: InvalidationHost = InvalidationHost()
    ) throws(IOMMUError) -> InvalidationResult {
        let view = try unsafe BatchView(format, entries, entryLength: entryLength, for: self)
        return try unsafe apply(view, port, host, 64)
    }

    /// Applies entries of an array or another span, without copying it; otherwise as the unsafe form.
    @discardableResult
    public func apply(
        rawEntries entries: RawSpan, format: InvalidationBatch.Format, entryLength: Int? = nil, port: Port? = nil,
        host: InvalidationHost = InvalidationHost()
    ) throws(IOMMUError) -> InvalidationResult {
        try unsafe entries.withUnsafeBytes { (entries) throws(IOMMUError) in
            try unsafe apply(
                rawEntries: entries, format: format, entryLength: entryLength, port: port, host: host)
        }
    }

    /// True when the unit takes batches of a format: what a batch without entries asks.
    public func accepts(_ format: InvalidationBatch.Format) -> Bool {
        guard format.domain.map({ $0.unit === self }) ?? true else { return false }
        do throws(IOMMUError) {
            return try apply(InvalidationBatch(format)).isComplete
        } catch {
            // Known: there is only no port for storing status at the moment.
            return error == .noPort
        }
    }

    /// The one call to C.
    private func apply(
        _ view: BatchView, _ port: Port?, _ host: InvalidationHost, _ failureLimit: Int
    ) throws(IOMMUError) -> InvalidationResult {
        try checkOwner(of: port)
        guard (0...InvalidationBatch.maximumCount).contains(failureLimit) else {
            throw .invalidArgument.with(detail: "failureLimit is \(failureLimit)")
        }
        var batch = unsafe view.wire
        let box = host.isEmpty ? nil : InvalidationHostBox(host)
        defer { extendLifetime(box) }
        let portHandle = unsafe port?.handle
        let (status, result) = unsafe withUnsafeTemporaryAllocation(
            of: ciommu_batch_failure.self, capacity: failureLimit
        ) { failures in
            // C fills in those that it counts.
            var result = unsafe ciommu_batch_result.empty(failures: failures)
            let status: ciommu_status
            if let box {
                var wire = unsafe box.wire
                status = unsafe ciommu_batch_apply(handle, portHandle, &batch, &wire, &result)
            } else {
                status = unsafe ciommu_batch_apply(handle, portHandle, &batch, nil, &result)
            }
            return unsafe (
                status, InvalidationResult(result, count: view.count, scheme: view.format.scheme)
            )
        }
        try InvalidationResult.check(status)
        extendLifetime(port)
        return result
    }
}

extension InvalidationResult {
    /// Throws unless the status goes with a result.
    static func check(_ status: ciommu_status) throws(IOMMUError) {
        switch status {
        case CIOMMU_OK, CIOMMU_BAD_DESCRIPTOR, CIOMMU_TIMED_OUT: return
        default: throw IOMMUError(status)
        }
    }
}
