// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Device-TLBs by themselves: making, answering, blocking, closing. What asks them is in DeviceTLBEngineTests.swift.

import IOMMU
import IOMMUTestSupport
import Synchronization
import Testing

/// A device that remembers what it is asked, and answers as it is told.
final class FakeDevice: Sendable {
    enum Manner { case fine, wrong, silent }

    struct State {
        var requests: [DeviceTLBRequest] = []
        var manner = Manner.fine
    }

    private let state: Mutex<State>

    init(_ manner: Manner = .fine) {
        state = Mutex(State(manner: manner))
    }

    var requests: [DeviceTLBRequest] { state.withLock { $0.requests } }

    func setManner(_ manner: Manner) { state.withLock { $0.manner = manner } }

    func forget() { state.withLock { $0.requests = [] } }

    /// The handler: answers at once, or never.
    func take(_ request: DeviceTLBRequest) {
        let manner = state.withLock { state in
            state.requests.append(request)
            return state.manner
        }
        switch manner {
        case .fine: #expect(request.answer())
        case .wrong: #expect(request.answer(fine: false))
        case .silent: break
        }
    }
}

/// Time that passes when it is looked at: a deadline comes without waiting.
final class FastClock: Sendable {
    private let now = Atomic<UInt64>(1)
    private let step: UInt64

    init(step: Duration = .milliseconds(400)) {
        self.step = UInt64(step.components.attoseconds / 1_000_000_000)
    }

    func read() -> UInt64 { now.add(step, ordering: .relaxed).newValue }
}

@Suite struct DeviceTLBTests {
    static let source = InvalidationBench.source

    static func configuration(
        _ pasids: ClosedRange<PASID>? = nil, clock: FastClock? = nil
    ) -> DeviceTLB.Configuration {
        var configuration = DeviceTLB.Configuration(source: source, pasids: pasids, device: 42)
        // Nobody waits for it: those that come late do by a clock of their own.
        configuration.timeout = clock == nil ? .seconds(3600) : .seconds(1)
        if let clock { configuration.clock = { clock.read() } }
        return configuration
    }

    @Test func closingAsksForEverything() throws {
        let bench = try InvalidationBench()
        let device = FakeDevice()
        let tlb = try DeviceTLB(unit: bench.unit, configuration: Self.configuration(), handler: device.take)
        #expect(!tlb.isBlocked)
        try tlb.close()
        let request = try #require(device.requests.first)
        #expect(device.requests.count == 1)
        #expect(request.source == Self.source && request.scope == .everything && request.range == .min ... .max)
        #expect("\(request)".contains("source 01:02.0, everything, 0x0...0xffffffffffffffff"))
        #expect(!request.answer())
        #expect(throws: IOMMUError.notFound) { try tlb.close() }
        #expect(throws: IOMMUError.notFound) { try tlb.retry() }
        #expect(throws: IOMMUError.notFound) { try tlb.reset() }
        #expect(!tlb.isBlocked && tlb.statistics.requests == 0)
    }

    @Test func lettingItGoIsClosing() throws {
        let bench = try InvalidationBench()
        let device = FakeDevice()
        do {
            _ = try DeviceTLB(unit: bench.unit, configuration: Self.configuration(), handler: device.take)
        }
        #expect(device.requests.count == 1)
        // And the source is free again.
        let second = try DeviceTLB(unit: bench.unit, configuration: Self.configuration(), handler: device.take)
        try second.close()
    }

    @Test func whatIsCoveredAlreadyIsRefused() throws {
        let bench = try InvalidationBench()
        let device = FakeDevice()
        func make(_ first: UInt32, _ last: UInt32) throws -> DeviceTLB {
            let pasids = try #require(PASID(first))...(try #require(PASID(last)))
            return try DeviceTLB(unit: bench.unit, configuration: Self.configuration(pasids), handler: device.take)
        }
        let low = try make(0, 15)
        let high = try make(16, 31)
        #expect(throws: IOMMUError.overlap) { _ = try make(15, 15) }
        #expect(throws: IOMMUError.overlap) { _ = try make(31, 40) }
        do throws(IOMMUError) {
            _ = try DeviceTLB(unit: bench.unit, configuration: Self.configuration(), handler: device.take)
            Issue.record("made over two others")
        } catch {
            #expect(error == .overlap)
            #expect(error.detail == "another device-TLB covers part of source 01:02.0")
        }
        try low.close()
        _ = try make(0, 3)
        try high.close()
    }

    @Test func valuesOutOfRangeAreRefused() throws {
        let bench = try InvalidationBench()
        func refusal(_ change: (inout DeviceTLB.Configuration) -> Void) -> IOMMUError? {
            var configuration = Self.configuration()
            change(&configuration)
            do throws(IOMMUError) {
                _ = try DeviceTLB(unit: bench.unit, configuration: configuration) { $0.answer() }
                return nil
            } catch {
                return error
            }
        }
        for depth in [0, -1, 33, Int.max] {
            #expect(refusal { $0.queueDepth = depth }?.detail == "queueDepth is \(depth); it must be 1 to 32")
        }
        #expect(refusal { $0.timeout = .zero } == .invalidArgument)
        #expect(refusal { $0.timeout = .seconds(-1) } == .invalidArgument)
        #expect(refusal { $0.timeout = .seconds(Int64.max) } == .invalidArgument)
        #expect(refusal { $0.source = SourceID(0x1_0000) } == .invalidArgument)
        #expect(refusal { $0.physicalFunction = SourceID(0x1_0000) } == .invalidArgument)
        #expect(refusal { $0.queueDepth = 32 } == nil)
    }

