// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A space by itself: mapping, unmapping, rights, copies. Its ranges: +Ranges; files and host memory: +Backing;
// followers: +Mirrors.

import IOMMU
import Testing

@Suite struct IOAddressSpaceTests {
    let memory: GuestMemory
    let space: IOAddressSpace

    init() throws {
        memory = try GuestMemory()
        space = try IOAddressSpace(memory: memory)
    }

    /// Maps output addresses equal to the input addresses.
    func map(_ iova: UInt64, _ length: UInt64, _ rights: AccessRights = [.read, .write]) throws {
        _ = try space.map(.output(OutputAddress(iova)), length: length, at: IOVA(iova), rights: rights)
    }

    var ranges: [ClosedRange<UInt64>] {
        space.areas.map { $0.first.rawValue...$0.last.rawValue }
    }

    @Test func newSpaceIsEmptyAndUsableEverywhere() throws {
        #expect(space.areaCount == 0 && space.mappedBytes == 0 && Array(space.areas).isEmpty)
        #expect(space.area(holding: 0) == nil)
        #expect(space.usableRanges == [IOVA.min...IOVA.max])
        #expect(space.allowedRanges.isEmpty && space.reservedRanges.isEmpty)
        #expect(space.alignment == 4096)
    }

    @Test(arguments: [0, 3, 4095, 1 << 31] as [UInt64])
    func granuleThatIsNoPowerOfTwoUpToAGigabyteIsRefused(_ granule: UInt64) throws {
        #expect(throws: IOMMUError.invalidArgument) { try IOAddressSpace(memory: memory, granule: granule) }
    }

    @Test func areaIsWhatWasMapped() throws {
        let iova = try space.map(.output(0x7000), length: 0x3000, at: 0x1_0000, rights: .read)
        #expect(iova == 0x1_0000)
        let area = try #require(space.area(holding: 0x1_2fff))
        #expect(area.first == 0x1_0000 && area.last == 0x1_2fff && area.length == 0x3000)
        #expect(area.output == 0x7000 && area.rights == .read && area.backing == .output && area.pinCount == 0)
        #expect(unsafe area.host == nil)
        #expect(area.description == "0x10000...0x12fff -> 0x7000 R (output addresses)")
        #expect(space.area(holding: 0x1_3000) == nil && space.area(holding: 0xffff) == nil)
        #expect(space.areaCount == 1 && space.mappedBytes == 0x3000)
    }

    @Test func badRequestsAreRefusedOneByOne() throws {
        try map(0x4000, 0x2000)
        func refuse(
            _ error: IOMMUError, naming words: String = "", _ output: UInt64 = 0x8000, _ length: UInt64 = 0x1000,
            at iova: IOVA? = 0x1000, _ rights: AccessRights = .read, line: SourceLocation = #_sourceLocation
        ) {
            expectRefusal(error, naming: words, in: space, sourceLocation: line) {
                _ = try space.map(.output(OutputAddress(output)), length: length, at: iova, rights: rights)
            }
        }
        refuse(.invalidArgument, naming: "zero", 0x8000, 0)
        refuse(.invalidArgument, naming: "zero", 0x8000, 0, at: nil)
        refuse(.invalidArgument, naming: "none", 0x8000, 0x1000, [])
        refuse(.invalidArgument, naming: "RX", 0x8000, 0x1000, [.read, .execute])
        refuse(.misaligned, naming: "0x1800", 0x8000, 0x1000, at: 0x1800)
        refuse(.misaligned, naming: "length 0x800", 0x8000, 0x800)
        refuse(.misaligned, naming: "length 0x800", 0x8000, 0x800, at: nil)
        refuse(.misaligned, naming: "output address", 0x8800)
        refuse(.wraps, 0x8000, 0x2000, at: IOVA(UInt64.max - 0xfff))
        refuse(.wraps, naming: "output", UInt64.max - 0xfff, 0x2000)
        refuse(.overlap, naming: "0x4000...0x5fff", 0x8000, 0x2000, at: 0x3000)
        refuse(.overlap, naming: "0x4000...0x5fff", 0x8000, 0x1000, at: 0x5000)
        refuse(.overlap, naming: "0x4000...0x5fff", 0x8000, 0x10000, at: 0x0)
        #expect(try space.unmapAll() == 0x2000)
    }

