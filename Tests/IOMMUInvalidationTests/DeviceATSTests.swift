// SPDX-License-Identifier: LGPL-2.1-or-later
//
// ATS of the host's devices: who may ask for translations, parents beside slices, and answers that are stored by token.

import Dispatch
import IOMMU
import IOMMUTestSupport
import Testing

import class Foundation.Thread

@Suite struct DeviceATSTests {
    static let page: UInt64 = 0x4000_0000
    static let source = InvalidationBench.source

    static func domain(_ unit: RemappingUnit) throws -> PagingDomain {
        let domain = try PagingDomain(unit: unit)
        try domain.map(IOVA(page), to: OutputAddress(0x5000_0000), length: 4 << 12, rights: [.read, .write])
        return domain
    }

    /// The code of the fault that a kind of request meets; nil if it passes.
    static func code(
        _ bench: InvalidationBench, _ options: RequestOptions, pasid: PASID? = nil
    ) throws -> UInt32? {
        try bench.port.translate(IOVA(page), access: .read, source: source, pasid: pasid, options: options).fault?.code
    }

    /// A unit without scalable mode: SMTS, and all that needs it, are 0.
    static let legacy = UnitModel.full.with { model in
        for field in [
            UnitModel.Field.scalableMode, .nesting, .pageRequests, .supervisorRequests, .extendedAccessed, .pasid,
            .pasidWidth, .pageRequestDrain, .secondStageMarks, .secondStage, .firstStage, .snoopedWalks, .requestPASID,
            .abortMode, .requestPrivilege, .firstStage1GiB, .firstStage5Level,
        ] {
            model[field] = 0
        }
    }

    /// The host's registration stands for TT and DTE: 0D and 44 [FORMATS-VTD A9b].
    @Test(arguments: [false, true])
    func aDeviceMayAskWhileItsCacheIsKnown(isLegacy: Bool) throws {
        let bench = try InvalidationBench(capabilities: (isLegacy ? Self.legacy : UnitModel.full).capabilities())
        let refusal: UInt32 = isLegacy ? 0x0d : 0x44
        let device = try Device(id: 42, sourceID: Self.source, in: bench.unit)
        try device.attach(Self.domain(bench.unit))
        func check(_ expected: UInt32?) throws {
            #expect(try Self.code(bench, .translationRequest) == expected)
            #expect(try Self.code(bench, .translated) == expected)
            #expect(try Self.code(bench, []) == nil)
        }
        try check(refusal)
        let fault = try #require(bench.port.takeFaults().faults.first)
        #expect(fault.device == 42 && !fault.isRecoverable && fault.reason == .requestBlocked)
        let fake = FakeDevice()
        let tlb = try device.enableATS(timeout: .seconds(3600), handler: fake.take)
        try check(nil)
        try tlb.close()
        try check(refusal)
    }

