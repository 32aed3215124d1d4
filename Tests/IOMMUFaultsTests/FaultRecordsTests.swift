// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Faults as an asynchronous sequence: order, back-pressure, cancellation at every moment.

import Dispatch
import Foundation
import IOMMU
import Synchronization
import Testing

struct FaultRecordsTests {
    @Test func aSequenceGivesEveryFaultInOrder() async throws {
        let bench = try FaultBench()
        let device = try bench.device()
        let records = try FaultDispatcher(unit: bench.unit).records(of: .device(device))
        let producer = Task.detached {
            for page in 0..<2_000 {
                try bench.fault(UInt64(page))
                if page % 20 == 0 { try await Task.sleep(for: .microseconds(200)) }
            }
        }
        var next: UInt64 = 0
        for await record in records {
            #expect(record.sequence == next)
            if let fault = record.fault {
                #expect(fault.address.rawValue >> 12 == next)
                #expect(fault.sequence == next)
            }
            next += record.count
            if next == 2_000 { break }
        }
        try await producer.value
        #expect(next == 2_000)
        let statistics = try #require(records.statistics)
        #expect(statistics.faults + statistics.lost == 2_000)
    }

    @Test func aSlowConsumerLosesNothingUpToItsQuota() async throws {
        let bench = try FaultBench()
        let device = try bench.device()
        let dispatcher = FaultDispatcher(unit: bench.unit)
        let records = try dispatcher.records(of: .device(device), options: FaultQueueOptions(quota: 50))
        for page in 0..<50 { try bench.fault(UInt64(page)) }
        var iterator = records.makeAsyncIterator()
        for page in 0..<UInt64(50) {
            let record = await iterator.next()
            #expect(record?.fault?.address.rawValue == page << 12)
        }
        for page in 50..<120 { try bench.fault(UInt64(page)) }
        for page in UInt64(50)..<100 {
            let record = await iterator.next()
            #expect(record?.fault?.address.rawValue == page << 12)
        }
        let loss = await iterator.next()
        #expect(loss?.lost == 20)
        #expect(loss?.sequence == 100)
        try bench.fault(500)
        let last = await iterator.next()
        #expect(last?.sequence == 120)
        #expect(last?.fault?.address == IOVA(500 << 12))
    }

    @Test func aConsumerWaitsAndIsWoken() async throws {
        let bench = try FaultBench()
        let device = try bench.device()
        let records = try FaultDispatcher(unit: bench.unit).records(of: .device(device))
        let consumer = Task {
            var iterator = records.makeAsyncIterator()
            var pages: [UInt64] = []
            while pages.count < 200, let record = await iterator.next() {
                if let fault = record.fault { pages.append(fault.address.rawValue >> 12) }
            }
            return pages
        }
        for page in 0..<200 {
            try bench.fault(UInt64(page))
            if page % 3 == 0 { try await Task.sleep(for: .microseconds(100)) }
        }
        #expect(await consumer.value == Array(0..<200))
    }

    @Test(arguments: [0, 1, 50, 500, 5_000])
    func cancellingEndsTheSequenceForThatTaskOnly(microseconds: Int) async throws {
        let bench = try FaultBench()
        let device = try bench.device()
        let dispatcher = FaultDispatcher(unit: bench.unit)
        let records = try dispatcher.records(of: .device(device), options: FaultQueueOptions(quota: 4_096))
        var next: UInt64 = 0
        for round in 0..<20 {
            let first = next
            let consumer = Task {
                var next = first
                for await record in records {
                    #expect(record.sequence == next)
                    next += record.count
                }
                #expect(Task.isCancelled)
                return next
            }
            for page in 0..<10 { try bench.fault(UInt64(round * 10 + page)) }
            try await Task.sleep(for: .microseconds(microseconds))
            consumer.cancel()
            next = await consumer.value
        }
        // What the cancelled ones left is still there.
        var iterator = records.makeAsyncIterator()
        while next < 200, let record = await iterator.next() {
            #expect(record.sequence == next)
            next += record.count
        }
        #expect(next == 200)
    }

    @Test func theQueueGoesWithTheSequence() async throws {
        let bench = try FaultBench()
        let device = try bench.device()
        let dispatcher = FaultDispatcher(unit: bench.unit)
        for _ in 0..<50 {
            let records = try dispatcher.records(of: .device(device))
            try bench.fault(1)
            var iterator = records.makeAsyncIterator()
            #expect(await iterator.next()?.sequence == 0)
        }
    }

    @Test func aDeviceThatIsGoneLeavesItsFaults() async throws {
        let bench = try FaultBench()
        let dispatcher = FaultDispatcher(unit: bench.unit)
        var device: Device? = try bench.device()
        let records = try dispatcher.records(of: .device(#require(device)))
        try bench.fault(1)
        device = nil
        bench.dropDevices()
        let later = try bench.device()
        try bench.fault(2)
        let heard = Heard()
        try dispatcher.receive(from: .device(later), on: .thread()) { heard.hear($0) }
        try bench.fault(3)
        var iterator = records.makeAsyncIterator()
        #expect(await iterator.next()?.fault?.address == IOVA(1 << 12))
        #expect(heard.comesTo(1) && heard.pages == [3])
        #expect(bench.unit.statistics.faultsOrphaned == 1)
    }
}
