// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Batches into slots, requests as values, and translations inside a section.

import IOMMU
import Testing

@Suite struct TranslationSlotTests {
    let source = PortTestGuest.source

    @Test func requestKeepsItsParts() {
        var request = Request(
            source: source, pasid: PASID(7), iova: 0x1234, count: 99, access: [.read, .write], options: .noFault)
        #expect(request.source == source && request.pasid == PASID(7) && request.iova == 0x1234)
        #expect(request.count == 99 && request.access == [.read, .write] && request.options == .noFault)
        let other = request
        request.pasid = nil
        request.source = SourceID(9)
        request.iova = .max
        request.count = -1
        request.access = .execute
        request.options = []
        #expect(request == Request(source: SourceID(9), iova: .max, count: -1, access: .execute))
        #expect(request != other && Set([request, other, request]).count == 2)
    }

    @Test func slotsGetTheAnswersInOrder() throws {
        let guest = try PortTestGuest()
        for page in 0..<40 where page % 3 != 0 { guest.map(page, to: 0x1_0000 + UInt64(page) << 12) }
        let port = try guest.unit.makePort()
        let requests =
            (0..<40).map { Request(source: source, iova: IOVA(UInt64($0) << 12), count: -1, access: .read) }
            + [Request(source: source, iova: 0xfee0_0000, access: .write)]
        var slots = [TranslationSlot](repeating: TranslationSlot(), count: 50)
        for _ in 0..<2 {  // walks, then hits
            var room = slots.mutableSpan
            try port.translate(requests.span, into: &room)
            for (request, slot) in zip(requests, slots) {
                let single = try port.translate(request.iova, access: request.access, source: source)
                #expect(slot.translation == single.translation)
                #expect(slot.fault?.code == single.fault?.code && slot.fault?.address == single.fault?.address)
            }
            #expect(slots[40].result == .interrupt(0xfee0_0000) && slots[40].translation == nil)
            #expect(slots[41].result == nil && slots[41].translation == nil && slots[41].fault == nil)
        }
    }

    @Test func slotsBeforeTheRefusedRequestAreWritten() throws {
        let guest = try PortTestGuest()
        guest.map(0, to: 0x1_0000)
        let port = try guest.unit.makePort()
        let good = Request(source: source, iova: 0x8, access: .read)
        let bad = Request(source: SourceID(0x1_0000), iova: 0, access: .read)
        var slots = [TranslationSlot](repeating: TranslationSlot(), count: 3)
        let requests = [good, bad, good]
        #expect(throws: IOMMUError.invalidArgument) {
            var room = slots.mutableSpan
            try port.translate(requests.span, into: &room)
        }
        #expect(slots[0].translation?.address == 0x1_0008 && slots[1].result == nil && slots[2].result == nil)
        let none: [Request] = []
        var room = slots.mutableSpan
        try port.translate(none.span, into: &room)
    }

    @Test func sectionStaysOpenAfterTranslationsInIt() throws {
        var configuration = RemappingUnit.Configuration()
        configuration.drainTimeout = .zero
        let guest = try PortTestGuest(configuration)
        guest.map(0, to: 0x1_0000)
        let port = try guest.unit.makePort()
        try port.withSection {
            for iova: IOVA in [0, 8, 0x1000, 16] {  // walk, hit, fault, hit
                _ = try port.translate(iova, access: .read, source: source)
                #expect(throws: IOMMUError.timedOut) { try guest.unit.drain() }
            }
            #expect(throws: IOMMUError.invalidArgument) {
                try port.translate(0, access: .read, source: SourceID(0x1_0000))
            }
            #expect(throws: IOMMUError.timedOut) { try guest.unit.drain() }
        }
        try guest.unit.drain()
        #expect(throws: IOMMUError.invalidArgument) {
            try port.translate(0, access: .read, source: SourceID(0x1_0000))
        }
        try guest.unit.drain()
    }
}
