// SPDX-License-Identifier: LGPL-2.1-or-later
//
// What fuzzing the registers has found, one test for each.

import Foundation
import IOMMU
import IOMMUTestSupport
import Testing
import VirtualVTd

@Suite struct RegisterFuzzFindingsTests {
    /// A machine that translates with an empty root table, and one fault that no access has collected.
    private static func faultedMachine() throws -> VTdMachine {
        let machine = try VTdMachine()
        machine.write(0x20, machine.image.allocatePage(), size: 8)
        machine.command(set: 1 << 30)
        machine.command(set: 1 << 31)
        _ = try machine.port.translate(0x1000, access: .read, source: SourceID(0x18))
        return machine
    }

    @Test func aResetForgetsFaultsThatNobodyHasCollected() throws {
        let machine = try Self.faultedMachine()
        try machine.front.reset()
        machine.front.collectFaults()
        #expect(machine[0x34] == 0)
        machine.fault(0x18)
        #expect(machine[0x34] == 0, "translation is off")
    }

    @Test func aRestoredGuestSeesNoFaultOfTheGuestBefore() throws {
        let snapshot = try VTdMachine().front.snapshot()
        let machine = try Self.faultedMachine()
        try machine.front.restore(snapshot)
        #expect(machine[0x34] == 0)
        #expect(machine.front.snapshot() == snapshot)
    }
}
