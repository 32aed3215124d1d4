// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Submitted batches: results, order, sharing, and that nothing is let go too early or too late.

import IOMMU
import IOMMUTestSupport
import Synchronization
import Testing

@Suite struct BatchSubmitTests {
    @Test func aSubmittedBatchHasTheResultOfAnAppliedOne() async throws {
        let bench = try InvalidationBench()
        for descriptors in [[InvalidationDescriptor.iotlb()], [.iotlb(), .refused], [.refused], []] {
            let batch = try InvalidationBatch.queue(descriptors)
            let applied = try bench.unit.apply(batch)
            #expect(try await bench.unit.submit(batch) == applied)
            #expect(try await bench.unit.submit(batch, port: bench.port) == applied)
        }
    }

    @Test func itIsInForceWhenItIsDone() async throws {
        let guest = try NestedGuest(try InvalidationBench())
        guest.map(0x7000_0000, at: 0, level: 1)
        #expect(try guest.isAt(NestedGuest.old, 0x7000_5000, 0x5000))
        guest.map(0x7000_0000, at: 0, level: 1, moved: true)
        var batch = try InvalidationBatch(.vtdStageOne(guest.domain))
        try batch.append(StageOneEntry(address: 0x7000_1000, pageCount: 1, leafOnly: true))
        #expect(try await guest.bench.unit.submit(batch).isComplete)
        #expect(try guest.isAt(NestedGuest.new, 0x7000_5000, 0x5000))
    }

    @Test func misuseIsThrownAndNothingIsCalled() async throws {
        let bench = try InvalidationBench()
        let other = try InvalidationBench()
        let guest = try NestedGuest(other)
        let batch = try InvalidationBatch.queue([.iotlb()])
        let stageOne = try InvalidationBatch(.vtdStageOne(guest.domain))
        await #expect(throws: IOMMUError.otherUnit) { try await bench.unit.submit(stageOne) }
        await #expect(throws: IOMMUError.invalidArgument) { try await bench.unit.submit(batch, failureLimit: -1) }
        let otherPort = other.port
        let calls = Locked(0)
        #expect(throws: IOMMUError.invalidArgument) {
            try bench.unit.submit(batch, port: otherPort) { _ in calls.change { $0 += 1 } }
        }
        bench.unit.finishSubmissions()
        #expect(calls.value == 0)
    }

    @Test(.timeLimit(.minutes(5)))
    func theBatchesOfATaskKeepTheirOrder() async throws {
        let bench = try InvalidationBench()
        let unit = bench.unit
        let page = bench.image.allocatePage()
        let log = Locked<[Int: [Int]]>([:])
        let before = unit.invalidationStatistics
        try await withThrowingTaskGroup(of: Void.self) { group in
            for task in 0..<4 {
                group.addTask {
                    for number in 1...100 {
                        let place = OutputAddress(page + UInt64(task) * 8)
                        let batch = try InvalidationBatch.queue([
                            .iotlb(domain: UInt16(task)), .wait(status: (place, UInt32(number)), interrupt: true),
                        ])
                        let host = InvalidationHost(waited: { index, _ in
                            #expect(index == 1)
                            log.change { $0[task, default: []].append(number) }
                        })
                        // Half of them are not waited for before the next one is submitted.
                        if number.isMultiple(of: 2) {
                            #expect(try await unit.submit(batch, host: host).isComplete)
                        } else {
                            try unit.submit(batch, host: host) { #expect((try? $0.get().isComplete) == true) }
                        }
                    }
                }
            }
            try await group.waitForAll()
        }
        unit.finishSubmissions()
        let after = unit.invalidationStatistics
        // Batches that wait together may share a drain, so there are at most as many as batches.
        #expect((1...400).contains(after.drains - before.drains))
        for task in 0..<4 {
            #expect(log.value[task] == Array(1...100))
            #expect(bench.status(at: page + UInt64(task) * 8) == 100)
        }
    }

    @Test(.timeLimit(.minutes(5)))
    func everyCompletionRunsOnceWhereTheHostWantsIt() async throws {
        let bench = try InvalidationBench()
        let queue = Locked<[@Sendable () -> Void]>([])
        let log = Locked<[Int]>([])
        let enqueue: @Sendable (@escaping @Sendable () -> Void) -> Void = { work in queue.change { $0.append(work) } }
        for number in 0..<50 {
            let batch = try InvalidationBatch.queue(number.isMultiple(of: 3) ? [.refused] : [.iotlb()])
            try bench.unit.submit(batch, on: enqueue) { outcome in
                log.change { $0.append(number) }
                let result = try? outcome.get()
                #expect(result?.isComplete == !number.isMultiple(of: 3))
            }
        }
        bench.unit.finishSubmissions()
        #expect(log.value.isEmpty)
        let works = queue.value
        for work in works { work() }
        #expect(log.value == Array(0..<50))
    }

    @Test func rawEntriesAreCopiedBeforeTheCallReturns() async throws {
        let bench = try InvalidationBench()
        let entries = try InvalidationBatch.queue([.interrupts(3), .interrupts(4), .refused])
        let heard = Heard()
        let outcome = await withCheckedContinuation { continuation in
            var bytes = entries.bytes
            do throws(IOMMUError) {
                try unsafe bytes.span.bytes.withUnsafeBytes { (bytes) throws(IOMMUError) in
                    try unsafe bench.unit.submit(rawEntries: bytes, format: .vtdQueue128, host: heard.host()) {
                        continuation.resume(returning: $0)
                    }
                }
            } catch {
                continuation.resume(returning: .failure(error))
            }
            for index in bytes.indices { bytes[index] = 0xff }
        }
        #expect(try outcome.get().refusedIndex == 2)
        #expect(heard.events == [.interrupts(0, 3...3), .interrupts(1, 4...4)])
    }

    @Test func cancellingDoesNotRecallABatch() async throws {
        let bench = try InvalidationBench()
        let unit = bench.unit
        let page = bench.image.allocatePage()
        let batch = try InvalidationBatch.queue([.iotlb(), .wait(status: (OutputAddress(page), 7))])
        let task = Task {
            // Cancelled before it submits.
            while !Task.isCancelled { await Task.yield() }
            return try await unit.submit(batch)
        }
        task.cancel()
        #expect(try await task.value.isComplete)
        #expect(bench.status(at: page) == 7)
    }

    @Test(.timeLimit(.minutes(5)))
    func aUnitLivesUntilItsBatchesAreDoneAndNoLonger() async throws {
        weak var unit: RemappingUnit?
        weak var token: Token?
        let completions = Locked(0)
        do {
            let bench = try InvalidationBench()
            let held = Token()
            unit = bench.unit
            token = held
            for _ in 0..<20 {
                try bench.unit.submit(
                    .queue([.iotlb(), .wait()]), host: InvalidationHost(waited: { _, _ in held.touch() })
                ) {
                    #expect((try? $0.get().isComplete) == true)
                    held.touch()
                    completions.change { $0 += 1 }
                }
            }
        }
        while unit != nil || token != nil { try await Task.sleep(for: .milliseconds(1)) }
        #expect(completions.value == 20)
    }

    /// Something that closures keep alive.
    private final class Token: Sendable {
        func touch() {}
    }
}
