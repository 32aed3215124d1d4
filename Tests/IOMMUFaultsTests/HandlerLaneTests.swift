// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Lanes: one call at a time and in order on every executor, closing from outside and from inside, no nesting.

import Dispatch
import Foundation
import IOMMU
import Synchronization
import Testing

/// Executors that differ in everything a lane could rely on.
private let executors: [(name: String, make: @Sendable () -> HandlerExecutor)] = [
    ("inline", { HandlerExecutor { $0() } }),
    ("thread", { .thread() }),
    ("serial queue", { .queue(DispatchQueue(label: "serial")) }),
    ("concurrent queue", { .queue(DispatchQueue(label: "concurrent", attributes: .concurrent)) }),
    ("a thread each", { HandlerExecutor { work in Thread.detachNewThread { work() } } }),
]

struct HandlerLaneTests {
    @Test(arguments: executors.indices)
    func callsRunInOrderAndNeverTogether(index: Int) {
        let lane = HandlerLane(executors[index].make())
        let count = index == 4 ? 100 : 2_000
        let seen = Mutex<[Int]>([])
        let running = Atomic(0)
        let done = DispatchSemaphore(value: 0)
        for call in 0..<count {
            lane.submit {
                #expect(running.add(1, ordering: .relaxed).newValue == 1)
                seen.withLock { $0.append(call) }
                running.subtract(1, ordering: .relaxed)
                if call == count - 1 { done.signal() }
            }
        }
        done.wait()
        #expect(seen.withLock { $0 } == Array(0..<count))
    }

    @Test(arguments: executors.indices)
    func closingWaitsForTheCallAndDropsTheRest(index: Int) {
        let lane = HandlerLane(executors[index].make())
        let began = DispatchSemaphore(value: 0)
        let ended = Atomic(false)
        let late = Atomic(false)
        let closed = DispatchSemaphore(value: 0)
        Thread.detachNewThread {
            began.wait()
            lane.close()
            let hasEnded = ended.load(ordering: .acquiring)
            #expect(hasEnded)
            closed.signal()
        }
        lane.submit {
            began.signal()
            Thread.sleep(forTimeInterval: 0.05)
            ended.store(true, ordering: .releasing)
        }
        closed.wait()
        #expect(!lane.submit { late.store(true, ordering: .relaxed) })
        let ranLate = late.load(ordering: .relaxed)
        #expect(!ranLate)
    }

    @Test(arguments: executors.indices)
    func aCallMayCloseItsOwnLane(index: Int) {
        let lane = HandlerLane(executors[index].make())
        let done = DispatchSemaphore(value: 0)
        let others = Atomic(0)
        let go = DispatchSemaphore(value: 0)
        let submit: @Sendable () -> Void = {
            _ = lane.submit {
                go.wait()
                lane.close()
                lane.close()
                done.signal()
            }
            _ = lane.submit { others.add(1, ordering: .relaxed) }
        }
        if index == 0 {
            go.signal()  // an inline executor runs the call inside submit
        }
        submit()
        go.signal()
        done.wait()
        lane.close()
        #expect(others.load(ordering: .relaxed) == 0)
    }

    @Test func anInlineExecutorDoesNotNest() {
        let lane = HandlerLane(HandlerExecutor { $0() })
        let depth = Atomic(0)
        let runs = Atomic(0)
        lane.submit {
            for _ in 0..<100_000 {
                lane.submit {
                    #expect(depth.add(1, ordering: .relaxed).newValue == 1)
                    runs.add(1, ordering: .relaxed)
                    depth.subtract(1, ordering: .relaxed)
                }
            }
        }
        #expect(runs.load(ordering: .relaxed) == 100_000)
    }

    @Test func aBusyLaneDelaysAnotherByOneCall() {
        let executor = HandlerExecutor.thread()
        let busy = HandlerLane(executor)
        let quiet = HandlerLane(executor)
        let calls = Atomic(0)
        let gate = DispatchSemaphore(value: 0)
        busy.submit { gate.wait() }
        for _ in 0..<1_000 { busy.submit { calls.add(1, ordering: .relaxed) } }
        let before = Atomic(-1)
        let done = DispatchSemaphore(value: 0)
        quiet.submit {
            before.store(calls.load(ordering: .relaxed), ordering: .relaxed)
            done.signal()
        }
        gate.signal()
        done.wait()
        #expect(before.load(ordering: .relaxed) <= 1)
        busy.close()
    }

    @Test func whatWasNotStartedIsReleasedUnrun() {
        final class Load: Sendable {}
        let stuck = Mutex<[@Sendable () -> Void]>([])
        let lane = HandlerLane(HandlerExecutor { work in stuck.withLock { $0.append(work) } })
        weak var weakLoad: Load?
        do {
            let load = Load()
            weakLoad = load
            lane.submit { extendLifetime(load) }
        }
        #expect(weakLoad != nil)
        lane.close()
        #expect(weakLoad == nil)
        let left = stuck.withLock { work in
            defer { work = [] }
            return work
        }
        for work in left { work() }
    }

    @Test func aThreadExecutorOutlivesItsLastCopyUntilItsWorkIsDone() {
        let done = DispatchSemaphore(value: 0)
        do {
            let executor = HandlerExecutor.thread(named: "short")
            let lane = HandlerLane(executor)
            lane.submit { done.signal() }
        }
        done.wait()
    }
}
