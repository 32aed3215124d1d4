// SPDX-License-Identifier: LGPL-2.1-or-later
//
// FaultRecords - the faults of one owner as an asynchronous sequence.

public import IOMMUCore
internal import Synchronization

/// The fault records of one owner, in order.
///
/// One task at a time iterates; a later iterator goes on where an earlier one ended. What is not asked for waits in the
/// queue, up to its quota. The queue is closed when neither the sequence nor an iterator is left; until then they keep
/// the dispatcher alive.
public struct FaultRecords: AsyncSequence, Sendable {
    /// A fault, or a loss.
    public typealias Element = FaultRecord
    /// It does not fail.
    public typealias Failure = Never

    let stream: RecordStream
    let dispatcher: FaultDispatcher

    /// Gives one record after the other.
    public struct Iterator: AsyncIteratorProtocol {
        let stream: RecordStream
        let dispatcher: FaultDispatcher

        /// The next record, as soon as there is one; nil when the dispatcher is shut down, or the task cancelled.
        public mutating func next() async -> FaultRecord? {
            await stream.next()
        }

        /// As ``next()``.
        public mutating func next(isolation actor: isolated (any Actor)?) async -> FaultRecord? {
            await stream.next()
        }
    }

    /// An iterator that goes on where the last one ended.
    public func makeAsyncIterator() -> Iterator {
        Iterator(stream: stream, dispatcher: dispatcher)
    }

    /// The device reports a fault of its own: as ``FaultQueue/report(_:)``.
    public func report(_ fault: Fault) throws(IOMMUError) {
        try stream.queue.report(fault)
    }

    /// What the queue has seen so far; nil after the dispatcher was shut down.
    public var statistics: FaultStatistics? {
        stream.queue.statistics
    }
}

/// A queue, what was read ahead from it, and the signal that there is more.
///
/// Protocol: a consumer takes from the buffer, else reads from the queue (under the lock, so that records stay in
/// order), else waits for the signal. C gives it when a queue that a read found empty is not empty any more; so a
/// consumer that found nothing and then waits misses nothing.
final class RecordStream: Sendable {
    private static let readAhead = 16

    let queue: FaultQueue
    private let signal: RecordSignal
    /// Newest first.
    private let buffer = Mutex<[FaultRecord]>([])

    init(of origin: FaultOrigin, in unit: RemappingUnit, _ options: FaultQueueOptions) throws(IOMMUError) {
        let signal = RecordSignal()
        queue = try FaultQueue(of: origin, in: unit, options: options) { signal.give() }
        self.signal = signal
    }

    deinit {
        signal.finish()
    }

    func next() async -> FaultRecord? {
        while !Task.isCancelled {
            if let record = take() { return record }
            guard await signal.wait() else { return nil }
        }
        return nil
    }

    func finish() {
        signal.finish()
        queue.close()
    }

    private func take() -> FaultRecord? {
        buffer.withLock { buffer in
            if buffer.isEmpty {
                buffer = queue.read(max: Self.readAhead).reversed()
            }
            return buffer.popLast()
        }
    }
}
