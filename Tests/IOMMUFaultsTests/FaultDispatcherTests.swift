// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Handlers per device: order, quotas, blocking, what a handler may do, cancelling from anywhere.

import Dispatch
import Foundation
import IOMMU
import IOMMUTestSupport
import Synchronization
import Testing

private let executors: [(name: String, make: @Sendable () -> HandlerExecutor)] = [
    ("inline", { HandlerExecutor { $0() } }),
    ("thread", { .thread() }),
    ("concurrent queue", { .queue(DispatchQueue(label: "faults", attributes: .concurrent)) }),
]

struct FaultDispatcherTests {
    @Test(arguments: executors.indices)
    func eachDeviceHearsItsOwnInOrder(index: Int) throws {
        let bench = try FaultBench()
        let dispatcher = FaultDispatcher(unit: bench.unit)
        let executor = executors[index].make()
        let devices = try (0..<8).map { try bench.device(DeviceID($0), at: SourceID(0x100 + UInt32($0))) }
        let heard = try devices.map { device in
            let heard = Heard()
            try dispatcher.receive(from: .device(device), on: executor) { heard.hear($0) }
            return heard
        }
        for page in 0..<200 {
            for device in devices { try bench.fault(UInt64(page), source: device.sourceID) }
        }
        for (heard, device) in zip(heard, devices) {
            #expect(heard.comesTo(200))
            #expect(heard.isComplete)
            #expect(heard.pages == Array(0..<200) || heard.all.contains { $0.lost > 0 })
            #expect(heard.all.allSatisfy { $0.fault == nil || $0.fault?.device == device.id })
        }
    }

    @Test func siblingsParentAndRest() throws {
        let bench = try FaultBench()
        let dispatcher = FaultDispatcher(unit: bench.unit)
        let parent = try bench.device(1, .parent)
        let slice = try bench.device(2, .slice(pasid(16)...pasid(31)))
        let executor = HandlerExecutor.thread()
        let heard = [Heard(), Heard(), Heard()]
        for (origin, heard) in zip([FaultOrigin.device(parent), .device(slice), .rest], heard) {
            try dispatcher.receive(from: origin, on: executor) { heard.hear($0) }
        }
        try bench.fault(1, pasid: pasid(16))
        try bench.fault(2)
        try bench.fault(3, pasid: pasid(99))
        try bench.fault(4, source: SourceID(0x200), pasid: pasid(16))
        #expect(heard[0].comesTo(2) && heard[0].pages == [2, 3])
        #expect(heard[0].all.map { $0.fault?.isUnclaimed } == [false, true])
        #expect(heard[1].comesTo(1) && heard[1].pages == [1])
        #expect(heard[2].comesTo(1) && heard[2].pages == [4])
    }

    @Test func aHandlerThatBlocksDelaysItsOwnDeviceOnly() throws {
        let bench = try FaultBench()
        let dispatcher = FaultDispatcher(unit: bench.unit)
        let stuck = try bench.device(1)
        let free = try bench.device(2, at: SourceID(0x200))
        let gate = DispatchSemaphore(value: 0)
        let heard = (stuck: Heard(), free: Heard())
        try dispatcher.receive(
            from: .device(stuck), options: FaultQueueOptions(quota: 4), on: .thread()
        ) { record in
            gate.wait()
            heard.stuck.hear(record)
        }
        try dispatcher.receive(from: .device(free), on: .thread()) { heard.free.hear($0) }
        for page in 0..<100 {
            try bench.fault(UInt64(page))
            try bench.fault(UInt64(page), source: SourceID(0x200))
            #expect(heard.free.comesTo(UInt64(page) + 1))
        }
        #expect(heard.free.pages == Array(0..<100))
        #expect(heard.stuck.all.isEmpty)
        for _ in 0..<200 { gate.signal() }
        #expect(heard.stuck.comesTo(100))
        #expect(heard.stuck.isComplete)
        #expect(heard.stuck.pages.first == 0)
        #expect(heard.stuck.all.reduce(0) { $0 + $1.lost } > 0)
    }

