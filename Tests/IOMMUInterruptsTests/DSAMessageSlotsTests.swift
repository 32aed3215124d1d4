// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Slots as a guest sees them: its own entries and nothing else.

import IOMMU
import Testing

@Suite struct DSAMessageSlotsTests {
    @Test func aGuestDrivesItsEntry() throws {
        let bench = try InterruptBench()
        let slots = DSAMessageSlots(store: bench.store)
        let slot = slots.show(try bench.store.allocate(pasid: makePASID(5)))
        #expect(try slots.read(slot: slot, offset: 12, count: 4) == 5 << 12 | 9)
        #expect(throws: IOMMUError.badState) { try slots.write(0, slot: slot, offset: 12, count: 4) }
        try slots.write(0xfee0_1000, slot: slot, offset: 0, count: 8, port: bench.port)
        try slots.write(0x41, slot: slot, offset: 8, count: 8, port: bench.port)
        #expect(try bench.raise(slot, 5) == 0x41)
        try slots.write(1, slot: slot, offset: 12, count: 4, port: bench.port)
        #expect(try bench.outcome(slot, 5) == .masked)
        #expect(try slots.write(0, slot: slot, offset: 12, count: 4, port: bench.port))
        // Neither PASID nor its enable bit are the guest's to write.
        try slots.write(6 << 12, slot: slot, offset: 12, count: 4, port: bench.port)
        #expect(try bench.outcome(slot, 6) == .wrongPASID)
        #expect(try bench.outcome(slot, nil) == .absentPASID)
        try slots.setPASID(makePASID(6), ofSlot: slot, port: bench.port)
        #expect(try bench.raise(slot, 6) == 0x41)
        #expect(try slots.read(slot: slot, offset: 8, count: 8) == (6 << 12 | 8) << 32 | 0x41)
        try slots.hide(slot: slot, port: bench.port)
        #expect(bench.store.statistics.allocated == 0)
    }

    @Test func aGuestSeesItsOwnPASID() throws {
        let bench = try InterruptBench()
        let slots = DSAMessageSlots(store: bench.store)
        let space = try PASIDNamespace(unit: bench.unit, hostPASIDs: makePASID(100)...makePASID(109))
        try space.bind(guest: makePASID(3), to: makePASID(101))
        try space.bind(guest: makePASID(4), to: makePASID(102))
        let slot = slots.show(try bench.store.allocate(guest: makePASID(3), in: space))
        #expect(try slots.read(slot: slot, offset: 12, count: 4) == 3 << 12 | 9)
        try slots.setPASID(guest: makePASID(4), in: space, ofSlot: slot, port: bench.port)
        #expect(try slots.read(slot: slot, offset: 12, count: 4) == 4 << 12 | 9)
    }

    @Test func theHostsEntriesStayItsOwn() throws {
        let bench = try InterruptBench()
        let slots = DSAMessageSlots(store: bench.store)
        let armed = try bench.store.allocate(pasid: makePASID(5)).program(address: 0xfee0_0000, data: 0x41).arm()
        #expect(throws: IOMMUError.notFound) { try slots.write(1, slot: armed.index, offset: 12, count: 4) }
        #expect(throws: IOMMUError.notFound) { try slots.hide(slot: armed.index) }
        #expect(throws: IOMMUError.notFound) { try slots.setPASID(makePASID(1), ofSlot: armed.index) }
        #expect(try slots.read(slot: armed.index, offset: 0, count: 8) == 0)
        #expect(try slots.read(slot: armed.index, offset: 8, count: 8) == 1 << 32)
        #expect(try slots.read(slot: armed.index, offset: 12, count: 4) == 1)
        #expect(throws: IOMMUError.misaligned) { try slots.read(slot: 0, offset: 4, count: 8) }
        for slot in [-1, 4, Int.max] {
            #expect(throws: IOMMUError.invalidArgument) { try slots.read(slot: slot, offset: 0, count: 4) }
        }
        #expect(throws: IOMMUError.invalidArgument) { try slots.read(slot: 0, offset: -4, count: 4) }
        #expect(throws: IOMMUError.invalidArgument) { try slots.read(slot: 0, offset: 16, count: 4) }
        #expect(try bench.raise(armed.index, 5) == 0x41)
    }
}
