// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Output addresses that the memory map chooses or finds, and the count of users that keeps a placed range registered.

import IOMMU
import IOMMUTestSupport
import Synchronization
import Testing

@Suite struct MemoryPlacementTests {
    /// Host memory for a test.
    private final class Host: Sendable {
        let address: UInt
        let count: Int

        init(pages: Int) {
            count = pages * 4096
            address = UInt(
                bitPattern: UnsafeMutableRawPointer.allocate(byteCount: pages * 4096, alignment: 4096))
        }

        deinit {
            unsafe UnsafeMutableRawPointer(bitPattern: address)?.deallocate()
        }

        func bytes(_ first: Int = 0, _ count: Int? = nil) -> UnsafeMutableRawBufferPointer {
            unsafe UnsafeMutableRawBufferPointer(
                start: UnsafeMutableRawPointer(bitPattern: address + UInt(first)), count: count ?? self.count - first)
        }
    }

    private func wish(
        _ range: ClosedRange<OutputAddress>, _ alignmentLog2: Int = 12, offset: UInt64 = 0
    ) -> GuestMemory.Wish {
        GuestMemory.Wish(range: range, alignmentLog2: alignmentLog2, offset: offset)
    }

    @Test func rangeGoesToTheLowestAddressThatSuits() throws {
        let host = Host(pages: 4)
        let memory = try GuestMemory()
        func place(_ wish: GuestMemory.Wish) throws -> OutputAddress {
            try unsafe memory.place(host.bytes(), wish, rights: [.read, .write]).address
        }
        #expect(try place(wish(0x1001...0xf_ffff)) == 0x2000)
        #expect(try place(wish(0x1000...0xf_ffff)) == 0x6000)
        #expect(try place(wish(0x1000...0xff_ffff, 21, offset: 0x3000)) == 0x20_3000)
        #expect(try place(wish(0...0xff_ffff, 21, offset: 0x3000)) == 0x40_3000)
        #expect(try place(wish(0x40_0000...0x40_ffff)) == 0x40_7000)
        // Up to the last byte of all addresses, and not past it.
        let last = UInt64.max
        let top = OutputAddress(last - 0x7fff)...OutputAddress(last)
        #expect(try place(wish(top)) == OutputAddress(last - 0x7fff))
        #expect(try place(wish(top)) == OutputAddress(last - 0x3fff))
        #expect(throws: IOMMUError.noSpace) { try place(wish(top)) }
        #expect(throws: IOMMUError.noSpace) { try place(wish(top, 30, offset: 0)) }
    }

    @Test func rangeThatFitsNowhereIsRefused() throws {
        let host = Host(pages: 2)
        let memory = try GuestMemory()
        try unsafe memory.add(host.bytes(), at: 0x3000)
        func refuse(_ wish: GuestMemory.Wish, _ error: IOMMUError, count: Int = 8192, rights: AccessRights = .read) {
            #expect(throws: error) { try unsafe memory.place(host.bytes(0, count), wish, rights: rights) }
        }
        refuse(wish(0x2000...0x5fff), .noSpace)
        refuse(wish(0x5000...0x6ffe), .noSpace)
        refuse(wish(0x2000...0x5fff, 13, offset: 0x1000), .noSpace)
        refuse(wish(0...0xffff, 12, offset: 0x1000), .invalidArgument)
        refuse(wish(0...0xffff, 13, offset: 0x800), .misaligned)
        refuse(wish(0...0xffff, 11), .invalidArgument)
        refuse(wish(0...0xffff, 64), .invalidArgument)
        refuse(wish(0...0xffff), .misaligned, count: 100)
        refuse(wish(0...0xffff), .invalidArgument, count: 0)
        refuse(wish(0...0xffff), .invalidArgument, rights: .write)
        // The gap below was never taken.
        #expect(try unsafe memory.place(host.bytes(), wish(0...0x2fff), rights: .read).address == 0)
    }

