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

    /// The last page of the image, and nothing behind it.
    @Test(arguments: [1, 2, 3, 100, 255]) func theHeadStopsWhereMemoryEnds(readable: UInt64) throws {
        let machine = try VTdMachine()
        let status = machine.image.allocatePage()
        let end = GuestImage.ram + 512 << 12
        let base = end - 4096
        let first = 4096 - readable * 16
        for place in stride(from: first, to: 4096, by: 16) { machine.image[base + place] = 2 | 1 << 4 }
        machine.image[end - 16] = 5 | 1 << 5 | 7 << 32
        machine.image[end - 8] = status
        machine.write(0x90, base | 1, size: 8)
        machine.command(set: 1 << 26)
        // Harmless ones up to the first of them.
        for place in stride(from: 0, to: first, by: 16) { machine.image[base + place] = 2 | 1 << 4 }
        machine.write(0x88, first)
        #expect(machine.head == first && machine[0x34] == 0)
        machine.write(0x88, 4096 + 1024)
        #expect(machine.head == 4096, "what could be fetched was done")
        #expect(machine.image[status] == 7)
        #expect(machine[0x34] == 1 << 4)
        #expect(machine.read64(0xb0) & 0xf == 2, "fetch error")
    }
    /// Addresses beyond all that there are must not be computed with.
    @Test(arguments: [(0x90, 0x80, 0x88), (0xd0, 0xc0, 0xc8)]) func reservedBitsAreNotRestored(
        base: Int, head: Int, tail: Int
    ) throws {
        var form = try SnapshotForm()
        form.put(0x1c, 1 << 26, size: 4)
        form.put(base, .max)
        form.put(head, 0x2000)
        form.put(tail, 0x3000)
        let snapshot = try form.snapshot()
        let machine = try VTdMachine()
        let before = machine.front.snapshot()
        #expect(throws: IOMMUError.invalidArgument) { try machine.front.restore(snapshot) }
        #expect(machine.front.snapshot() == before, "nothing has changed")
    }
}
