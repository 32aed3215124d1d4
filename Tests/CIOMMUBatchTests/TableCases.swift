// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Generated cases: units of many capabilities in every mode, descriptors with every field at its limits, and the comparison of
// a batch of one with the reference.

import CIOMMU
import IOMMUTestSupport

/// One guest queue: RTADDR.TTM and the width of the descriptors.
struct Queue: Hashable, Sendable, CustomStringConvertible {
    var tableMode: UInt64
    var isWide: Bool

    static let all = [0, 1, 2, 3].flatMap { mode in [false, true].map { Queue(tableMode: mode, isWide: $0) } }

    var description: String { "TTM \(tableMode) \(isWide ? "256" : "128")-bit" }
}

extension UnitModel {
    static let noDeviceTLB = full.with {
        $0[.deviceTLB] = 0
        $0[.pageRequests] = 0
        $0[.pageRequestDrain] = 0
    }
    static let noPageRequests = full.with(.pageRequests, 0)
    static let noDrain = full.with(.pageRequestDrain, 0)
    static let noInterrupts = full.with(.interruptRemapping, 0)
    static let noPages = full.with(.pageSelective, 0)
    static let smallMasks = full.with {
        $0[.maximumAddressMask] = 9
        $0[.hostAddressMaskValue] = 3
    }
    static let zeroMasks = full.with {
        $0[.maximumAddressMask] = 0
        $0[.hostAddressMaskValue] = 0
    }
    static let noAbort = full.with(.abortMode, 0)
    /// Neither SMTS nor ADMS.
    static let old = full.with { model in
        let fields: [Field] = [
            .scalableMode, .abortMode, .firstStage, .secondStage, .nesting, .pageRequests, .pageRequestDrain, .pasid,
            .pasidWidth, .secondStageMarks, .snoopedWalks, .requestPASID, .requestPrivilege, .supervisorRequests,
            .extendedAccessed, .firstStage1GiB, .firstStage5Level,
        ]
        for field in fields { model[field] = 0 }
    }
    static let oldWithAbort = old.with(.abortMode, 1)
    /// As poor as a unit can be.
    static let bare = old.with { model in
        for field in [Field.deviceTLB, .interruptRemapping, .pageSelective] { model[field] = 0 }
    }

    /// Every capability that C1-C3 name, present and absent.
    static let forBatches: [UnitModel] = [
        .full, .bare, .noDeviceTLB, .noPageRequests, .noDrain, .noInterrupts, .noPages, .smallMasks, .zeroMasks,
        .noAbort, .old, .oldWithAbort,
    ]
    /// Those on which every single bit is flipped.
    static let extremes: [UnitModel] = [.full, .bare]
}

/// A unit in one mode, and the judge.
final class TableBench {
    let bench: BatchBench
    let check: ReferenceDescriptorCheck
    let queue: Queue

    init(_ model: UnitModel, _ queue: Queue) {
        bench = BatchBench(
            GuestImage(regions: [GuestImage.Region(address: 0x10_0000, pages: 1)]), model: model,
            root: 0x10_0000 | queue.tableMode << 10,
            configuration: BatchBench.configuration {
                $0.iotlb_entries = 4
                $0.spaces = 4
                $0.bindings = 4
                $0.domains = 4
                $0.first_level_entries = 4
                $0.walk_cache_entries = 4
            })
        check = ReferenceDescriptorCheck(model: model, tableMode: queue.tableMode)
        self.queue = queue
        bench.observe()
    }

    /// Applies a batch of one and compares everything that it answers and tells.
    func judge(_ descriptor: Descriptor, _ log: inout MismatchLog) {
        let descriptor = descriptor.widened(queue.isWide)
        let result = bench.apply([descriptor], isWide: queue.isWide)
        let events = bench.takeEvents()
        func name() -> String { "\(queue), \(bench.model), \(descriptor)" }
        if let code = check.refusal(descriptor) {
            log.compare(result.isRefusal(at: 0, code: UInt32(code)), true, "\(name()), IQEI \(code), \(result)")
            log.compare(events, [], name())
            return
        }
        log.compare(result.isSuccess(of: 1), true, "\(name()), \(result)")
        log.compare(result.segments, 1, name())
        let fine = events.count <= 1 && check.effect(descriptor).isShown(by: events.first, words: descriptor.words)
        log.compare(fine, true, "\(name()), \(check.effect(descriptor)), \(events)")
    }
}

