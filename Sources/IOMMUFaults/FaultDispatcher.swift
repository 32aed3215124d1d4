// SPDX-License-Identifier: LGPL-2.1-or-later
//
// FaultDispatcher - gives the faults of a unit to handlers and sequences, by device. What it hands out does the work; it
// keeps the handlers' receptions alive and ends everything together.

public import IOMMUCore
internal import Synchronization

/// Gives faults to their owners: to a handler per device, on an executor of the host's choice, or as an asynchronous
/// sequence per device.
///
/// Each device has a quota of its own, and they are served in turn: one that faults at full speed delays nobody else's
/// faults and takes nobody else's places. In each queue the faults come in the order in which they happened, and what
/// is missing is told where it is missing: see ``FaultRecord``.
///
/// It keeps its unit alive. Any thread may call, at any time, but not from inside an access section of a port. When
/// nothing refers to it any more, sequences included, it shuts down: whoever receives by handlers keeps it.
public final class FaultDispatcher: Sendable {
    /// The unit whose faults it gives out.
    public let unit: RemappingUnit

    private let state = Mutex(State())

    private struct State {
        var isShut = false
        var receptions: [ObjectIdentifier: FaultReception] = [:]
        var sequences: [WeakStream] = []
    }

    /// Makes a dispatcher. Nothing is received before something is asked for.
    public init(unit: RemappingUnit) {
        self.unit = unit
    }

    deinit {
        shutdown()
    }

    /// Calls `handler` for every record of an owner, one at a time and in order.
    ///
    /// The handler runs outside every lock and access section: it may translate, invalidate, attach and detach, destroy
    /// its device, cancel its reception, and block. While it does, records wait in the queue up to the quota.
    ///
    /// - Parameters:
    ///   - origin: Whose faults.
    ///   - options: How many records wait, and whether equal ones are folded.
    ///   - executor: Where the handler runs.
    ///   - handler: Hears of each record. Kept until the reception is cancelled or the dispatcher shut down.
    /// - Returns: What ends it; the dispatcher keeps it alive, so it may be dropped.
    /// - Throws: ``IOMMUError/closed`` after ``shutdown()``; otherwise as
    ///   ``FaultQueue/init(of:in:options:)``.
    @discardableResult
    public func receive(
        from origin: FaultOrigin, options: FaultQueueOptions = FaultQueueOptions(), on executor: HandlerExecutor,
        handler: @escaping @Sendable (FaultRecord) -> Void
    ) throws(IOMMUError) -> FaultReception {
        let reception = try FaultReception(of: origin, in: unit, options, executor, handler) { [weak self] reception in
            self?.forget(reception)
        }
        let isShut = state.withLock { state in
            state.receptions[ObjectIdentifier(reception)] = state.isShut ? nil : reception
            return state.isShut
        }
        guard !isShut else {
            reception.cancel()
            throw .closed
        }
        reception.start()
        return reception
    }

    /// The records of an owner as a sequence. A consumer that is slow loses nothing before its quota is full; then it
    /// finds losses told in the sequence.
    ///
    /// - Returns: The sequence; its queue lives as long as it or an iterator does. It ends with ``shutdown()``, and for
    ///   a task that is cancelled.
    /// - Throws: As ``receive(from:options:on:handler:)``.
    public func records(
        of origin: FaultOrigin, options: FaultQueueOptions = FaultQueueOptions()
    ) throws(IOMMUError) -> FaultRecords {
        let stream = try RecordStream(of: origin, in: unit, options)
        let isShut = state.withLock { state in
            state.sequences.removeAll { $0.stream == nil }
            if !state.isShut {
                state.sequences.append(WeakStream(stream: stream))
            }
            return state.isShut
        }
        guard !isShut else {
            stream.finish()
            throw .closed
        }
        return FaultRecords(stream: stream, dispatcher: self)
    }

    /// Ends everything: when it returns, no handler runs and none will, but for one that it is called from; and every
    /// sequence has ended.
    public func shutdown() {
        let (receptions, sequences) = state.withLock { state in
            state.isShut = true
            return (Array(replace(&state.receptions, with: [:]).values), replace(&state.sequences, with: []))
        }
        for reception in receptions {
            reception.cancel()
        }
        for sequence in sequences {
            sequence.stream?.finish()
        }
    }

    private func forget(_ reception: FaultReception) {
        let forgotten = state.withLock { $0.receptions.removeValue(forKey: ObjectIdentifier(reception)) }
        extendLifetime(forgotten)
    }
}

/// A sequence that the dispatcher may end, but does not keep.
private struct WeakStream: Sendable {
    weak let stream: RecordStream?
}
