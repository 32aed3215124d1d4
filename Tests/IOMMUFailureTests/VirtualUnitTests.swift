// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A virtual unit whose engine gets no memory, or refuses a command: what a guest's registers say is done is in force, and the unit goes
// on afterwards. (That a unit cannot be made without memory is one of HostFailureTests' calls.)

import CIOMMUProbe
import IOMMU
import IOMMUTestSupport
import Testing
import VirtualVTd

@Suite(.serialized, .enabled(if: probe_has_mutants()))
struct VirtualUnitTests {
    /// A guest's whole life, from the first command to a migration and a reset, while the engine gets nothing.
    @Test(arguments: [VirtualVTd.Processing.inline, .worker])
    func aGuestsLifeNeedsNoMemory(processing: VirtualVTd.Processing) throws {
        let guest = try Guest(processing)
        let other = try Guest(processing, movedFrom: guest)
        try withoutMemory {
            #expect(try guest.output() == Guest.page, "translation is off")
            try guest.start()
            #expect(guest.isSet(30) && guest.isSet(31))
            #expect(try guest.output() == guest.outputs[0])
            try commandsByRegister(guest)
            try guest.enableQueue()
            #expect(guest.isSet(26))
            try queue(guest)
            try faults(guest)
            try pages(guest)
            try guest.ask(group: 9)
            let state = guest.front.snapshot()
            #expect(state.pageGroups.count == 1)
            try other.front.restore(state)
            #expect(try other.output() == guest.outputs[1])
            try other.front.resumePageRequests(of: other.interface)
        }
        // The queue goes on where it was on the other unit.
        other.take(over: guest)
        try withoutMemory {
            try other.submit(other.response(9), other.wait(0x99))
            #expect(other.heard.responses == [.success])
            #expect(other.image[other.status] & 0xffff_ffff == 0x99)
            for unit in [guest, other] {
                try unit.front.reset()
                #expect(unit.read(0x1c) == 0 && unit.read(0x34) == 0)
                #expect(try unit.output() == Guest.page, "translation is off again")
            }
        }
    }

    private func commandsByRegister(_ guest: Guest) throws {
        guest.point(to: 1)
        // Global, and both say what they did.
        try guest.write(0x28, 1 << 63 | 1 << 61, size: 8)
        try guest.write(0x108, 1 << 63 | 1 << 60, size: 8)
        let (contexts, translations) = (guest.read(0x28, size: 8), guest.read(0x108, size: 8))
        #expect(contexts >> 63 == 0 && translations >> 63 == 0)
        if contexts >> 59 & 3 != 0, translations >> 57 & 3 != 0 {
            #expect(try guest.output() == guest.outputs[1])
        }
        guest.point(to: 0)
    }

    private func queue(_ guest: Guest) throws {
        for round: UInt64 in 0..<300 {
            let output = Int(round % 2)
            guest.point(to: output)
            try guest.submit(
                Descriptor(1 | 1 << 4, 0), Descriptor(7 | 3 << 4, 0), Descriptor(2 | 1 << 4, 0), guest.wait(round + 1))
            #expect(guest.read(0x34) & 0x50 == 0, "neither IQE nor ITE")
            #expect(guest.image[guest.status] & 0xffff_ffff == round + 1)
            #expect(try guest.output() == guest.outputs[output])
        }
        // What is refused stops it, and it goes on.
        let head = guest.read(0x80)
        try guest.submit(Descriptor(0, 0), guest.wait(0x1234))
        #expect(guest.read(0x34) & 0x10 != 0 && guest.read(0x80) == head)
        #expect(guest.image[guest.status] & 0xffff_ffff != 0x1234)
        guest.image[guest.queue + head] = 2 | 1 << 4
        try guest.write(0x34, 0x10)
        #expect(guest.image[guest.status] & 0xffff_ffff == 0x1234)
        try guest.write(0x9c, 1)
    }

    private func faults(_ guest: Guest) throws {
        #expect(try guest.output(0x41000) == nil)
        guest.front.collectFaults()
        #expect(guest.read(0x34) & 2 != 0, "PPF")
        #expect(guest.heard.signalled.contains(0x21))
        let records = Int(guest.read(0x08, size: 8) >> 24 & 0x3ff) * 16
        #expect(guest.read(records, size: 8) == 0x41000)
        try guest.write(records + 12, 1 << 31)
        #expect(guest.read(0x34) & 2 == 0)
    }

    private func pages(_ guest: Guest) throws {
        for round in 0..<200 {
            let tail = guest.read(0xc8)
            try guest.ask(group: round)
            #expect(guest.read(0xc8) == (tail + 32) % 4096)
            try guest.write(0xc0, guest.read(0xc8), size: 8)
            try guest.submit(guest.response(UInt64(round)))
            #expect(guest.heard.responses == Array(repeating: .success, count: round + 1))
        }
        #expect(guest.read(0xdc) == 1, "PPR alone")
    }

    /// A debug build refuses most of what would wait for its own caller. The guest must not take it for done; and can ask again.
    @Test func aRefusedCommandIsNotDone() throws {
        let guest = try Guest(.inline)
        try guest.start()
        try guest.write(0xb8, guest.image.allocatePage(), size: 8)
        try guest.port.withSection { try guest.command(24) }
        #expect(!guest.isSet(24), "IRTPS")
        try guest.command(24)
        #expect(guest.isSet(24))
        try guest.port.withSection { try guest.command(25) }
        #expect(!guest.isSet(25), "IRES")
        try guest.command(25)
        #expect(guest.isSet(25))

        try guest.port.withSection { try guest.write(0x28, 1 << 63 | 1 << 61, size: 8) }
        #expect(guest.read(0x28, size: 8) >> 59 & 3 == 0, "CAIG: refused")
        try guest.port.withSection { try guest.write(0x108, 1 << 63 | 1 << 60, size: 8) }
        #expect(guest.read(0x108, size: 8) >> 57 & 3 == 0, "IAIG: refused")
        try guest.enableQueue()
        guest.point(to: 1)
        try guest.port.withSection { try guest.submit(Descriptor(2 | 1 << 4, 0), guest.wait(7)) }
        #expect(guest.read(0x34) & 0x50 == 0x40, "ITE: a section is late")
        #expect(guest.image[guest.status] & 0xffff_ffff == 0)
        try guest.write(0x34, 0x40)
        try guest.submit(guest.wait(8))
        #expect(guest.read(0x34) & 0x50 == 0)
        #expect(guest.image[guest.status] & 0xffff_ffff == 8 && guest.read(0x80) == guest.tail)
        #expect(try guest.output() == guest.outputs[1])
    }
}

extension Guest {
    /// Goes on where the guest stood elsewhere.
    func take(over other: Guest) { tail = other.tail }
}
