// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A PASID can be changed in every state of an entry, to one of the device or to a guest's; and a masked entry is freed as such.

import IOMMU
import Testing

@Suite struct MessagePASIDGapTests {
    private func space(_ bench: InterruptBench) throws -> (PASIDNamespace, PASID) {
        let space = try PASIDNamespace(unit: bench.unit, hostPASIDs: makePASID(0x100)...makePASID(0x1ff))
        return (space, try space.bind(guest: makePASID(7)))
    }

    @Test func beforeItIsProgrammed() throws {
        let bench = try InterruptBench()
        let (space, host) = try space(bench)
        var entry = try bench.store.allocate(pasid: makePASID(5))
        try entry.setPASID(guest: makePASID(7), in: space)
        let armed = entry.program(address: 0xfee0_0000, data: 1).arm()
        #expect(try bench.raise(armed.index, host.rawValue) == 1)
        #expect(try bench.outcome(armed.index, 5) == .wrongPASID)
    }

    @Test func beforeItIsArmed() throws {
        let bench = try InterruptBench()
        let (space, host) = try space(bench)
        var entry = try bench.store.allocate(pasid: makePASID(5)).program(address: 0xfee0_0000, data: 2)
        try entry.setPASID(makePASID(6))
        try entry.setPASID(guest: makePASID(7), in: space)
        let index = entry.index
        let armed = entry.arm()
        #expect(try bench.raise(index, host.rawValue) == 2)
        #expect(try bench.outcome(armed.index, 6) == .wrongPASID)
    }

    @Test func whileItIsMasked() throws {
        let bench = try InterruptBench()
        let (space, host) = try space(bench)
        var masked = try bench.store.allocate(pasid: makePASID(5)).program(address: 0xfee0_0000, data: 3).arm()
            .mask(port: bench.port).get()
        try masked.setPASID(makePASID(6), port: bench.port)
        #expect(try bench.outcome(masked.index, 6) == .masked)
        try masked.setPASID(guest: makePASID(7), in: space, port: bench.port)
        #expect(try bench.outcome(masked.index, 6) == .wrongPASID)
        let armed = masked.unmask()
        let wasRaised = armed.wasRaisedWhileMasked
        #expect(!wasRaised)  // by the old PASID: dropped
        #expect(try bench.raise(armed.index, host.rawValue) == 3)
        try armed.mask(port: bench.port).get().free(port: bench.port)
        #expect(bench.store.statistics.allocated == 0)
    }

    @Test func aBlockedMessageSaysWhy() throws {
        let bench = try InterruptBench()
        try bench.enableRemapping()
        let armed = try bench.store.allocate(pasid: makePASID(5)).program(address: 0xfee0_0010, data: 0).arm()
        let delivery = try bench.outcome(armed.index, 5)
        guard case .blocked(let fault) = delivery else {
            Issue.record("\(delivery)")
            return
        }
        #expect("\(fault)" == "interrupt 0x0 from \(InterruptBench.source): \(fault.detail)")
        #expect(!fault.detail.isEmpty)
        #expect(bench.store.statistics.blocked == 1)
    }
}
