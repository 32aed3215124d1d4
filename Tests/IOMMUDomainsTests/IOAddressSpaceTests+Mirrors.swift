// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Mirrors of a space: every change reaches all or none, also when taking it back fails.

import IOMMU
import Testing

extension IOAddressSpaceTests {
    @Test func mirrorGetsWhatIsMappedAndFollows() throws {
        try map(0x1000, 0x2000)
        let mirror = FakeMirror()
        let serial = try space.add(mirror)
        #expect(mirror.pages == space.pages())
        try map(0x8000, 0x2000, .read)
        try space.protect(0x2000, length: 0x1000, rights: .write)
        _ = try space.copy(from: space, 0x1000, length: 0x2000, rights: .read)
        #expect(mirror.pages == space.pages() && mirror.pages.count == 6)
        try space.unmap(0x2000, length: 0x1000)
        #expect(mirror.pages == space.pages())
        try space.unmapAll()
        #expect(mirror.pages.isEmpty)
        space.remove(mirror: serial)
        try map(0x1000, 0x1000)
        #expect(mirror.pages.isEmpty && mirror.complaints.isEmpty)
    }

    @Test func mirrorReservesWhatItCannotMap() throws {
        let mirror = FakeMirror(reservations: [(0xfee0_0000...0xfeef_ffff, "the interrupt window")])
        let serial = try space.add(mirror)
        #expect(space.reservedRanges == [0xfee0_0000...0xfeef_ffff])
        expectRefusal(.outOfRange, naming: "the interrupt window", in: space) { try map(0xfee0_0000, 0x1000) }
        space.remove(mirror: serial)
        #expect(space.reservedRanges.isEmpty)
        try map(0xfee0_0000, 0x1000)
        expectRefusal(.inUse, naming: "0xfee00000...0xfee00fff", in: space) { _ = try space.add(mirror) }
        try space.unmapAll()
        try space.allow([0xfee0_0000...0xfee0_0fff])
        expectRefusal(.inUse, naming: "the interrupt window", in: space) { _ = try space.add(mirror) }
        #expect(mirror.pages.isEmpty)
    }

    @Test func mirrorRaisesTheAlignment() throws {
        let small = try IOAddressSpace(memory: memory, granule: 2048)
        _ = try small.map(.output(0), length: 2048, at: 0x1800, rights: .read)
        let mirror = FakeMirror()
        expectRefusal(.misaligned, naming: "0x1800...0x1fff", in: small) { _ = try small.add(mirror) }
        try small.unmapAll()
        _ = try small.map(.output(0x800), length: 4096, at: 0x1000, rights: .read)
        expectRefusal(.misaligned, naming: "leads to 0x800", in: small) { _ = try small.add(mirror) }
        try small.unmapAll()
        let serial = try small.add(mirror)
        #expect(small.alignment == 4096)
        expectRefusal(.misaligned, in: small) { _ = try small.map(.output(0), length: 2048, rights: .read) }
        expectRefusal(.misaligned, in: small) {
            _ = try small.map(.output(0x800), length: 4096, at: 0, rights: .read)
        }
        let coarse = try small.add(FakeMirror(alignment: 1 << 16))
        #expect(small.alignment == 1 << 16)
        small.remove(mirror: coarse)
        #expect(small.alignment == 4096)
        small.remove(mirror: serial)
        #expect(small.alignment == 2048)
    }

    @Test func mirrorThatCannotTakeEveryAreaIsNotAdded() throws {
        for iova in [0x1000, 0x3000, 0x5000] as [UInt64] { try map(iova, 0x1000) }
        let mirror = FakeMirror(reservations: [(0x9000...0x9fff, "a window")])
        mirror.fail(at: 2, with: .outOfRange)
        expectRefusal(.outOfRange, in: space) { _ = try space.add(mirror) }
        #expect(mirror.pages.isEmpty)
        try map(0x9000, 0x1000)
        #expect(mirror.pages.isEmpty)
    }