    @Test func aParentHasWhatItsSlicesLeave() throws {
        let bench = try InvalidationBench()
        let domain = try Self.domain(bench.unit)
        let first = try #require(PASID(16))
        let free = try #require(PASID(64))
        let slice = first...(try #require(PASID(31)))
        let parent = try Device(id: 1, sourceID: Self.source, share: .parent, in: bench.unit)
        let child = try Device(id: 2, sourceID: Self.source, share: .slice(slice), in: bench.unit)
        let fakes = [FakeDevice(), FakeDevice()]
        let whole = try parent.enableATS(timeout: .seconds(3600), handler: fakes[0].take)
        #expect(whole.configuration.pasids == nil && whole.configuration.sharesSource)
        // Until the slice has a cache of its own the parent's is asked; then it drops what it has.
        try child.attach(domain, to: first)
        try domain.unmap(IOVA(Self.page), length: 4096)
        #expect(fakes[0].requests.map(\.scope) == [.pasid(first)])
        fakes[0].forget()
        let own = try child.enableATS(timeout: .seconds(3600), handler: fakes[1].take)
        #expect(fakes[0].requests.map(\.scope) == [.everything] && fakes[1].requests.isEmpty)
        fakes[0].forget()
        try domain.unmap(IOVA(Self.page + 4096), length: 4096)
        #expect(fakes[0].requests.isEmpty && fakes[1].requests.map(\.scope) == [.pasid(first)])
        try parent.attach(domain, to: free)
        try domain.unmap(IOVA(Self.page + 8192), length: 4096)
        #expect(fakes[0].requests.map(\.scope) == [.pasid(free)] && fakes[1].requests.count == 2)
        try own.close()
        try whole.close()
    }

    @Test func aParentThatKeepsWhatItHasLetsNobodyTakeOver() throws {
        let bench = try InvalidationBench()
        let fake = FakeDevice(.silent)
        var configuration = DeviceTLBTests.configuration(clock: FastClock())
        configuration.sharesSource = true
        let parent = try DeviceTLB(unit: bench.unit, configuration: configuration, handler: fake.take)
        let pasids = try #require(PASID(16))...(try #require(PASID(31)))
        func make() throws(IOMMUError) -> DeviceTLB {
            var slice = DeviceTLBTests.configuration(pasids, clock: FastClock())
            slice.device = 43
            return try DeviceTLB(unit: bench.unit, configuration: slice) { $0.answer() }
        }
        do throws(IOMMUError) {
            _ = try make()
            Issue.record("made beside a parent that may hold its translations")
        } catch {
            #expect(error == .timedOut && error.detail?.contains("nothing was made") == true)
            #expect("\(error)".contains("a device had not answered"))
        }
        #expect(parent.isBlocked)
        fake.setManner(.fine)
        let own = try make()
        try own.close()
        try parent.close()
    }

    @Test func anAnswerIsStoredUntilSomethingOvertakesIt() throws {
        let bench = try InvalidationBench()
        let domain = try Self.domain(bench.unit)
        let device = try Device(id: 42, sourceID: Self.source, in: bench.unit)
        try device.attach(domain)
        let tlb = try device.enableATS(timeout: .seconds(3600)) { $0.answer() }
        let asked = try bench.port.requestTranslation(IOVA(Self.page), access: .read, source: Self.source)
        #expect(asked.result.translation?.address.rawValue == 0x5000_0000)
        let token = try #require(asked.token)
        var cache: [UInt64] = []
        let other = try Self.domain(bench.unit)
        try other.unmap(IOVA(Self.page), length: 4096)
        #expect(bench.port.storeIfValid(token) { cache.append(0x5000_0000) } != nil)
        try domain.unmap(IOVA(Self.page), length: 4096)
        #expect(bench.port.storeIfValid(token) { cache.append(0x5000_0000) } == nil)
        #expect(cache == [0x5000_0000])
        try tlb.close()
    }

    #if DEBUG
        /// Debug builds know who opened a section: who would wait for itself is told so, also without naming its port.
        @Test func whoIsInsideASectionIsNotMadeToWaitForItself() throws {
            let bench = try InvalidationBench()
            let batch = try InvalidationBatch.queue([.iotlb()])
            let calls = Locked(0)
            try bench.port.withSection { () throws in
                #expect(throws: IOMMUError.inSection) {
                    try bench.unit.submit(batch) { _ in calls.change { $0 += 1 } }
                }
                #expect(throws: IOMMUError.inSection) { try bench.unit.apply(batch) }
                #expect(throws: IOMMUError.inSection) { try bench.unit.invalidate(descriptor: .iotlb()) }
                bench.port.withSection {
                    _ = #expect(throws: IOMMUError.inSection) { try bench.unit.apply(batch) }
                }
            }
            bench.unit.finishSubmissions()
            #expect(calls.value == 0)
            #expect(try bench.unit.apply(batch).isComplete)
        }

        /// A section of another thread is waited for.
        @Test func sectionsOfOthersAreWaitedFor() throws {
            let bench = try InvalidationBench(drainTimeout: .zero)
            let unit = bench.unit
            try bench.port.withSection { () throws in
                let result = Locked<InvalidationResult?>(nil)
                let done = DispatchSemaphore(value: 0)
                Thread.detachNewThread {
                    let applied = try? unit.apply(.queue([.iotlb()]))
                    result.change { $0 = applied }
                    done.signal()
                }
                done.wait()
                #expect(result.value?.error == .timeout)
            }
        }
    #endif
}
