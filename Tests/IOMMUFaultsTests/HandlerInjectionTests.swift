// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Handlers that end what calls them: from inside a call they shut the queue or the dispatcher down, drop the last reference to
// it, or are cancelled. Handlers cannot throw, by their type.

import Dispatch
import Foundation
import IOMMU
import Synchronization
import Testing

private let executors: [@Sendable () -> HandlerExecutor] = [
    { HandlerExecutor { $0() } },
    { .thread() },
    { .queue(DispatchQueue(label: "injection", attributes: .concurrent)) },
]

/// Holds what a handler gives up.
private final class Holder<Object: AnyObject & Sendable>: Sendable {
    private let object = Mutex<Object?>(nil)

    func hold(_ new: Object) { object.withLock { $0 = new } }

    /// Gives up the object, outside the lock.
    func drop() {
        let last = object.withLock { object in
            let last = object
            object = nil
            return last
        }
        extendLifetime(last)
    }

    func use(_ body: (Object) -> Void) {
        guard let object = object.withLock({ $0 }) else { return }
        body(object)
    }
}

@Suite struct HandlerInjectionTests {
    /// The queue ends by itself, soon after its own call: everything is answered, nothing waits for itself.
    @Test(.timeLimit(.minutes(5)), arguments: executors.indices)
    func aHandlerDropsTheLastReferenceToItsPageQueue(index: Int) async throws {
        let bench = try PageBench()
        let device = try bench.device(1)
        let log = PageLog()
        let holder = Holder<PageQueue>()
        let calls = PageShared(0)
        weak var gone: PageQueue?
        do {
            let queue = try PageQueue(bench.domain, configuration: .patient, executor: executors[index]()) { group in
                calls.change { $0 += 1 }
                holder.drop()
                #expect(throws: IOMMUError.alreadyAnswered) { try group.respond(.success) }
            }
            holder.hold(queue)
            gone = queue
        }
        let interface = try device.enablePageRequests(handler: log.handler)
        for group in 0..<3 {
            try? interface.request(PageRequest(PageBench.iova(group), access: .read, group: group))
        }
        try await pageWait { log.answers.count == 3 }
        #expect(calls.value == 1)
        #expect(log.answers.allSatisfy { $0.response != .success })
        #expect(gone == nil)
        let next = try PageQueue(bench.domain, configuration: .patient)  // its place is free
        try interface.request(PageRequest(PageBench.iova(9), access: .read, group: 9))
        try next.read()?.respond(.success)
        #expect(log.answers.last?.response == .success)
    }

    @Test(.timeLimit(.minutes(5)), arguments: executors.indices)
    func aHandlerShutsItsPageQueueDown(index: Int) async throws {
        let bench = try PageBench()
        let device = try bench.device(1)
        let log = PageLog()
        let holder = Holder<PageQueue>()
        let queue = try PageQueue(bench.domain, configuration: .patient, executor: executors[index]()) { group in
            holder.use { $0.shutdown() }
            #expect(!group.isOpen)
        }
        holder.hold(queue)
        let interface = try device.enablePageRequests(handler: log.handler)
        try interface.request(PageRequest(PageBench.iova(1), access: .read, group: 1))
        try await pageWait { log.answers.count == 1 }
        #expect(log.answers.first?.response == .invalid)
        #expect(throws: IOMMUError.closed) { _ = try queue.read() }
        try interface.request(PageRequest(PageBench.iova(2), access: .read, group: 2))
        #expect(log.answers.last?.cause == .nobody)
        holder.drop()
    }

    @Test(.timeLimit(.minutes(5)), arguments: executors.indices)
    func aHandlerDropsTheLastReferenceToItsDispatcher(index: Int) throws {
        let bench = try FaultBench()
        let device = try bench.device()
        let holder = Holder<FaultDispatcher>()
        let heard = Heard()
        do {
            let dispatcher = FaultDispatcher(unit: bench.unit)
            try dispatcher.receive(from: .device(device), on: executors[index]()) { record in
                heard.hear(record)
                holder.drop()
            }
            holder.hold(dispatcher)
        }
        try bench.fault(1)
        #expect(heard.comesTo(1))
        for page in 2..<10 { try bench.fault(UInt64(page)) }
        // The reception is over: the device's queue may be another's.
        let next = FaultDispatcher(unit: bench.unit)
        #expect(
            isTrue {
                (try? next.receive(from: .device(device), on: .thread()) { heard.hear($0) }) != nil
            })
        #expect(heard.all.count == 1)
        try bench.fault(42)
        #expect(heard.comesTo(2))
        #expect(heard.pages == [1, 42])
        next.shutdown()
    }

    @Test(.timeLimit(.minutes(5)))
    func aTaskIsCancelledBeforeItWaitsForGroups() async throws {
        let bench = try PageBench()
        let queue = try PageQueue(bench.domain, configuration: .patient)
        for _ in 0..<200 {
            let task = Task {
                var iterator = queue.groups.makeAsyncIterator()
                return await iterator.next() == nil
            }
            task.cancel()
            #expect(await task.value)
        }
        let device = try bench.device(1)
        let interface = try device.enablePageRequests()
        try interface.request(PageRequest(PageBench.iova(1), access: .read, group: 1))
        var iterator = queue.groups.makeAsyncIterator()
        try await iterator.next()?.respond(.success)
        #expect(interface.statistics.answers(.success) == 1)
    }

    @Test(.timeLimit(.minutes(5)))
    func aTaskThatWaitsForPagesIsCancelled() async throws {
        let bench = try PageBench()
        let device = try bench.device(1)
        let queue = try PageQueue(bench.domain, configuration: .patient)
        let interface = try device.enablePageRequests()
        let task = Task { try await interface.answer(for: [RequestedPage(PageBench.iova(1), access: .read)]) }
        var group = try queue.read()
        while group == nil {
            await Task.yield()
            group = try queue.read()
        }
        task.cancel()
        await #expect(throws: CancellationError.self) { _ = try await task.value }
        // Nobody waits any more; the group is still its owner's to answer, once.
        try group?.respond(.success)
        #expect(throws: IOMMUError.alreadyAnswered) { try group?.respond(.success) }
        #expect(interface.statistics.open == 0)
    }
}
