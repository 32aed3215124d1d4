// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Who is asked, and when: unmap, detach and the guest's descriptors reach the device-TLBs that they concern, and only
// those; what a device does not answer is reported with its name [B-A4], and blocks it.

import IOMMU
import IOMMUTestSupport
import Testing

/// A device with a paging domain and a device-TLB.
private final class CachedDevice {
    static let page: UInt64 = 0x4000_0000

    let bench: InvalidationBench
    let domain: PagingDomain
    let device: Device
    let fake = FakeDevice()
    let tlb: DeviceTLB

    init(clock: FastClock? = FastClock()) throws {
        bench = try InvalidationBench()
        domain = try PagingDomain(unit: bench.unit)
        device = try Device(id: 42, sourceID: InvalidationBench.source, in: bench.unit)
        try device.attach(domain)
        try domain.map(IOVA(Self.page), to: OutputAddress(0x5000_0000), length: 4 << 12, rights: [.read, .write])
        tlb = try DeviceTLB(
            unit: bench.unit, configuration: DeviceTLBTests.configuration(clock: clock), handler: fake.take)
    }

    /// The guest's own device-TLB descriptor for a page (type 3).
    static func descriptor(_ address: UInt64, source: SourceID = InvalidationBench.source) -> InvalidationDescriptor {
        InvalidationDescriptor(3 | UInt64(source.rawValue) << 32, address & ~0xfff)
    }

    /// True if some request covers the page.
    func wasAsked(_ address: UInt64) -> Bool {
        fake.requests.contains { $0.range.contains(IOVA(address)) }
    }
}

@Suite struct DeviceTLBEngineTests {
    @Test func whatIsUnmappedIsDroppedByTheDeviceBeforeTheReturn() throws {
        let cached = try CachedDevice()
        try cached.domain.unmap(IOVA(CachedDevice.page), length: 4096)
        #expect(cached.wasAsked(CachedDevice.page))
        #expect(cached.fake.requests.allSatisfy { $0.source == InvalidationBench.source })
        #expect(cached.tlb.statistics.answers == UInt64(cached.fake.requests.count))
        cached.fake.forget()
        try cached.device.detach()
        #expect(cached.wasAsked(0) && cached.wasAsked(.max))
    }

    @Test func theGuestsDescriptorAsksTheDeviceOfItsSource() throws {
        let cached = try CachedDevice()
        let page = cached.bench.image.allocatePage()
        let result = try cached.bench.unit.apply(
            .queue([
                CachedDevice.descriptor(0x1234_5000), CachedDevice.descriptor(0x6000, source: SourceID(0x999)),
                .wait(status: (OutputAddress(page), 1)),
            ]), port: cached.bench.port)
        #expect(result.isComplete, "\(result)")
        #expect(cached.bench.status(at: page) == 1)
        #expect(cached.fake.requests.count == 1)
        #expect(cached.wasAsked(0x1234_5000) && !cached.wasAsked(0x6000))
    }

    @Test func aSilentDeviceIsNamedAndBlocked() throws {
        let cached = try CachedDevice()
        let page = cached.bench.image.allocatePage()
        #expect(try cached.bench.output(CachedDevice.page) == 0x5000_0000)
        cached.fake.setManner(.silent)
        let result = try cached.bench.unit.apply(
            .queue([
                .iotlb(), CachedDevice.descriptor(0x1000), .wait(status: (OutputAddress(page), 1)), .iotlb(),
                .wait(status: (OutputAddress(page), 2)),
            ]), port: cached.bench.port)
        #expect(result.handled == 5 && result.error == .timeout)
        #expect(result.lowestIndex == 1 && result.highestIndex == 1)
        let failure = try #require(result.failures.first)
        #expect(failure.index == 1 && failure.error == .timeout && failure.device == 42)
        #expect(failure.source == InvalidationBench.source && failure.portID == nil)
        #expect("\(result)".contains("entry 1: device 42 (source 01:02.0) did not answer in time"))
        #expect(cached.bench.status(at: page) == 0)
        #expect(cached.tlb.isBlocked)
        #expect(try cached.bench.output(CachedDevice.page) == nil)

        cached.fake.setManner(.fine)
        try cached.tlb.retry()
        #expect(try cached.bench.output(CachedDevice.page) == 0x5000_0000)
        #expect(try cached.bench.unit.apply(.queue([CachedDevice.descriptor(0x1000)])).isComplete)
    }

