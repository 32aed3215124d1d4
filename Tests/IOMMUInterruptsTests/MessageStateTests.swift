// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Entries of a store by their types: what each state allows, and that nothing is lost when a transition fails.

import IOMMU
import Testing

@Suite struct MessageStateTests {
    @Test func anEntryGoesThroughItsStates() throws {
        let bench = try InterruptBench()
        let allocated = try bench.store.allocate(pasid: makePASID(5))
        let index = allocated.index
        #expect(try bench.outcome(index, 5) == .notArmed)
        let programmed = allocated.program(address: 0xfee0_0000, data: 0x41)
        #expect(try bench.outcome(index, 5) == .notArmed)
        let armed = programmed.arm()
        let wasRaised = armed.wasRaisedWhileMasked
        #expect(!wasRaised)
        #expect(try bench.raise(index, 5) == 0x41)
        #expect(try bench.outcome(index, 6) == .wrongPASID)
        #expect(try bench.outcome(index, nil) == .absentPASID)
        var masked = try armed.mask(port: bench.port).get()
        #expect(try bench.outcome(index, 5) == .masked)
        #expect(try bench.outcome(index, 6) == .wrongPASID)
        try masked.program(address: 0xfee0_0000, data: 0x42)
        let again = masked.unmask()
        let wasRaisedMeanwhile = again.wasRaisedWhileMasked
        #expect(wasRaisedMeanwhile)
        #expect(try bench.raise(index, 5) == 0x42)
        try again.free(port: bench.port)
        #expect(try bench.outcome(index, 5) == .notArmed)
        #expect(bench.store.statistics.allocated == 0)
        #expect(bench.store.statistics.wrongPASID == 2 && bench.store.statistics.absentPASID == 1)
    }

    @Test func anEntryIsFreedWithItsLastValue() throws {
        let bench = try InterruptBench()
        do {
            let first = try bench.store.allocate(pasid: makePASID(1))
            let second = try bench.store.allocate(pasid: makePASID(1)).program(address: 0xfee0_0000, data: 0)
            let third = try bench.store.allocate(pasid: makePASID(1)).program(address: 0xfee0_0000, data: 0).arm()
            let fourth = try bench.store.allocateUnchecked().program(address: 0xfee0_0000, data: 0).arm().mask().get()
            #expect(bench.store.statistics.allocated == 4)
            #expect(throws: IOMMUError.noSpace) { _ = try bench.store.allocateUnchecked().index }
            let indices = [first.index, second.index, third.index, fourth.index]
            #expect(indices == [0, 1, 2, 3])
        }
        #expect(bench.store.statistics.allocated == 0 && bench.store.statistics.retired == 0)
    }

    @Test func anArmedEntryGetsAnotherPASIDInOneCall() throws {
        let bench = try InterruptBench()
        let first = try bench.store.allocate(pasid: makePASID(5)).program(address: 0xfee0_0000, data: 9).arm()
        let second = try first.setPASID(makePASID(6), port: bench.port).get()
        #expect(try bench.outcome(second.index, 5) == .wrongPASID)
        #expect(try bench.raise(second.index, 6) == 9)
    }

    @Test func nothingIsLostWhenASectionIsOpen() throws {
        let bench = try InterruptBench(isPatient: false)
        var armed: ArmedMessage? = try bench.store.allocate(pasid: makePASID(5)).program(address: 0xfee0_0000, data: 9)
            .arm()
        var masked: MaskedMessage?
        try bench.other.withSection { () throws in
            masked = late(armed.take()?.setPASID(makePASID(6), port: bench.port), .timedOut)
            #expect(try bench.outcome(0, 6) == .wrongPASID)
            #expect(try bench.outcome(0, 5) == .masked)
            #expect(failure { () throws(IOMMUError) in try masked?.settle(port: bench.port) } == .timedOut)
        }
        try masked?.settle()
        armed = masked.take()?.unmask()
        let wasRaised = armed?.wasRaisedWhileMasked
        #expect(wasRaised == true)
        #expect(try bench.raise(0, 5) == 9)
        try bench.other.withSection { () throws in
            #expect(failure { () throws(IOMMUError) in try armed.take()?.free(port: bench.port) } == .timedOut)
            #expect(bench.store.statistics.retired == 1)
            let next = try bench.store.allocate(pasid: makePASID(5)).index
            #expect(next == 1)
        }
        let next = try bench.store.allocate(pasid: makePASID(5)).index
        #expect(next == 0)
    }

    @Test func whatIsRefusedStaysWhatItIs() throws {
        let bench = try InterruptBench()
        var armed: ArmedMessage? = try bench.store.allocate(pasid: makePASID(5)).program(address: 0xfee0_0000, data: 9)
            .arm()
        bench.port.withSection {
            armed = refused(armed.take()?.mask(port: bench.port), .inSection)
        }
        #expect(try bench.raise(0, 5) == 9)
        let elsewhere = try InterruptBench()
        armed = refused(armed.take()?.setPASID(makePASID(6), port: elsewhere.port), .invalidArgument)
        #expect(try bench.raise(0, 5) == 9)
    }

    // MARK: What a transition came to

    /// The entry that is late, for the reason that is expected.
    private func late<Next: ~Copyable>(
        _ transition: consuming MessageTransition<Next>?, _ expected: IOMMUError
    ) -> MaskedMessage? {
        switch consume transition {
        case .some(.late(let masked, let error)):
            #expect(error == expected)
            return masked
        default:
            Issue.record("not late")
            return nil
        }
    }

    /// The entry that was refused a change, for the reason that is expected.
    private func refused<Next: ~Copyable>(
        _ transition: consuming MessageTransition<Next>?, _ expected: IOMMUError
    ) -> ArmedMessage? {
        switch consume transition {
        case .some(.refused(let armed, let error)):
            #expect(error == expected)
            return armed
        default:
            Issue.record("not refused")
            return nil
        }
    }

    private func failure(_ body: () throws(IOMMUError) -> Void?) -> IOMMUError? {
        do throws(IOMMUError) {
            _ = try body()
            return nil
        } catch {
            return error
        }
    }
}