    @Test(arguments: executors.indices)
    func aHandlerMayDoEverything(index: Int) throws {
        let bench = try FaultBench()
        let dispatcher = FaultDispatcher(unit: bench.unit)
        let device = Mutex<Device?>(try bench.device())
        let reception = Mutex<FaultReception?>(nil)
        let done = DispatchSemaphore(value: 0)
        let calls = Atomic(0)
        let made = try dispatcher.receive(
            from: .device(#require(device.withLock { $0 })), on: executors[index].make()
        ) { _ in
            calls.add(1, ordering: .relaxed)
            do {
                try bench.fault(2)
                try bench.unit.drain()
                let domain = try PagingDomain(unit: bench.unit)
                try device.withLock { $0 }?.attach(domain)
                try device.withLock { $0 }?.detach()
                try bench.unit.reset()
            } catch {
                Issue.record("\(error)")
            }
            bench.dropDevices()
            device.withLock { $0 = nil }  // destroys it
            reception.withLock { $0 }?.cancel()
            done.signal()
        }
        reception.withLock { $0 = made }
        try bench.fault(1)
        done.wait()
        made.cancel()
        _ = try bench.unit.translate(0x3000, access: .read, source: FaultBench.source)
        #expect(calls.load(ordering: .relaxed) == 1)
        reception.withLock { $0 = nil }
    }

    @Test func cancellingWaitsForTheCall() throws {
        let bench = try FaultBench()
        let dispatcher = FaultDispatcher(unit: bench.unit)
        let device = try bench.device()
        let began = DispatchSemaphore(value: 0)
        let ended = Atomic(false)
        let reception = try dispatcher.receive(from: .device(device), on: .thread()) { _ in
            began.signal()
            Thread.sleep(forTimeInterval: 0.05)
            ended.store(true, ordering: .releasing)
        }
        try bench.fault(1)
        try bench.fault(2)
        began.wait()
        reception.cancel()
        let hasEnded = ended.load(ordering: .acquiring)
        #expect(hasEnded)
        #expect(reception.statistics == nil)
        #expect(throws: IOMMUError.closed) {
            try reception.report(Fault(reason: .aborted, source: FaultBench.source, access: [], address: 0))
        }
        // The device is free for another reception.
        let heard = Heard()
        try dispatcher.receive(from: .device(device), on: .thread()) { heard.hear($0) }
        try bench.fault(3)
        #expect(heard.comesTo(1) && heard.pages == [3])
    }

    @Test func aHandlerThatCancelsHearsNothingMore() throws {
        let bench = try FaultBench()
        let dispatcher = FaultDispatcher(unit: bench.unit)
        let works = Mutex<[@Sendable () -> Void]>([])
        let heard = Heard()
        let reception = Mutex<FaultReception?>(nil)
        let made = try dispatcher.receive(
            from: .device(bench.device()), on: HandlerExecutor { work in works.withLock { $0.append(work) } }
        ) { record in
            heard.hear(record)
            reception.withLock { $0 }?.cancel()
        }
        reception.withLock { $0 = made }
        for page in 1...10 as ClosedRange<UInt64> { try bench.fault(page) }
        // All of them are read at once.
        while let work = works.withLock({ $0.popLast() }) { work() }
        #expect(heard.pages == [1])
        reception.withLock { $0 = nil }
    }

    @Test func cancellingBesideFaultsEndsCleanly() throws {
        let bench = try FaultBench()
        let dispatcher = FaultDispatcher(unit: bench.unit)
        let device = try bench.device()
        let stop = Atomic(false)
        let stopped = DispatchSemaphore(value: 0)
        Thread.detachNewThread {
            var page: UInt64 = 0
            while !stop.load(ordering: .relaxed) {
                _ = try? bench.fault(page % 1000)
                page += 1
            }
            stopped.signal()
        }
        for round in 0..<100 {
            let isCancelled = Atomic(false)
            let late = Atomic(0)
            let reception = try dispatcher.receive(
                from: .device(device), on: executors[round % 3].make()
            ) { _ in
                if isCancelled.load(ordering: .acquiring) { late.add(1, ordering: .relaxed) }
            }
            Thread.sleep(forTimeInterval: 0.001)
            reception.cancel()
            isCancelled.store(true, ordering: .releasing)
            let lateCalls = late.load(ordering: .relaxed)
            #expect(lateCalls == 0)
        }
        stop.store(true, ordering: .relaxed)
        stopped.wait()
    }

    @Test func aDeviceInSoftwareReportsItself() throws {
        let bench = try FaultBench()
        let dispatcher = FaultDispatcher(unit: bench.unit)
        let heard = Heard()
        let reception = try dispatcher.receive(from: .software(9), on: .thread()) { heard.hear($0) }
        var fault = Fault(reason: .permission, source: SourceID(0x77), access: .write, address: 0x5000)
        try reception.report(fault)
        fault.device = 10
        #expect(throws: IOMMUError.notOwned) { try reception.report(fault) }
        #expect(heard.comesTo(1))
        let record = try #require(heard.all.first?.fault)
        #expect(record.isFromDevice)
        #expect(record.device == 9)
        #expect(record.address == 0x5000)
        #expect(record.description.contains("reported by the device"))
        #expect(throws: IOMMUError.exists) { try bench.device(9) }
    }

