// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Submission: a batch is handed to the unit's invalidation thread, and its completion is heard of later. Batches that
// wait there together share one wait for access sections.

internal import CIOMMU
public import IOMMUCore

extension RemappingUnit {
    /// Submits a batch and waits, without blocking a thread, until it is done. Batches of one task are applied in the
    /// order of their submission.
    ///
    /// The batch is submitted before the first suspension. Cancelling the task changes nothing: a submitted batch is
    /// not recalled, because part of it may be in force, and the guest that waits for it must hear of it; the task goes
    /// on when it is done. A task that is cancelled already submits all the same.
    ///
    /// - Parameters:
    ///   - batch: The entries.
    ///   - port: The caller's own port, if it has one: then a call from inside its section is refused. Without, debug
    ///     builds look whether the thread is inside a section of the unit, and refuse too.
    ///   - host: Does what the descriptors of a queue ask of the host, on the unit's invalidation thread.
    ///   - failureLimit: Keep so many failures, from 0; the others are counted.
    /// - Returns: What became of it, as ``apply(_:port:host:failureLimit:)``.
    /// - Throws: Nothing was submitted: ``IOMMUError/inSection``, ``IOMMUError/otherUnit``,
    ///   ``IOMMUError/invalidArgument``, ``IOMMUError/noMemory``. Nothing happened: ``IOMMUError/noPort`` as for
    ///   ``apply(_:port:host:failureLimit:)``.
    @discardableResult
    nonisolated(nonsending)
        public func submit(
            _ batch: InvalidationBatch, port: Port? = nil, host: InvalidationHost = InvalidationHost(),
            failureLimit: Int = 64
        ) async throws(IOMMUError) -> InvalidationResult
    {
        let outcome = await withCheckedContinuation(isolation: #isolation) { continuation in
            submit(batch, port, host, failureLimit) { continuation.resume(returning: $0) }
        }
        return try outcome.get()
    }

    /// Submits a batch and returns at once.
    ///
    /// The unit, the batch and the closures are kept until the completion has run; they are released on a thread of the
    /// Swift runtime, so a completion may hold the last reference to anything.
    ///
    /// - Parameters:
    ///   - batch: The entries.
    ///   - port: The caller's own port, if it has one: then a call from inside its section is refused. Without, debug
    ///     builds look whether the thread is inside a section of the unit, and refuse too.
    ///   - host: Does what the descriptors of a queue ask of the host, on the unit's invalidation thread.
    ///   - execute: Runs the completion where the host wants it, exactly once: puts it into a queue, wakes an event
    ///     loop. The default runs it on the unit's invalidation thread, where it must be short and must not wait for
    ///     another batch.
    ///   - completion: Hears what became of it, as ``submit(_:port:host:failureLimit:)`` returns or throws it. Called
    ///     exactly once, unless this throws.
    /// - Throws: Nothing was submitted: ``IOMMUError/inSection``, ``IOMMUError/otherUnit``,
    ///   ``IOMMUError/invalidArgument``, ``IOMMUError/noMemory``.
    public func submit(
        _ batch: InvalidationBatch, port: Port? = nil, host: InvalidationHost = InvalidationHost(),
        on execute: @escaping @Sendable (_ work: @escaping @Sendable () -> Void) -> Void = { $0() },
        completion: @escaping @Sendable (Result<InvalidationResult, IOMMUError>) -> Void
    ) throws(IOMMUError) {
        try unsafe batch.bytes.span.bytes.withUnsafeBytes { (entries) throws(IOMMUError) in
            let view = try unsafe BatchView(batch.format, entries, entryLength: batch.entryLength, for: self)
            try unsafe submit(view, port, host, 64) { outcome in
                execute { completion(outcome) }
            }
        }
    }

    /// Submits entries where they lie, such as in a guest's memory, and returns at once: all are copied once, before
    /// the return. Otherwise as ``submit(_:port:host:on:completion:)``, with the completion on the unit's invalidation
    /// thread.
    ///
    /// Unsafe: `entries` must stay readable until the call returns.
    ///
    /// - Parameters:
    ///   - entries: The entries, at any alignment; a whole number of them.
    ///   - format: What they are.
    ///   - entryLength: Bytes from entry to entry; nil for the format's own length.
    ///   - host: Does what the descriptors of a queue ask of the host, on the unit's invalidation thread.
    ///   - completion: Hears what became of it.
    /// - Throws: As ``submit(_:port:host:on:completion:)``; also ``IOMMUError/invalidArgument`` for the length of
    ///   entries and for more than ``InvalidationBatch/maximumCount``.
    @unsafe
    public func submit(
        rawEntries entries: UnsafeRawBufferPointer, format: InvalidationBatch.Format, entryLength: Int? = nil,
        host: InvalidationHost = InvalidationHost(),
        completion: @escaping @Sendable (Result<InvalidationResult, IOMMUError>) -> Void
    ) throws(IOMMUError) {
        let view = try unsafe BatchView(format, entries, entryLength: entryLength, for: self)
        try unsafe submit(view, nil, host, 64, completion)
    }

