// SPDX-License-Identifier: LGPL-2.1-or-later
//
// PageLanes - a queue's handler and where it runs: a lane for each device, so that a slow one delays no other.

internal import IOMMUCore
internal import Synchronization

/// Protocol
///   Pumping      C says that there is something to be read on any thread, several at once. One of them reads until
///                nothing is left and hands groups to lanes; the others leave it a note. So the groups of a device keep
///                their order, and no lock is held while a handler runs.
///   A call       begins by asking C whether its group is still open. It is in its lane then, where a detach finds it.
///   A detach     has C answer the device's groups first, and then closes its lane: a call that began before is waited
///                for, one that begins later finds its group answered and calls nobody. So no handler of what was
///                detached runs afterwards, whatever a pump was just about to hand over.
final class PageLanes: Sendable {
    private struct Pump {
        var isRunning = false
        var isWanted = false
    }

    private let executor: HandlerExecutor
    private let handler: @Sendable (PageGroup) -> Void
    private let pumping = Mutex(Pump())
    private let lanes = Mutex<[DeviceID: HandlerLane]>([:])

    init(_ executor: HandlerExecutor, _ handler: @escaping @Sendable (PageGroup) -> Void) {
        self.executor = executor
        self.handler = handler
    }

    /// Hands everything that can be read to its lane.
    func pump(_ core: PageQueueCore, acknowledges: Bool) {
        let isMine = pumping.withLock { pump in
            pump.isWanted = true
            defer { pump.isRunning = true }
            return !pump.isRunning
        }
        guard isMine else { return }
        while goesOn() {
            while let group = try? core.read() {
                submit(group)
            }
            if acknowledges && core.hasOverflowed {
                core.acknowledgeOverflow()
            }
        }
    }

    /// Is there a note of somebody who wants a pump?
    private func goesOn() -> Bool {
        pumping.withLock { pump in
            pump.isRunning = pump.isWanted
            pump.isWanted = false
            return pump.isRunning
        }
    }

    private func submit(_ group: PageGroup) {
        let call: @Sendable () -> Void = { [handler] in
            if group.isOpen || broken(.answeredGroupHandled) {
                handler(group)
            }
        }
        // A lane that is being closed refuses; the device's next groups have a new one.
        while !lane(of: group.device).submit(call) {}
    }

    private func lane(of device: DeviceID) -> HandlerLane {
        lanes.withLock { lanes in
            if let lane = lanes[device] { return lane }
            let lane = HandlerLane(executor)
            lanes[device] = lane
            return lane
        }
    }

    /// Ends the calls for a device, or for all; returns when none runs, but the caller's own.
    func close(_ device: DeviceID?) {
        let closing = lanes.withLock { lanes -> [HandlerLane] in
            guard let device else {
                defer { lanes = [:] }
                return Array(lanes.values)
            }
            return lanes.removeValue(forKey: device).map { [$0] } ?? []
        }
        for lane in closing {
            lane.close()
        }
    }
}