    @Test func chosenAddressAvoidsTheFirstAndTheLastPageUnlessTheyAreAllowed() throws {
        #expect(try space.map(.output(0), length: 0x1000, rights: .read) == 0x1000)
        try space.unmapAll()
        let all: UInt64 = UInt64.max - 0x1fff
        #expect(try space.map(.output(0), length: all, rights: .read) == 0x1000)
        expectRefusal(.noSpace, in: space) { _ = try space.map(.output(0), length: 0x1000, rights: .read) }
        try space.unmapAll()
        try space.allow([0...0x1fff])
        #expect(try space.map(.output(0), length: 0x2000, rights: .read) == 0)
    }

    @Test func everythingCanBeMapped() throws {
        let half: UInt64 = 1 << 63
        _ = try space.map(.output(0), length: half, at: 0, rights: .read)
        _ = try space.map(.output(0), length: half, at: IOVA(half), rights: .read)
        #expect(space.mappedBytes == .max && space.areaCount == 2)
        #expect(space.area(holding: .max)?.last == .max)
        try space.protect(IOVA(UInt64.max - 0xfff), length: 0x1000, rights: .write)
        #expect(Array(space.areas).map(\.rights) == [.read, .read, .write])
        #expect(try space.unmap(IOVA(UInt64.max - 0xfff), length: 0x1000) == 0x1000)
        #expect(try space.unmapAll() == .max - 0xfff)
    }

    @Test func spaceOfASmallGranuleTakesSmallAreas() throws {
        let small = try IOAddressSpace(memory: memory, granule: 2048)
        #expect(small.alignment == 2048)
        #expect(try small.map(.output(0x800), length: 0x800, at: 0x1800, rights: .read) == 0x1800)
        #expect(try small.map(.output(0x800), length: 0x1800, rights: .read) == 0x2800)
        expectRefusal(.misaligned, in: small) {
            _ = try small.map(.output(0), length: 0x400, at: 0, rights: .read)
        }
        let bytes = try IOAddressSpace(memory: memory, granule: 1)
        #expect(try bytes.map(.output(3), length: 5, at: 7, rights: .read) == 7)
        #expect(bytes.area(holding: 11)?.output == 3)
    }

    // MARK: Unmapping

    @Test func unmapTakesEveryAreaInTheRange() throws {
        for iova in [0x1000, 0x3000, 0x4000, 0x9000] as [UInt64] { try map(iova, 0x1000) }
        #expect(try space.unmap(0x2000, length: 0x6000) == 0x2000)
        #expect(ranges == [0x1000...0x1fff, 0x9000...0x9fff])
        #expect(try space.unmap(0, length: .max) == 0x2000)
        #expect(space.areaCount == 0 && space.mappedBytes == 0)
    }

    @Test func unmapThatCutsAnAreaChangesNothing() throws {
        try map(0x1000, 0x1000)
        try map(0x3000, 0x2000)
        expectRefusal(.notFound, naming: "0x3000...0x4fff", in: space) { try space.unmap(0x1000, length: 0x3000) }
        expectRefusal(.notFound, naming: "0x3000...0x4fff", in: space) { try space.unmap(0x4000, length: 0x5000) }
        expectRefusal(.notFound, naming: "0x1000...0x1fff", in: space) { try space.unmap(0x1001, length: 1) }
        expectRefusal(.notFound, naming: "nothing", in: space) { try space.unmap(0x2000, length: 0x1000) }
        expectRefusal(.invalidArgument, in: space) { try space.unmap(0x1000, length: 0) }
        expectRefusal(.wraps, in: space) { try space.unmap(0x1000, length: .max) }
    }

    @Test func unmappingAllOfNothingIsNoError() throws {
        #expect(try space.unmapAll() == 0)
        expectRefusal(.notFound, in: space) { try space.unmap(0, length: .max) }
    }

    // MARK: Rights

    @Test func protectSplitsTheAreasThatItCuts() throws {
        try map(0x1000, 0x4000)
        try map(0x5000, 0x2000)
        try space.protect(0x2000, length: 0x4000, rights: .read)
        #expect(ranges == [0x1000...0x1fff, 0x2000...0x4fff, 0x5000...0x5fff, 0x6000...0x6fff])
        #expect(space.areas.map(\.rights) == [[.read, .write], .read, .read, [.read, .write]])
        #expect(space.areas.map(\.output) == [0x1000, 0x2000, 0x5000, 0x6000])
        #expect(space.mappedBytes == 0x6000)
        try space.protect(0x3000, length: 0x1000, rights: .write)
        #expect(space.areaCount == 6)
        #expect(try space.unmap(0x3000, length: 0x1000) == 0x1000)
    }

