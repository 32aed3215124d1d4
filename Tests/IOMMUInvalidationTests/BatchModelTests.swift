// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Random batches against the same descriptors one by one on a second unit: the same refusal, the same host calls, the
// same status in memory, and nothing told less.

import IOMMU
import IOMMUTestSupport
import Testing

/// What applying descriptors did.
private struct Outcome: Equatable {
    var handled = 0
    var code: Int?
    var rule: String?
    var heard: [Heard.Event] = []
    var status: [UInt32] = []
}

/// A unit and what its observers heard.
private final class ModelUnit {
    let bench: InvalidationBench
    let page: UInt64
    let told = Locked<[Invalidation]>([])

    init(rootRegister: UInt64) throws {
        bench = try InvalidationBench()
        page = bench.image.allocatePage()
        try bench.unit.setRootTable(rootRegister)
        let told = told
        _ = try bench.unit.addObserver { invalidation in told.change { $0.append(invalidation) } }
    }

    func apply(batch descriptors: [InvalidationDescriptor], isWide: Bool) throws -> Outcome {
        var batch = try InvalidationBatch(isWide ? .vtdQueue256 : .vtdQueue128)
        for descriptor in descriptors { try batch.append(descriptor) }
        let heard = Heard()
        let result = try bench.unit.apply(batch, port: bench.port, host: heard.host())
        #expect(result.isComplete == (result.refusedIndex == nil))
        return Outcome(
            handled: result.handled, code: result.hardwareError?.code, rule: result.rule, heard: heard.events,
            status: status)
    }

    func applyOneByOne(_ descriptors: [InvalidationDescriptor]) throws -> Outcome {
        var outcome = Outcome()
        for (index, descriptor) in descriptors.enumerated() {
            do throws(IOMMUError) {
                let left = try bench.unit.invalidate(descriptor: descriptor, port: bench.port)
                outcome.handled += 1
                if let event = act(on: left, descriptor, index) { outcome.heard.append(event) }
            } catch {
                outcome.code = error.invalidationQueueError
                outcome.rule = error.detail
                break
            }
        }
        outcome.status = status
        return outcome
    }

    /// The host's part, as the header of the C library says it.
    private func act(
        on outcome: DescriptorOutcome, _ descriptor: InvalidationDescriptor, _ index: Int
    ) -> Heard.Event? {
        switch outcome {
        case .caches, .deviceTLB:
            return nil
        case .interruptCache:
            guard descriptor.q0 >> 4 & 1 == 1 else { return .interrupts(index, 0...0xffff) }
            let low = 1 << Int(descriptor.q0 >> 27 & 31) - 1
            let first = Int(descriptor.q0 >> 32 & 0xffff) & ~low
            return .interrupts(index, first...first | low)
        case .pageResponse:
            return .response(index, descriptor.widened)
        case .wait(let request):
            if let address = request.statusAddress?.rawValue, bench.image.contains(address) {
                let shift = (address & 4) * 8
                let others = bench.image[address & ~7] & ~(0xffff_ffff << shift)
                bench.image[address & ~7] = others | UInt64(request.statusData) << shift
            }
            return .waited(index, interrupt: request.interrupt, status: nil)
        }
    }

    private var status: [UInt32] {
        (0..<8).map { bench.status(at: page + $0 * 4) }
    }
}

@Suite struct BatchModelTests {
    /// Legacy with both widths, and scalable.
    @Test(arguments: [(0, false), (0, true), (1 << 10, true), (1 << 10, false), (3 << 10, true)] as [(UInt64, Bool)])
    func batchesDoWhatTheirDescriptorsDo(rootRegister: UInt64, isWide: Bool) throws {
        var random = SeededGenerator.forTest()
        let batched = try ModelUnit(rootRegister: rootRegister)
        let single = try ModelUnit(rootRegister: rootRegister)
        #expect(batched.page == single.page)
        for round in 0..<300 {
            let comment: Comment = "round \(round), IOMMU_TEST_SEED=\(random.seed)"
            let count = random.oneIn(8) ? 65 + random.below(200) : random.below(24)
            var descriptors: [InvalidationDescriptor] = []
            for _ in 0..<count {
                let descriptor = Self.descriptor(&random, status: batched.page, isScalable: rootRegister != 0)
                descriptors.append(isWide ? descriptor.widened : descriptor)
            }
            #expect(
                try batched.apply(batch: descriptors, isWide: isWide) == single.applyOneByOne(descriptors), comment)
            let heard = batched.told.value
            for wanted in single.told.value {
                #expect(heard.contains { Self.covers($0, wanted) }, "\(wanted) \(comment)")
            }
            batched.told.change { $0 = [] }
            single.told.change { $0 = [] }
        }
    }

    /// A descriptor that is mostly fine, with addresses and ids that meet.
    private static func descriptor(
        _ random: inout SeededGenerator, status: UInt64, isScalable: Bool
    ) -> InvalidationDescriptor {
        let domain = UInt16(random.below(3))
        let pasid = PASID(UInt32(random.below(3)))!
        let page = IOVA(UInt64(random.below(64)) << 12)
        let mask = random.below(4)
        let leafOnly = random.oneIn(2)
        var made: InvalidationDescriptor
        switch random.below(isScalable ? 10 : 7) {
        case 0: made = .contextCache(domain: domain, source: SourceID(UInt32(random.below(4))), functionMask: 1)
        case 1: made = random.oneIn(4) ? .iotlb() : .iotlb(domain: domain)
        case 2, 3: made = .iotlb(domain: domain, page: page, addressMask: mask, leafOnly: leafOnly)
        case 4: made = .interrupts(UInt64(random.below(0x1_0000)), mask: UInt64(random.below(16)))
        case 5: made = .wait(interrupt: random.oneIn(2))
        case 6:
            let place = OutputAddress(status + UInt64(random.below(8)) * 4)
            made = .wait(status: (place, UInt32(truncatingIfNeeded: random.next())))
        case 7: made = .pasidCache(domain: domain, pasid: pasid)
        case 8: made = .pasidIOTLB(domain: domain, pasid: pasid)
        default:
            made = .pasidIOTLB(domain: domain, pasid: pasid, page: page, addressMask: mask, leafOnly: leafOnly)
        }
        // Sometimes any bit is flipped: another type, a reserved bit, another granularity.
        if random.oneIn(60) { made.q0 ^= 1 << UInt64(random.below(64)) }
        if random.oneIn(60) { made.q1 ^= 1 << UInt64(random.below(64)) }
        return made
    }

    /// Everything that `wanted` says is no longer true, `told` says too.
    private static func covers(_ told: Invalidation, _ wanted: Invalidation) -> Bool {
        told.kind == wanted.kind
            && (told.domain == nil || told.domain == wanted.domain)
            && (told.pasid == nil || told.pasid == wanted.pasid)
            && (told.source == nil || (told.source == wanted.source && told.sourceMask == wanted.sourceMask))
            && told.stages.isSuperset(of: wanted.stages)
            && (!told.leafOnly || wanted.leafOnly)
            && told.first <= wanted.first && told.last >= wanted.last
    }
}