    @Test func mirrorThatDiesIsForgottenByTheNextChange() throws {
        weak var dead: FakeMirror?
        do {
            let mirror = FakeMirror()
            dead = mirror
            _ = try space.add(mirror)
        }
        #expect(dead == nil)
        try map(0x1000, 0x1000)
    }

    @Test func failureInTheSecondMirrorUndoesTheFirst() throws {
        let mirrors = [FakeMirror(), FakeMirror(), FakeMirror()]
        for mirror in mirrors { _ = try space.add(mirror) }
        try map(0x1000, 0x4000)
        try map(0x5000, 0x1000, .read)
        func check(line: SourceLocation = #_sourceLocation) {
            for mirror in mirrors {
                #expect(mirror.pages == space.pages(), sourceLocation: line)
                #expect(mirror.complaints == [], sourceLocation: line)
            }
        }
        for victim in mirrors {
            victim.fail(at: 0)
            expectRefusal(.noMemory, in: space) { try map(0x8000, 0x1000) }
            check()
            victim.fail(at: 0)
            expectRefusal(.noMemory, in: space) { try space.unmap(0x1000, length: 0x5000) }
            check()
            victim.fail(at: 0)
            expectRefusal(.noMemory, in: space) { try space.protect(0x2000, length: 0x4000, rights: .write) }
            check()
            for call in 0...1 {
                victim.fail(at: call)
                expectRefusal(.noMemory, in: space) {
                    _ = try space.copy(from: space, 0x4000, length: 0x2000, at: 0x1_0000, rights: .read)
                }
                check()
            }
            victim.fail()
        }
        try space.unmapAll()
        check()
    }

    @Test func mirrorThatCannotGoBackIsEmptiedAndFilledAgain() throws {
        let mirror = FakeMirror()
        let victim = FakeMirror()
        _ = try space.add(mirror)
        _ = try space.add(victim)
        try map(0x1000, 0x2000)
        try map(0x4000, 0x2000)
        // Taking the map back fails, and then the refill works at once.
        mirror.fail(at: 1)
        victim.fail(at: 0)
        expectRefusal(.noMemory, in: space) { try map(0x8000, 0x1000) }
        #expect(mirror.pages == space.pages() && victim.pages == space.pages())
        // The refill fails as well: the mirror stays empty, nothing escapes.
        mirror.fail(at: 1, 3)
        victim.fail(at: 0)
        expectRefusal(.noMemory, in: space) { try map(0x8000, 0x1000) }
        #expect(mirror.pages.isEmpty && victim.pages == space.pages())
        // No change before it is filled again.
        mirror.fail(at: 0)
        expectRefusal(.noMemory, naming: "emptied", in: space) { try map(0x8000, 0x1000) }
        #expect(mirror.pages.isEmpty && victim.pages == space.pages())
        mirror.fail()
        try map(0x8000, 0x1000)
        #expect(mirror.pages == space.pages() && victim.pages == space.pages())
        #expect(mirror.complaints == [] && victim.complaints == [])
    }

    @Test func timeoutIsReportedAfterTheChangeIsMadeEverywhere() throws {
        let mirrors = [FakeMirror(), FakeMirror()]
        for mirror in mirrors { _ = try space.add(mirror) }
        try map(0x1000, 0x4000)
        mirrors[0].timeOut(at: 0)
        #expect(throws: IOMMUError.timedOut) { try space.protect(0x1000, length: 0x1000, rights: .read) }
        #expect(space.area(holding: 0x1000)?.rights == .read)
        #expect(mirrors.allSatisfy { $0.pages == space.pages() })
        mirrors[0].timeOut(at: 0)
        #expect(throws: IOMMUError.timedOut) { try space.unmap(0x1000, length: 0x1000) }
        #expect(space.area(holding: 0x1000) == nil)
        #expect(mirrors.allSatisfy { $0.pages == space.pages() && $0.pages.count == 3 })
    }
}
