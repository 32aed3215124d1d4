// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Stores: whose PASIDs their entries may have, guests and their namespaces, resets, and what keeps what alive.

import IOMMU
import Testing

@Suite struct InterruptMessageStoreTests {
    @Test func onlyTheDevicesOwnPASIDs() throws {
        let slice = Device.Share.slice(makePASID(16)...makePASID(31), policy: .refused)
        let bench = try InterruptBench(share: slice)
        #expect(throws: IOMMUError.notOwned) { _ = try bench.store.allocate(pasid: makePASID(15)).index }
        var message = try bench.store.allocate(pasid: makePASID(31))
        #expect(throws: IOMMUError.notOwned) { try message.setPASID(makePASID(32)) }
        try message.setPASID(makePASID(16))
        let armed = message.program(address: 0xfee0_0000, data: 1).arm()
        #expect(try bench.raise(armed.index, 16) == 1)
        var unchecked = try bench.store.allocateUnchecked()
        #expect(throws: IOMMUError.badState) { try unchecked.setPASID(makePASID(16)) }
        let any = unchecked.program(address: 0xfee0_0000, data: 2).arm()
        #expect(try bench.raise(any.index, nil) == 2)
        #expect(try bench.raise(any.index, 999) == 2)
    }

    @Test func aGuestsPASIDIsLookedUpInItsNamespace() throws {
        let bench = try InterruptBench()
        let space = try PASIDNamespace(unit: bench.unit, hostPASIDs: makePASID(100)...makePASID(109))
        #expect(throws: IOMMUError.notFound) { _ = try bench.store.allocate(guest: makePASID(3), in: space).index }
        try space.bind(guest: makePASID(3), to: makePASID(100))
        let armed = try bench.store.allocate(guest: makePASID(3), in: space).program(address: 0xfee0_0000, data: 1)
            .arm()
        #expect(try bench.raise(armed.index, 100) == 1)
        #expect(try bench.outcome(armed.index, 3) == .wrongPASID)
        try space.unbind(guest: makePASID(3))
        #expect(try bench.outcome(armed.index, 100) == .revoked)
        try space.bind(guest: makePASID(4), to: makePASID(100))
        #expect(try bench.outcome(armed.index, 100) == .revoked)
        let again = try armed.setPASID(guest: makePASID(4), in: space, port: bench.port).get()
        #expect(try bench.raise(again.index, 100) == 1)
        #expect(bench.store.statistics.revoked == 2)
    }

    @Test func anEntryKeepsItsNamespaceAlive() throws {
        let bench = try InterruptBench()
        weak var weakly: PASIDNamespace?
        do {
            let armed: ArmedMessage
            do {
                let space = try PASIDNamespace(unit: bench.unit, hostPASIDs: makePASID(100)...makePASID(109))
                weakly = space
                try space.bind(guest: makePASID(3), to: makePASID(100))
                armed = try bench.store.allocate(guest: makePASID(3), in: space).program(address: 0xfee0_0000, data: 1)
                    .arm()
            }
            #expect(weakly != nil)
            #expect(try bench.raise(armed.index, 100) == 1)
        }
        #expect(weakly == nil)
    }

    @Test func aResetOfTheDeviceMasksWhatIsArmed() throws {
        let bench = try InterruptBench()
        let armed = try bench.store.allocate(pasid: makePASID(5)).program(address: 0xfee0_0000, data: 1).arm()
        try bench.device.reset(port: bench.port)
        #expect(try bench.outcome(armed.index, 5) == .masked)
        let again = try armed.mask(port: bench.port).get().unmask()
        let wasRaised = again.wasRaisedWhileMasked
        #expect(wasRaised)
        #expect(try bench.raise(again.index, 5) == 1)
    }

    @Test func remappingBlocksAndNamesTheDevice() throws {
        let bench = try InterruptBench()
        try bench.enableRemapping()
        let armed = try bench.store.allocate(pasid: makePASID(5)).program(address: 0xfee0_0030, data: 0).arm()
        guard case .blocked(let fault) = try bench.outcome(armed.index, 5) else { throw IOMMUError.badState }
        #expect(fault.fault.code == 0x22 && fault.fault.device == 7 && fault.fault.address == 1)
        bench.setEntry(1, 1 | 0x33 << 16)
        #expect(try bench.raise(armed.index, 5) == 0x4033)
    }

    @Test func misuseIsRefused() throws {
        let bench = try InterruptBench()
        #expect(throws: IOMMUError.invalidArgument) { try InterruptMessageStore(device: bench.device, count: 0) }
        #expect(throws: IOMMUError.invalidArgument) { try InterruptMessageStore(device: bench.device, count: 65_537) }
        #expect(throws: IOMMUError.invalidArgument) {
            try bench.store.delivery(of: 0, pasid: nil, through: bench.port)
        }
        for index in [-1, 4, Int.max] {
            #expect(throws: IOMMUError.invalidArgument) { try bench.outcome(index, 5) }
        }
        let elsewhere = try InterruptBench()
        #expect(throws: IOMMUError.invalidArgument) {
            try bench.store.deliver(0, pasid: nil, through: elsewhere.port) { _ in }
        }
    }
}