    /// Waits, blocking the thread, until everything submitted before the call is done. Not from a completion or from a
    /// closure of an ``InvalidationHost``, which run on the thread that this waits for.
    public func finishSubmissions() {
        unsafe ciommu_batch_finish(handle)
    }

    /// Submits a batch; a refusal goes to the completion too.
    private func submit(
        _ batch: InvalidationBatch, _ port: Port?, _ host: InvalidationHost, _ failureLimit: Int,
        _ completion: @escaping Submission.Completion
    ) {
        unsafe batch.bytes.span.bytes.withUnsafeBytes { entries in
            do throws(IOMMUError) {
                let view = try unsafe BatchView(batch.format, entries, entryLength: batch.entryLength, for: self)
                try unsafe submit(view, port, host, failureLimit, completion)
            } catch {
                completion(.failure(error))
            }
        }
    }

    /// The one call to C. On success C owns a reference to the submission until it completes.
    private func submit(
        _ view: BatchView, _ port: Port?, _ host: InvalidationHost, _ failureLimit: Int,
        _ completion: @escaping Submission.Completion
    ) throws(IOMMUError) {
        try checkOwner(of: port)
        guard (0...InvalidationBatch.maximumCount).contains(failureLimit) else {
            throw .invalidArgument.with(detail: "failureLimit is \(failureLimit)")
        }
        let submission = unsafe Submission(view.format, count: view.count, host, in: self, completion)
        var batch = unsafe view.wire
        var wire = unsafe submission.wire
        let owned = unsafe Unmanaged.passRetained(submission)
        let status = unsafe ciommu_batch_submit(
            handle, port?.handle, &batch, &wire, UInt32(failureLimit), completionTrampoline, owned.toOpaque())
        extendLifetime(port)
        if status != CIOMMU_OK {
            unsafe owned.release()
            throw IOMMUError(status)
        }
    }
}

/// A batch on its way: keeps alive all that C and the completion use.
///
/// Protocol: made by the submitting thread; from then on C owns one reference, and the completion, which is called
/// once, gives it up. Nothing changes in it.
private final class Submission: InvalidationHostBox {
    typealias Completion = @Sendable (Result<InvalidationResult, IOMMUError>) -> Void

    /// Keeps the domain alive too.
    let format: InvalidationBatch.Format
    let count: Int
    let unit: RemappingUnit
    let completion: Completion

    init(
        _ format: InvalidationBatch.Format, count: Int, _ host: InvalidationHost, in unit: RemappingUnit,
        _ completion: @escaping Completion
    ) {
        self.format = format
        self.count = count
        self.unit = unit
        self.completion = completion
        super.init(host)
    }

    func complete(_ status: ciommu_status, _ result: ciommu_batch_result) {
        do throws(IOMMUError) {
            try InvalidationResult.check(status)
            completion(
                .success(unsafe InvalidationResult(result, count: count, scheme: format.scheme)))
        } catch {
            completion(.failure(error))
        }
    }
}

/// What C calls, on the unit's invalidation thread.
private func completionTrampoline(
    context: UnsafeMutableRawPointer?, status: ciommu_status, result: UnsafePointer<ciommu_batch_result>?
) {
    guard let context = unsafe context else { return }
    unsafe complete(context, status, result?.pointee ?? ciommu_batch_result())
    // The submission may hold the last reference to the unit, and a unit that goes waits for this thread. So it goes
    // elsewhere. No other reference of this thread is left: that of `complete` ended with it.
    let address = UInt(bitPattern: context)
    Task.detached {
        guard let context = unsafe UnsafeMutableRawPointer(bitPattern: address) else { return }
        unsafe Unmanaged<Submission>.fromOpaque(context).release()
    }
}

/// A function of its own, so that its reference to the submission ends with it.
@inline(never)
private func complete(
    _ context: UnsafeMutableRawPointer, _ status: ciommu_status, _ result: ciommu_batch_result
) {
    unsafe Unmanaged<Submission>.fromOpaque(context).takeUnretainedValue().complete(status, result)
}
