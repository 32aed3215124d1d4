// SPDX-License-Identifier: LGPL-2.1-or-later
//
// What descriptors mean, which values are invalid, and how a queue stops [FORMATS-VTD C3, C4]. Each row states its own
// expectation; the sweep over all fields is in FormatRows+Types.swift.

import CIOMMU
import IOMMUTestSupport

private let wide = Queue(tableMode: 1, isWide: true)

let semanticRows: [FormatRow] = [
    FormatRow(FormatNotes.semantics[0]) { log in
        let table = TableBenches()
        let accepted: [(UInt64, Set<UInt64>)] = [(1, [1, 2, 3]), (2, [1, 2, 3]), (6, [2, 3]), (7, [0, 1, 3])]
        for (type, granularities) in accepted {
            for granularity: UInt64 in 0..<4 {
                let code = table.outcome(Descriptor(type | granularity << 4)).code
                log.compare(code, granularities.contains(granularity) ? nil : 4, "type \(type) G \(granularity)")
            }
        }
    },
    FormatRow(FormatNotes.semantics[1]) { log in
        let table = TableBenches()
        for limit: UInt64 in [0, 9, 48, 51] {
            let model = UnitModel.full.with(.maximumAddressMask, limit)
            for mask: UInt64 in 0..<64 {
                let code = table.outcome(.iotlbPages(3, at: 0, mask: mask), model).code
                log.compare(code, mask <= limit ? nil : 4, "MAMV \(limit) AM \(mask)")
            }
        }
        for mask: UInt64 in [0, 1, 48] {
            log.compare(table.outcome(.iotlbPages(3, at: 0, mask: mask), .noPages).code, 4, "no PSI, AM \(mask)")
        }
        for descriptor in [Descriptor.iotlbGlobal, .iotlbDomain(3)] {
            log.compare(table.outcome(descriptor, .noPages).code, nil, "no PSI, \(descriptor)")
        }
    },
    FormatRow(FormatNotes.semantics[2]) { log in
        let table = TableBenches()
        for model in [UnitModel.noPages, .zeroMasks] {
            for mask: UInt64 in 0..<64 {
                let pages = Descriptor.pasidIOTLBPages(3, pasid: 5, at: 0, mask: mask)
                log.compare(table.outcome(pages, model).code, nil, "AM \(mask)")
            }
        }
    },
    FormatRow(FormatNotes.semantics[3]) { log in
        let table = TableBenches()
        for address: UInt64 in [0, 0x0123_4567_89ab_c000, ~0xfff] {
            for mask: UInt64 in 0..<64 {
                let low: UInt64 = mask >= 52 ? .max : (1 << (12 + mask)) - 1
                let tagged = table.heard(.pasidIOTLBPages(3, pasid: 5, at: address, mask: mask))
                log.compare(tagged?.first, address & ~low, "type 6 AM \(mask)")
                log.compare(tagged?.last, address | low, "type 6 AM \(mask)")
                guard mask <= 48 else { continue }
                let pages = table.heard(.iotlbPages(3, at: address, mask: mask))
                log.compare(pages?.first, address & ~low, "type 2 AM \(mask)")
                log.compare(pages?.last, address | low, "type 2 AM \(mask)")
            }
        }
    },
    FormatRow(FormatNotes.semantics[4]) { log in
        let table = TableBenches()
        for descriptor in [Descriptor.iotlbGlobal, .iotlbDomain(3), .pasidIOTLB(3, pasid: 5)] {
            var changed = descriptor
            changed.words[1] = 0xffff_ffff_ffff_f07f
            log.compare(table.heard(changed)?.first, 0, "\(changed)")
            log.compare(table.heard(changed)?.last, .max, "\(changed)")
            log.compare(table.heard(changed)?.isLeafOnly, false, "\(changed)")
            for bit: UInt64 in 7...11 {
                changed.words[1] = 1 << bit
                log.compare(table.outcome(changed).code, 4, "\(changed)")
            }
        }
    },
    FormatRow(FormatNotes.semantics[5]) { log in
        let table = TableBenches()
        for isLeafOnly in [false, true] {
            let pages = table.heard(.iotlbPages(3, at: 0x1000, isLeafOnly: isLeafOnly))
            log.compare(pages?.isLeafOnly, isLeafOnly, "type 2")
            log.compare(
                table.heard(.pasidIOTLBPages(3, pasid: 5, at: 0x1000, isLeafOnly: isLeafOnly))?.isLeafOnly, isLeafOnly,
                "type 6")
        }
    },
    FormatRow(FormatNotes.semantics[6]) { log in
        let table = TableBenches()
        for limit: UInt64 in [0, 3, 15] {
            let model = UnitModel.full.with(.hostAddressMaskValue, limit)
            for mask: UInt64 in 0..<32 {
                let selective = table.outcome(Descriptor(4 | 1 << 4 | mask << 27 | 0xabcd << 32), model)
                log.compare(selective.code, mask <= limit ? nil : 4, "MHMV \(limit) IM \(mask)")
                if mask <= limit {
                    let low = UInt32(1) << UInt32(mask) - 1
                    let expected = HostEvent.interruptCache(index: 0, first: 0xabcd & ~low, last: 0xabcd | low)
                    log.compare(selective.events, [expected], "IM \(mask)")
                }
                let global = table.outcome(Descriptor(4 | mask << 27 | 0xabcd << 32), model)
                log.compare(global.events, [.interruptCache(index: 0, first: 0, last: 0xffff)], "global, IM \(mask)")
            }
        }
    },
    FormatRow(FormatNotes.semantics[7]) { log in
        let table = TableBenches()
        for (mask, ignored) in [(0, 0), (1, 0b100), (2, 0b110), (3, 0b111)] as [(UInt64, UInt32)] {
            let device = table.heard(.contextDevice(3, source: 0x1234, mask: mask))
            log.compare(device?.source, 0x1234, "FM \(mask)")
            log.compare(device?.sourceMask, ignored, "FM \(mask)")
        }
    },
    FormatRow(FormatNotes.semantics[8]) { log in try statusPrecedesInterrupt(&log) },
    FormatRow(FormatNotes.semantics[9]) { log in
        let table = TableBenches()
        for flags: UInt64 in 0..<16 {
            let wait = Descriptor(5 | flags << 4)
            log.compare(table.outcome(wait).code, nil, "\(wait)")
            log.compare(table.outcome(wait, .noDrain).code, flags & 8 == 0 ? nil : 4, "no PDS, \(wait)")
        }
    },
    FormatRow(FormatNotes.semantics[10]) { log in
        let table = TableBenches()
        for queue in Queue.all where queue.tableMode == 0 || queue.isWide && queue.tableMode != 2 {
            let wait = table.outcome(Descriptor(5), .full, queue)
            log.compare(wait.code, nil, "\(queue)")
            log.compare(wait.events, [.waited(index: 0, interrupt: false, status: nil)], "\(queue)")
        }
    },
    FormatRow(FormatNotes.semantics[11]) { log in
        let table = TableBenches()
        for (type, bit, source) in [(3, 0, 32), (8, 11, 16)] as [(UInt64, UInt64, UInt64)] {
            let low = type | 0x18 << source
            for ones: UInt64 in 0..<51 {
                let word = ((1 << ones) - 1) << 12 | (1 << bit) as UInt64
                let range = table.heard(Descriptor(low, word))
                log.compare(range?.first, 0, "type \(type), \(ones) ones")
                log.compare(range?.last, ones == 50 ? .max >> 1 : (8192 << ones) - 1, "type \(type), \(ones) ones")
            }
            let everything = table.heard(Descriptor(low, 0x7fff_ffff_ffff_f000 | 1 << bit))
            log.compare(everything.map { [$0.first, $0.last] }, [0, .max], "type \(type), everything")
            let page = table.heard(Descriptor(low, 0x7fff_ffff_ffff_f000))
            log.compare(page.map { [$0.first, $0.last] }, [0x7fff_ffff_ffff_f000, .max >> 1], "type \(type), a page")
        }
    },
    FormatRow(FormatNotes.semantics[12]) { log in
        // Told at the wait, not before; nothing of the engine's own caches is dropped. Sections may use a table entry that was read
        // before the interrupt-entry-cache descriptor: it waits for them.
        let bench = TableBench(.full, wide).bench
        let interrupts = Descriptor(4)
        let drains = bench.statistics.drains
        let result = bench.apply(
            [Descriptor(3 | 0x18 << 32, 0x5000), interrupts, Descriptor(5)], isWide: true)
        log.compare(result.isSuccess(of: 3), true, "\(result)")
        let events = bench.takeEvents()
        log.compare(events.count, 3, "\(events)")
        guard events.count == 3, case .heard(let told) = events[1] else { return }
        log.compare(told.kind, CIOMMU_INVALIDATE_DEVICE_TLB.rawValue, "\(events)")
        log.compare(events[2], .waited(index: 2, interrupt: false, status: nil), "\(events)")
        log.compare(bench.statistics.drains, drains + 1, "only the interrupt-entry-cache descriptor drains")
    },
    FormatRow(FormatNotes.semantics[13]) { log in
        let bench = TableBench(.full, wide).bench
        let good = Descriptor.iotlbDomain(3)
        let result = bench.apply([good, good, Descriptor(0), good, Descriptor(5)], isWide: true)
        log.compare(result.isRefusal(at: 2, code: 3), true, "\(result)")
        log.compare(bench.takeEvents().count, 1, "the two before it, merged, and nothing after it")
    },
    FormatRow(FormatNotes.semantics[14]) { log in try lateSectionAbortsWaits(&log) },
]