    @Test func foldingCounts() throws {
        let bench = try FaultBench()
        let dispatcher = FaultDispatcher(unit: bench.unit)
        let device = try bench.device()
        let gate = DispatchSemaphore(value: 0)
        let heard = Heard()
        let reception = try dispatcher.receive(
            from: .device(device), options: FaultQueueOptions(quota: 4, isFolding: true), on: .thread()
        ) { record in
            gate.wait()
            heard.hear(record)
        }
        for _ in 0..<100 { try bench.fault(1) }
        for _ in 0..<300 { gate.signal() }
        #expect(heard.comesTo(100))
        #expect(heard.isComplete)
        #expect(heard.all.allSatisfy { $0.lost == 0 && $0.firstTime <= $0.lastTime })
        let statistics = try #require(reception.statistics)
        #expect(statistics.faults == 100)
        #expect(statistics.folded == 100 - UInt64(heard.all.count))
        #expect(statistics.reasons == [.configAbsent: 100])
    }

    /// 64 devices on four source ids, eight threads that share them out, one device that faults at full speed through
    /// all of them. What each device must hear of is known: page n as number n.
    @Test func eightThreadsAndAFlood() throws {
        let bench = try FaultBench(faultEntries: 1_024)
        let dispatcher = FaultDispatcher(unit: bench.unit)
        let executor = HandlerExecutor.thread()
        let devices = try (0..<64).map { number -> Device in
            let first = UInt32(number / 4) * 16
            let share = number < 4 ? Device.Share.parent : .slice(pasid(first)...pasid(first + 15))
            return try bench.device(DeviceID(UInt64(number)), at: SourceID(UInt32(0x100 + number % 4)), share)
        }
        let heard = try devices.map { device in
            let heard = Heard()
            try dispatcher.receive(from: .device(device), on: executor) { heard.hear($0) }
            return heard
        }
        let flood = devices[63]
        let running = Atomic(8)
        let flooded = Atomic<UInt64>(0)
        for thread in 0..<8 {
            Thread.detachNewThread {
                for page in 0..<100 {
                    for number in stride(from: thread, to: 63, by: 8) {
                        let pasid = devices[number].share.pasids?.lowerBound
                        _ = try? bench.fault(UInt64(page), source: devices[number].sourceID, pasid: pasid)
                        for _ in 0..<8 {
                            _ = try? bench.fault(1, source: flood.sourceID, pasid: flood.share.pasids?.upperBound)
                            flooded.add(1, ordering: .relaxed)
                        }
                    }
                }
                running.subtract(1, ordering: .releasing)
            }
        }
        #expect(isTrue { running.load(ordering: .acquiring) == 0 })
        for (number, heard) in heard.enumerated() where number != 63 {
            #expect(heard.comesTo(100))
            #expect(heard.isComplete)
            #expect(heard.all.allSatisfy { $0.fault.map { $0.address.rawValue >> 12 } ?? $0.sequence == $0.sequence })
            #expect(heard.all.allSatisfy { $0.fault?.device ?? devices[number].id == devices[number].id })
        }
        #expect(heard[63].comesTo(flooded.load(ordering: .relaxed)))
        #expect(heard[63].isComplete)
    }

    @Test func shutdownEndsEverything() async throws {
        let bench = try FaultBench()
        let device = try bench.device()
        let other = try bench.device(8, at: SourceID(0x200))
        let heard = Heard()
        var dispatcher: FaultDispatcher? = FaultDispatcher(unit: bench.unit)
        try dispatcher?.receive(from: .device(device), on: .thread()) { heard.hear($0) }
        let records = try #require(try dispatcher?.records(of: .device(other)))
        #expect(throws: IOMMUError.occupied) { try dispatcher?.records(of: .device(device)) }
        let consumer = Task {
            var count = 0
            for await _ in records { count += 1 }
            return count
        }
        dispatcher?.shutdown()
        #expect(throws: IOMMUError.closed) {
            try dispatcher?.receive(from: .rest, on: .thread()) { _ in }
        }
        #expect(throws: IOMMUError.closed) { try dispatcher?.records(of: .rest) }
        #expect(await consumer.value == 0)
        dispatcher = nil
        try bench.fault(1)
        #expect(heard.all.isEmpty)
    }
}