    @Test func anUnmapThatADeviceDoesNotAnswerTimesOut() throws {
        let cached = try CachedDevice()
        cached.fake.setManner(.silent)
        #expect(throws: IOMMUError.timedOut) { try cached.domain.unmap(IOVA(CachedDevice.page), length: 4096) }
        #expect(cached.tlb.isBlocked)
        #expect(try cached.bench.output(CachedDevice.page + 4096) == nil)
        try cached.tlb.reset()
        #expect(try cached.bench.output(CachedDevice.page) == nil)
        #expect(try cached.bench.output(CachedDevice.page + 4096) == 0x5000_1000)
    }

    @Test func aWrongAnswerIsACompletionError() throws {
        let cached = try CachedDevice()
        cached.fake.setManner(.wrong)
        let result = try cached.bench.unit.apply(.queue([CachedDevice.descriptor(0x1000)]))
        #expect(result.error == .completion && !result.isComplete)
        #expect(result.failures.first?.device == 42)
        #expect(cached.tlb.statistics.errors == 1)
    }

    @Test func aDescriptorWithAPASIDAsksTheSliceThatHasIt() throws {
        let bench = try InvalidationBench()
        try bench.useScalableMode()
        let fakes = [FakeDevice(), FakeDevice()]
        var tlbs: [DeviceTLB] = []
        for number in 0..<2 {
            let first = UInt32(number) * 16
            let slice = try #require(PASID(first))...(try #require(PASID(first + 15)))
            tlbs.append(
                try DeviceTLB(
                    unit: bench.unit, configuration: DeviceTLBTests.configuration(slice), handler: fakes[number].take))
        }
        var batch = try InvalidationBatch(.vtdQueue256)
        try batch.append(
            InvalidationDescriptor(8 | UInt64(InvalidationBench.source.rawValue) << 16 | 20 << 32, 0x7000))
        #expect(try bench.unit.apply(batch).isComplete)
        #expect(fakes[0].requests.isEmpty)
        #expect(fakes[1].requests.map(\.scope) == [.pasid(try #require(PASID(20)))])
        for tlb in tlbs { try tlb.close() }
    }

    @Test func submittedBatchesAskDevicesToo() async throws {
        let cached = try CachedDevice()
        let batch = try InvalidationBatch.queue([CachedDevice.descriptor(0x3000)])
        #expect(try await cached.bench.unit.submit(batch).isComplete)
        #expect(cached.wasAsked(0x3000))
        cached.fake.setManner(.silent)
        let result = try await cached.bench.unit.submit(batch)
        #expect(result.failures.first?.device == 42 && result.error == .timeout)
    }

    @Test func coarseTimeoutsNameEveryPendingEntry() throws {
        let cached = try CachedDevice()
        cached.bench.unit.setCoarseTimeouts(true)
        let other = SourceID(0x300)
        let answers = FakeDevice()
        let second = try DeviceTLB(
            unit: cached.bench.unit, configuration: .init(source: other, device: 43), handler: answers.take)
        cached.fake.setManner(.silent)
        let result = try cached.bench.unit.apply(
            .queue([CachedDevice.descriptor(0x1000, source: other), CachedDevice.descriptor(0x1000), .iotlb()]))
        #expect(result.lowestIndex == 0 && result.highestIndex == 1)
        #expect(result.failures.contains { $0.index == 1 && $0.device == 42 })
        try second.close()
    }
}
