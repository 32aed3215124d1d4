// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Allowed and reserved ranges of a space.

import IOMMU
import Testing

extension IOAddressSpaceTests {
    @Test func allowedListLimitsWhatIsMapped() throws {
        try space.allow([0x2_0000...0x2_ffff, 0x1000...0x2fff])
        #expect(space.allowedRanges == [0x1000...0x2fff, 0x2_0000...0x2_ffff])
        #expect(space.usableRanges == space.allowedRanges)
        expectRefusal(.outOfRange, naming: "outside the allowed", in: space) { try map(0x3000, 0x1000) }
        expectRefusal(.outOfRange, in: space) { try map(0x2000, 0x2000) }
        #expect(try space.map(.output(0), length: 0x8000, rights: .read) == 0x2_0000)
        #expect(try space.map(.output(0), length: 0x8000, at: 0x2_8000, rights: .read) == 0x2_8000)
        expectRefusal(.noSpace, naming: "in one piece", in: space) {
            _ = try space.map(.output(0), length: 0x3000, rights: .read)
        }
        #expect(try space.map(.output(0), length: 0x2000, rights: .read) == 0x1000)
        try space.allow([])
        #expect(space.usableRanges == [IOVA.min...IOVA.max])
        try map(0x3000, 0x1000)
    }

    @Test func allowedRangesThatTouchAreOne() throws {
        try space.allow([0x1000...0x1fff, 0x2000...0x3fff])
        #expect(space.usableRanges == [0x1000...0x3fff])
        try map(0x1000, 0x3000)
    }

    @Test func badAllowedListLeavesTheOldOne() throws {
        try space.allow([0x1000...0x1fff])
        expectRefusal(.invalidArgument, naming: "0x3000...0x3000", in: space) { try space.allow([0x3000...0x3000]) }
        expectRefusal(.invalidArgument, naming: "overlaps", in: space) {
            try space.allow([0x5000...0x6000, 0x3000...0x5000])
        }
        _ = try space.reserve(0x8000...0x8fff, reason: "a doorbell")
        expectRefusal(.inUse, naming: "a doorbell", in: space) { try space.allow([0x7000...0x8000]) }
    }

    @Test func nothingIsMappedInAReservedRange() throws {
        let token = try space.reserve(0x4000...0x5fff, reason: "a doorbell")
        let other = try space.reserve(0x5000...0x6fff, reason: "a window")
        #expect(space.reservedRanges == [0x4000...0x6fff])
        #expect(space.usableRanges == [0...0x3fff, 0x7000...IOVA.max])
        expectRefusal(.outOfRange, naming: "a doorbell", in: space) { try map(0x3000, 0x2000) }
        expectRefusal(.outOfRange, naming: "a window", in: space) { try map(0x6000, 0x1000) }
        #expect(try space.map(.output(0), length: 0x4000, rights: .read) == 0x7000)
        try space.unreserve(token)
        #expect(space.reservedRanges == [0x5000...0x6fff])
        expectRefusal(.notFound, in: space) { try space.unreserve(token) }
        let stranger = try IOAddressSpace(memory: memory)
        expectRefusal(.notFound, in: stranger) { try stranger.unreserve(other) }
        try space.unreserve(other)
        #expect(space.usableRanges == [IOVA.min...IOVA.max])
    }

    @Test func reservationOverWhatIsMappedOrAllowedIsRefused() throws {
        try map(0x4000, 0x2000)
        expectRefusal(.inUse, naming: "0x4000...0x5fff", in: space) {
            _ = try space.reserve(0x5fff...0x6fff, reason: "a doorbell")
        }
        try space.allow([0x1_0000...0x1_ffff])
        expectRefusal(.inUse, naming: "0x10000...0x1ffff", in: space) {
            _ = try space.reserve(0x1_ffff...0x2_ffff, reason: "a doorbell")
        }
        _ = try space.reserve(0x2_0000...IOVA.max, reason: "the rest")
        _ = try space.reserve(0...0x3fff, reason: "the beginning")
        #expect(space.usableRanges == [0x1_0000...0x1_ffff])
    }
}