/// Benches by model and queue, of one row: making and destroying a unit takes longer than very many descriptors.
final class TableBenches {
    private struct Key: Hashable {
        var model: UnitModel
        var queue: Queue
    }

    private var benches: [Key: TableBench] = [:]

    func bench(_ model: UnitModel, _ queue: Queue) -> TableBench {
        let key = Key(model: model, queue: queue)
        if let bench = benches[key] { return bench }
        let bench = TableBench(model, queue)
        benches[key] = bench
        return bench
    }

    /// The code of a batch of one, nil when it is accepted, and what it told.
    func outcome(
        _ descriptor: Descriptor, _ model: UnitModel = .full, _ queue: Queue = Queue(tableMode: 1, isWide: true)
    ) -> (code: UInt32?, events: [HostEvent]) {
        let bench = bench(model, queue).bench
        let result = bench.apply([descriptor], isWide: queue.isWide)
        return (result.isOK ? nil : result.code, bench.takeEvents())
    }

    /// The only thing that a batch of one told observers.
    func heard(_ descriptor: Descriptor) -> Heard? {
        let events = outcome(descriptor).events
        if events.count == 1, case .heard(let heard) = events[0] { return heard }
        return nil
    }
}

extension DescriptorEffect {
    /// Whether the one event of a batch of one says this. A unit may drop more than it must, but not other pages.
    func isShown(by event: HostEvent?, words: [UInt64]) -> Bool {
        switch (self, event) {
        case (.contexts(let domain, let source, let ignored), .heard(let heard)):
            heard.kind == CIOMMU_INVALIDATE_CONTEXT.rawValue && heard.covers(domain: domain)
                && heard.covers(source: source, ignoring: ignored)
        case (.pasids(let domain, let pasid), .heard(let heard)):
            heard.kind == CIOMMU_INVALIDATE_PASID.rawValue && heard.covers(domain: domain)
                && heard.covers(pasid: pasid)
        case (.translations(let pages), .heard(let heard)):
            heard.kind == CIOMMU_INVALIDATE_TRANSLATIONS.rawValue && heard.covers(domain: pages.domain)
                && heard.covers(pasid: pages.pasid) && heard.isExactly(pages)
        case (.deviceTLB(let source, let pasid, let isGlobal, let first, let last), .heard(let heard)):
            heard.kind == CIOMMU_INVALIDATE_DEVICE_TLB.rawValue && heard.source == UInt32(source)
                && heard.sourceMask == 0 && heard.first == first && heard.last == last
                && (isGlobal || pasid == nil ? heard.pasid == CIOMMU_ANY : heard.pasid == UInt32(pasid ?? 0))
        case (.interrupts(let first, let last), .interruptCache(0, let heardFirst, let heardLast)):
            UInt64(heardFirst) == first && UInt64(heardLast) == last
        case (.wait(let interrupts, _), .waited(0, let heard, _)):
            interrupts == heard
        case (.pageResponse, .pageResponse(0, let heard)):
            heard == (words + [0, 0]).prefix(4).map { $0 }
        default:
            false
        }
    }
}

extension Heard {
    func covers(domain wanted: UInt64?) -> Bool {
        domain == CIOMMU_ANY || wanted.map { domain == UInt32($0) } == true
    }

    func covers(pasid wanted: UInt64?) -> Bool {
        pasid == CIOMMU_ANY || wanted.map { pasid == UInt32($0) } == true
    }

    func covers(source wanted: UInt64?, ignoring mask: UInt64) -> Bool {
        source == CIOMMU_ANY
            || wanted.map { source & ~UInt32(mask) == UInt32($0) & ~UInt32(mask) && UInt64(sourceMask) == mask }
                == true
    }

    func isExactly(_ pages: DescriptorPages) -> Bool {
        first == pages.first && last == pages.last && (!isLeafOnly || pages.isLeafOnly)
            && (!pages.isFirstStage || stages & CIOMMU_STAGES_FIRST != 0)
            && (!pages.isSecondStage || stages & CIOMMU_STAGES_SECOND != 0)
    }
}