    @Test func placementAgreesWithASearchOfEveryPage() throws {
        var random = SeededGenerator.forTest()
        let host = Host(pages: 16)
        let memory = try GuestMemory()
        var taken = Set<Int>()
        for step in 0..<400 {
            let note = Comment(rawValue: "seed \(random.seed), step \(step)")
            let pages = 1 + random.below(4)
            let alignment = random.below(4)
            let offset = random.below(1 << alignment)
            let first = random.below(200)
            let last = first + random.below(60)
            let expected = stride(from: 0, through: 512, by: 1).first { page in
                page & ((1 << alignment) - 1) == offset && page >= first && page + pages - 1 <= last
                    && taken.isDisjoint(with: page..<page + pages)
            }
            let range = OutputAddress(UInt64(first) << 12)...OutputAddress(UInt64(last) << 12 | 0xfff)
            let wish = wish(range, 12 + alignment, offset: UInt64(offset) << 12)
            if let expected {
                let address = try unsafe memory.place(host.bytes(0, pages * 4096), wish, rights: .read).address
                #expect(address == OutputAddress(UInt64(expected) << 12), note)
                taken.formUnion(expected..<expected + pages)
            } else {
                #expect(throws: IOMMUError.noSpace, note) {
                    try unsafe memory.place(host.bytes(0, pages * 4096), wish, rights: .read)
                }
            }
        }
    }

    @Test func registeredMemoryIsFoundWithTheRightsThatItHas() throws {
        let host = Host(pages: 4)
        let memory = try GuestMemory()
        func locate(_ first: Int, _ count: Int, _ rights: AccessRights) throws -> OutputAddress? {
            try unsafe memory.locate(UnsafeRawBufferPointer(host.bytes(first, count)), rights: rights)
        }
        #expect(try locate(0, 1, .read) == nil)
        try unsafe memory.add(host.bytes(0, 8192), at: 0x5000, rights: .read)
        try unsafe memory.add(host.bytes(4096, 8192), at: 0x9000)
        #expect(try locate(0, 8192, .read) == 0x5000)
        #expect(try locate(8191, 1, .read) == 0x6fff)
        #expect(try locate(4096, 4096, .write) == 0x9000)
        #expect(try locate(4096, 8192, [.read, .write]) == 0x9000)
        #expect(try locate(0, 1, .write) == nil)
        #expect(try locate(0, 12288, .read) == nil)
        #expect(try locate(12287, 1, .read) == 0xafff)
        #expect(try locate(12288, 1, .read) == nil)
        #expect(throws: IOMMUError.invalidArgument) { try locate(0, 0, .read) }
        #expect(throws: IOMMUError.invalidArgument) { try locate(0, 1, .execute) }
        try memory.remove(at: 0x5000, count: 8192)
        #expect(try locate(0, 1, .read) == nil)
        #expect(try locate(4096, 1, .read) == 0x9000)
    }

    @Test func placedRangeStaysUntilItsLastUserGoes() throws {
        let host = Host(pages: 2)
        let memory = try GuestMemory()
        let first = try unsafe memory.register(host.bytes(), wish(0x1000...0xffff), rights: .write)
        #expect(first.address == 0x1000 && first.rights == [.read, .write])
        let second = try #require(try unsafe memory.reuse(host.bytes(4096), rights: .read))
        #expect(second.address == 0x2000 && second.placement === first.placement)
        let placement = try #require(first.placement)
        memory.retain(placement)
        try memory.release([placement, placement])
        #expect(try unsafe memory.locate(UnsafeRawBufferPointer(host.bytes())) == 0x1000)
        try memory.release([placement])
        #expect(try unsafe memory.locate(UnsafeRawBufferPointer(host.bytes())) == nil)
        #expect(try unsafe memory.reuse(host.bytes(), rights: .read) == nil)
    }

    @Test func hostsOwnRangeIsReusedWithoutBeingCounted() throws {
        let host = Host(pages: 2)
        let memory = try GuestMemory()
        try unsafe memory.add(host.bytes(), at: 0x8000, rights: .read)
        let backing = try #require(try unsafe memory.reuse(host.bytes(4096), rights: .read))
        #expect(backing.address == 0x9000 && backing.rights == .read && backing.placement == nil)
        #expect(try unsafe memory.reuse(host.bytes(4096), rights: .write) == nil)
        // No domain could map a page that begins in the middle of one.
        #expect(try unsafe memory.reuse(host.bytes(2048, 4096), rights: .read) == nil)
        #expect(try unsafe memory.reuse(host.bytes(2048, 2048), rights: .read)?.address == 0x8800)
    }

    @Test func partOfAPageIsRegisteredWithThePageAroundIt() throws {
        let host = Host(pages: 2)
        let memory = try GuestMemory()
        let backing = try unsafe memory.register(host.bytes(2048, 2048), wish(0...0xffff), rights: .read)
        #expect(backing.address == 0x800 && backing.placement?.length == 4096)
        #expect(try unsafe memory.locate(UnsafeRawBufferPointer(host.bytes(0, 4096)), rights: .read) == 0)
        try memory.release([try #require(backing.placement)])
    }

    @Test func keeperStaysWhileASectionMayUseTheMemory() throws {
        final class Keeper: Sendable {}
        var configuration = RemappingUnit.Configuration()
        configuration.drainTimeout = .zero
        let host = Host(pages: 1)
        let memory = try GuestMemory()
        let unit = try RemappingUnit(
            capabilities: UnitModel.full.capabilities(), memory: memory, configuration: configuration)
        let port = try unit.makePort()
        weak var kept: Keeper?
        var placement: MemoryPlacement?
        do {
            let keeper = Keeper()
            kept = keeper
            placement = try unsafe memory.register(
                host.bytes(), wish(0...0xffff), rights: .read, keeper: keeper
            ).placement
        }
        port.withSection {
            let released = placement.map { [$0] } ?? []
            placement = nil
            #expect(throws: IOMMUError.timedOut) { try memory.release(released) }
            #expect(throws: IOMMUError.timedOut) { try memory.drain() }
        }
        #expect(kept != nil)
        #expect(try unsafe memory.locate(UnsafeRawBufferPointer(host.bytes()), rights: .read) == nil)
        try memory.drain()
        #expect(kept == nil)
    }

    @Test func registrationThatASectionHoldsBackIsUndone() throws {
        var configuration = RemappingUnit.Configuration()
        configuration.drainTimeout = .zero
        let host = Host(pages: 1)
        let memory = try GuestMemory()
        let unit = try RemappingUnit(
            capabilities: UnitModel.full.capabilities(), memory: memory, configuration: configuration)
        let port = try unit.makePort()
        port.withSection {
            _ = #expect(throws: IOMMUError.timedOut) {
                try unsafe memory.register(host.bytes(), wish(0...0xffff), rights: .read)
            }
        }
        #expect(try unsafe memory.locate(UnsafeRawBufferPointer(host.bytes()), rights: .read) == nil)
        try memory.drain()
    }
}
