// SPDX-License-Identifier: LGPL-2.1-or-later
//
// FaultReception - a handler that receives the faults of one owner, until it is cancelled.

public import IOMMUCore
internal import Synchronization

/// A handler that receives the faults of one owner.
///
/// Protocol: C calls `ready` when the queue turns from empty to not empty; that submits a turn to the lane. A turn reads
/// a few records, calls the handler for each, and submits another one if there may be more. So the lane always has a
/// turn ahead of it while the queue holds anything.
public final class FaultReception: Sendable {
    private let pump: Pump
    private let ended: @Sendable (FaultReception) -> Void

    init(
        of origin: FaultOrigin, in unit: RemappingUnit, _ options: FaultQueueOptions, _ executor: HandlerExecutor,
        _ handler: @escaping @Sendable (FaultRecord) -> Void, _ ended: @escaping @Sendable (FaultReception) -> Void
    ) throws(IOMMUError) {
        let pump = Pump(executor, handler)
        let queue = try FaultQueue(of: origin, in: unit, options: options) { pump.run() }
        pump.queue.withLock { $0 = queue }
        self.pump = pump
        self.ended = ended
    }

    /// What came before there was a queue to be read.
    func start() {
        pump.run()
    }

    /// Stops receiving: when it returns, the handler does not run and never will. Called from inside the handler it
    /// returns while that one call goes on, and the rest of what was read is dropped. Later faults go where they would
    /// without it. A handler must not wait for a thread that is in here.
    public func cancel() {
        pump.isCancelled.store(true, ordering: .relaxed)
        pump.lane.close()
        pump.queue.withLock { $0 }?.close()
        ended(self)
    }

    /// The device reports a fault of its own: as ``FaultQueue/report(_:)``.
    public func report(_ fault: Fault) throws(IOMMUError) {
        guard let queue = pump.queue.withLock({ $0 }) else { throw .closed }
        try queue.report(fault)
    }

    /// What its queue has seen so far; nil once it is cancelled.
    public var statistics: FaultStatistics? {
        pump.queue.withLock { $0 }?.statistics
    }
}

/// Carries records from a queue to a handler.
///
/// It and the queue refer to each other until the queue is closed. The reference to the queue is not given up before
/// the pump itself goes: the queue keeps the unit, which must not end on the thread that calls `run` (FaultQueue.swift).
private final class Pump: Sendable {
    /// Records of one turn: so many calls may come before other lanes of the executor have theirs.
    private static let turnLength = 16

    let lane: HandlerLane
    let handler: @Sendable (FaultRecord) -> Void
    let queue = Mutex<FaultQueue?>(nil)
    let isCancelled = Atomic(false)

    init(_ executor: HandlerExecutor, _ handler: @escaping @Sendable (FaultRecord) -> Void) {
        lane = HandlerLane(executor)
        self.handler = handler
    }

    func run() {
        lane.submit { [self] in
            guard let records = queue.withLock({ $0 })?.read(max: Self.turnLength) else { return }
            for record in records {
                guard !isCancelled.load(ordering: .relaxed) || broken(.cancelledHandlerCalled) else { return }
                handler(record)
            }
            if records.count == Self.turnLength, !broken(.turnsNotRepeated) {
                run()
            }
        }
    }
}