// MARK: Descriptors

extension Descriptor {
    /// Every granularity of a type, with the fields of the others empty.
    static func plain(_ type: UInt64) -> [Descriptor] {
        (0..<4).map { Descriptor(type | $0 << 4) }
    }

    /// A type's fields at their limits, in every granularity.
    static func limits(_ type: UInt64, _ model: UnitModel) -> [Descriptor] {
        switch type {
        case 1, 7: return plain(type).flatMap { $0.withIdentifiers() }
        case 2, 6: return plain(type).flatMap { $0.withIdentifiers() } + plain(type).flatMap { $0.withMasks(model) }
        case 3: return deviceTLBRanges(sizedBit: 0).map { Descriptor(3 | 0x8421 << 32 | 0xfff0_0000_001f_f000, $0) }
        case 4:
            let limit = model[.hostAddressMaskValue]
            return [0, 1].flatMap { granularity in
                [0, 1, limit, limit + 1, 31].flatMap { mask in
                    [0, 0x1234, 0xffff].map { Descriptor(4 | granularity << 4 | mask << 27 | $0 << 32) }
                }
            }
        case 5:
            return (0..<16).flatMap { flags in
                [0, 0x1000, 0xffff_ffff_ffff_fffc].map { Descriptor(5 | flags << 4 | 0xdead_beef << 32, $0) }
            }
        case 8:
            return deviceTLBRanges(sizedBit: 11).flatMap { word in
                [0, 1].map { Descriptor(8 | 0x8421 << 16 | 0xabcde << 32 | 0xfff0_0000_0000_f1f0, word | $0) }
            }
        case 9: return [Descriptor(9), Descriptor(0x000f_ffff_ffff_f019, 0xff8)]
        default: return plain(type)
        }
    }

    private func withIdentifiers() -> [Descriptor] {
        [0, 1, 0x7fff, 0xffff].flatMap { (domain: UInt64) in
            [0, 1, 0x8421, 0xffff, 0xfffff].map { (high: UInt64) in
                let mask: UInt64 = high > 0xffff ? 3 : 0
                let limit: UInt64 = words[0] & 15 >= 6 ? 0xfffff : 0xffff
                let source = words[0] & 15 == 2 ? 0 : (high & limit) << 32
                let function = words[0] & 15 == 1 ? mask << 48 : 0
                return Descriptor(words[0] | domain << 16 | source | function)
            }
        }
    }

    private func withMasks(_ model: UnitModel) -> [Descriptor] {
        let limit = model[.maximumAddressMask]
        let addresses: [UInt64] = [0, 0x1000, 0x0123_4567_89ab_c000, ~0xfff]
        return addresses.flatMap { address in
            [0, 1, limit, limit + 1, 35, 51, 52, 63].flatMap { mask in
                [0, 1].map { Descriptor(words[0] | 3 << 16, address | mask & 63 | $0 << 6) }
            }
        }
    }

    /// Sizes coded in the address, up to everything.
    private static func deviceTLBRanges(sizedBit: UInt64) -> [UInt64] {
        [0, 0x1234_5000, ~0xfff].flatMap { [$0, $0 | 1 << sizedBit] }
            + (0...52).flatMap { count -> [UInt64] in
                let ones = (UInt64(1) << UInt64(count) &- 1) << 12
                let next = UInt64(1) << UInt64(count + 12)
                let above = count < 51 ? 0xa5a5_a5a5_a5a5_a000 & ~(next | (next &- 1)) : 0
                return [ones | 1 << sizedBit, ones | above | 1 << sizedBit]
            }
    }

    /// Each bit turned round.
    func flips(_ isWide: Bool) -> [Descriptor] {
        (0..<(isWide ? 256 : 128)).compactMap { bit in
            var changed = widened(isWide)
            changed.words[bit / 64] ^= 1 << UInt64(bit % 64)
            // Private data of old page-group responses: not specified here.
            return changed.words[0] & 0xe0f == 9 && bit >= 128 ? nil : changed
        }
    }
}