    @Test func protectOfWhatIsNotAllMappedChangesNothing() throws {
        try map(0x1000, 0x1000)
        try map(0x3000, 0x1000)
        func refuse(
            _ error: IOMMUError, naming words: String = "", _ iova: IOVA, _ length: UInt64,
            _ rights: AccessRights = .read, line: SourceLocation = #_sourceLocation
        ) {
            expectRefusal(error, naming: words, in: space, sourceLocation: line) {
                try space.protect(iova, length: length, rights: rights)
            }
        }
        refuse(.notFound, naming: "0x2000 is not", 0x1000, 0x3000)
        refuse(.notFound, naming: "0x4000 is not", 0x3000, 0x2000)
        refuse(.notFound, naming: "0x0 is not", 0x0, 0x2000)
        refuse(.misaligned, 0x1800, 0x800)
        refuse(.invalidArgument, 0x1000, 0)
        refuse(.invalidArgument, 0x1000, 0x1000, [])
        refuse(.wraps, IOVA(UInt64.max - 0xfff), 0x2000)
    }

    // MARK: Copies

    @Test func copyMapsTheSameMemoryAgain() throws {
        _ = try space.map(.output(0x10_0000), length: 0x2000, at: 0x1000, rights: .read)
        _ = try space.map(.output(0x20_0000), length: 0x2000, at: 0x3000, rights: .write)
        let other = try IOAddressSpace(memory: memory)
        #expect(try other.copy(from: space, 0x2000, length: 0x2000, at: 0x8000, rights: .read) == 0x8000)
        #expect(other.areas.map(\.output) == [0x10_1000, 0x20_0000])
        #expect(other.areas.map(\.first) == [0x8000, 0x9000])
        #expect(other.areas.allSatisfy { $0.rights == .read })
        // Into the same space, at an address that it chooses.
        let iova = try space.copy(from: space, 0x1000, length: 0x4000, rights: [.read, .write])
        #expect(iova == 0x5000 && space.areaCount == 4)
        try space.unmapAll()
        #expect(other.mappedBytes == 0x2000)
    }

    @Test func copyOfWhatIsNotAllMappedChangesNothing() throws {
        try map(0x1000, 0x2000)
        try map(0x4000, 0x1000)
        let other = try IOAddressSpace(memory: memory)
        _ = try other.map(.output(0), length: 0x1000, at: 0x8000, rights: .read)
        func refuse(
            _ error: IOMMUError, naming words: String = "", _ source: IOVA, _ length: UInt64, at iova: IOVA? = 0x2_0000,
            _ rights: AccessRights = .read, line: SourceLocation = #_sourceLocation
        ) {
            let before = SpaceView(space)
            expectRefusal(error, naming: words, in: other, sourceLocation: line) {
                _ = try other.copy(from: space, source, length: length, at: iova, rights: rights)
            }
            #expect(SpaceView(space) == before)
        }
        refuse(.notFound, naming: "0x3000 is not", 0x1000, 0x4000)
        refuse(.notFound, naming: "0x5000 is not", 0x4000, 0x2000, at: nil)
        refuse(.invalidArgument, 0x1000, 0)
        refuse(.invalidArgument, 0x1000, 0x1000, [])
        refuse(.misaligned, 0x1000, 0x1000, at: 0x2_0800)
        refuse(.misaligned, 0x1000, 0x800)
        refuse(.misaligned, naming: "of the source", 0x1800, 0x1000)
        refuse(.overlap, naming: "0x8000...0x8fff", 0x1000, 0x2000, at: 0x7000)
        refuse(.wraps, 0x1000, 0x2000, at: IOVA(UInt64.max - 0xfff))
        refuse(.wraps, IOVA(UInt64.max - 0xfff), 0x2000)
        try other.allow([0...0x8fff])
        refuse(.outOfRange, 0x1000, 0x2000)
        try other.allow([0x8000...0x8fff])
        refuse(.noSpace, 0x1000, 0x1000, at: nil)
        let stranger = try IOAddressSpace(memory: GuestMemory())
        expectRefusal(.invalidArgument, naming: "memory map", in: stranger) {
            _ = try stranger.copy(from: space, 0x1000, length: 0x1000, rights: .read)
        }
    }

    @Test func iterationToleratesChanges() throws {
        for index in 0..<300 as Range<UInt64> { try map(0x1000 + index * 0x2000, 0x1000) }
        var seen: [UInt64] = []
        for area in space.areas {
            seen.append(area.first.rawValue)
            if seen.count == 10 { try space.unmap(0x19_1000, length: 0x1000) }
            if seen.count == 20 { try map(0x2000, 0x1000) }
        }
        #expect(seen.count == 299)
        #expect(seen == seen.sorted())
        #expect(Array(space.areas.from(0x2001)).first?.first == 0x2000)
        #expect(Array(space.areas.from(0x4000)).first?.first == 0x5000)
    }
}