    @Test func aSilentDeviceIsBlockedUntilItAnswersOrIsReset() throws {
        let bench = try InvalidationBench()
        let device = FakeDevice(.silent)
        let tlb = try DeviceTLB(
            unit: bench.unit, configuration: Self.configuration(clock: FastClock()), handler: device.take)
        #expect(throws: IOMMUError.timedOut) { try tlb.retry() }
        #expect(tlb.isBlocked)
        let late = try #require(device.requests.first)
        #expect(!late.answer())
        #expect(!tlb.answer(late.id))
        #expect(tlb.isBlocked)
        device.setManner(.fine)
        try tlb.retry(port: bench.port)
        #expect(!tlb.isBlocked)
        device.setManner(.silent)
        #expect(throws: IOMMUError.timedOut) { try tlb.retry() }
        try tlb.reset()
        #expect(!tlb.isBlocked)
        let statistics = tlb.statistics
        #expect(statistics.requests == 3 && statistics.answers == 1 && statistics.timeouts == 2)
        #expect(throws: IOMMUError.timedOut) { try tlb.close() }
        #expect(throws: IOMMUError.notFound) { try tlb.close() }
    }

    @Test(.timeLimit(.minutes(5)))
    func anAsynchronousDeviceAnswersWhenItIsDone() async throws {
        let bench = try InvalidationBench()
        let asked = Locked(0)
        let tlb = try DeviceTLB(
            unit: bench.unit, configuration: Self.configuration(),
            answeringWith: { request in
                asked.change { $0 += 1 }
                await Task.yield()
                return request.scope == .everything
            })
        try await onOwnThread { try tlb.retry() }
        try await onOwnThread { try tlb.close() }
        #expect(asked.value == 2)
    }

    @Test(.timeLimit(.minutes(5)))
    func closingDuringARetryIsRefused() async throws {
        let bench = try InvalidationBench()
        let device = FakeDevice(.silent)
        let tlb = try DeviceTLB(unit: bench.unit, configuration: Self.configuration(), handler: device.take)
        async let retry: Void = onOwnThread { try tlb.retry() }
        while device.requests.isEmpty { try await Task.sleep(for: .milliseconds(1)) }
        #expect(throws: IOMMUError.inUse) { try tlb.close() }
        #expect(device.requests[0].answer())
        try await retry
        device.setManner(.fine)
        try tlb.close()
    }

    @Test func theHandlersClosureGoesWithTheClose() throws {
        final class Held: Sendable {}
        weak var held: Held?
        weak var unit: RemappingUnit?
        do {
            let bench = try InvalidationBench()
            let token = Held()
            held = token
            unit = bench.unit
            let tlb = try DeviceTLB(unit: bench.unit, configuration: Self.configuration()) { request in
                extendLifetime(token)
                request.answer()
            }
            try tlb.close()
        }
        #expect(held == nil && unit == nil)
    }

    @Test func aDeviceKnowsWhatItsCacheCovers() async throws {
        let bench = try InvalidationBench()
        let slice = try #require(PASID(16))...(try #require(PASID(31)))
        let device = try Device(id: 9, sourceID: Self.source, share: .slice(slice), in: bench.unit)
        let fake = FakeDevice()
        let tlb = try device.enableATS(
            physicalFunction: SourceID(0x100), queueDepth: 4, timeout: .milliseconds(5), handler: fake.take)
        #expect(tlb.configuration.device == 9 && tlb.configuration.source == Self.source)
        #expect(tlb.configuration.pasids == slice)
        #expect(tlb.configuration.physicalFunction == SourceID(0x100))
        #expect(tlb.configuration.queueDepth == 4 && tlb.configuration.timeout == .milliseconds(5))
        try tlb.close()
        let whole = try Device(id: 10, sourceID: SourceID(0x300), in: bench.unit)
        let other = try whole.enableATS(timeout: .seconds(3600), answeringWith: { _ in true })
        #expect(other.configuration.pasids == nil && other.configuration.physicalFunction == SourceID(0x300))
        try await onOwnThread { try other.close() }
    }

    @Test func countersHaveNames() throws {
        let bench = try InvalidationBench()
        let tlb = try DeviceTLB(unit: bench.unit, configuration: Self.configuration()) { $0.answer() }
        try tlb.retry()
        let statistics = tlb.statistics
        #expect(statistics.open == 0 && statistics.roundTrips.count == 40)
        #expect(statistics.roundTrips.reduce(0, +) == 1)
        #expect(try #require(statistics.roundTrip(ofShare: 0.5)) > .zero)
        #expect(statistics.values.count == 46)
        #expect(statistics.values[1] == NamedValue("iommu_device_tlb_requests_total", 1))
        #expect(Set(statistics.values.map(\.name)).count == 46)
        try tlb.close()
        #expect(tlb.statistics.roundTrip(ofShare: 1) == nil)
    }
}
