// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Queue descriptors out of bytes: mostly of a known type with fields that meet the world's, sometimes with bits turned over,
// sometimes anything.

import IOMMUTestSupport

struct DescriptorReader {
    private let isWide: Bool
    private let extra: Int
    private let status: UInt64
    private(set) var descriptors: [Descriptor] = []
    /// The entries as they lie in memory.
    private(set) var bytes: [UInt8] = []
    /// Entries with something behind their format's length.
    private(set) var dirty: Set<Int> = []

    init(isWide: Bool, extra: Int, status: UInt64) {
        self.isWide = isWide
        self.extra = extra
        self.status = status
    }

    var entryLength: Int { (isWide ? 32 : 16) + extra }

    mutating func take(_ input: inout FuzzInput) {
        let kind = input.byte()
        var words: [UInt64]
        if kind & 15 >= 14 {
            words = (0..<4).map { _ in input.number(8) }
        } else {
            words = shaped(kind, &input)
        }
        if kind & 0xc0 == 0xc0 {
            let place = input.byte()
            words[Int(place >> 6)] ^= 1 << UInt64(place & 63)
        }
        if !isWide { words.removeLast(2) }
        var descriptor = Descriptor(0)
        descriptor.words = words
        for word in words { bytes += (0..<8).map { UInt8(truncatingIfNeeded: word >> ($0 * 8)) } }
        var tail = [UInt8](repeating: 0, count: extra)
        if extra > 0, kind & 0xf0 == 0x80 {
            let byte = input.byte()
            tail[Int(byte) % extra] = byte
            if byte != 0 { dirty.insert(descriptors.count) }
        }
        bytes += tail
        descriptors.append(descriptor)
    }

    private func shaped(_ kind: UInt8, _ input: inout FuzzInput) -> [UInt64] {
        let type: UInt64 = [1, 2, 2, 2, 3, 4, 5, 5, 6, 6, 6, 7, 8, 9][Int(kind & 15)]
        let fields = input.byte()
        let domain = UInt64(fields & 7)
        let pasid = UInt64(fields >> 3 & 7)
        let low = type | UInt64(kind >> 4 & 3) << 4
        switch type {
        case 1: return [low | domain << 16 | (0x10 + UInt64(fields >> 3)) << 32, 0, 0, 0]
        case 2: return [low | domain << 16, pages(&input), 0, 0]
        case 3: return [low & 15 | (0x10 + domain) << 32, QueueWorld.base | UInt64(fields >> 3) << 12, 0, 0]
        case 4: return [low & 0x1f | UInt64(fields & 15) << 27 | input.number(2) << 32, 0, 0, 0]
        case 5:
            let place: UInt64 =
                switch fields >> 4 & 3 {
                case 0, 1: status + UInt64(fields & 15) << 2
                case 2: GuestImage.rom
                default: input.number(8) & ~3
                }
            return [low & 0x3f | UInt64(fields >> 6) << 6 & 0x40 | input.number(2) << 32, place, 0, 0]
        case 6: return [low | domain << 16 | pasid << 32, pages(&input), 0, 0]
        case 7: return [low | domain << 16 | pasid << 32, 0, 0, 0]
        case 8:
            return [low & 15 | (0x10 + domain) << 16 | pasid << 32, QueueWorld.base | UInt64(fields >> 6) << 11, 0, 0]
        case 9 where fields < 0xc0:
            // To a group that may stand out.
            let code: UInt64 = [0, 1, 15][Int(fields >> 2 & 15) % 3]
            return [9 | 1 << 4 | code << 12 | 0x10 << 16 | 5 << 32, UInt64(fields & 3) << 3, 0, 0]
        default: return [low & 0x1f | input.number(4) << 16, input.number(4) & ~7, input.number(2), 0]
        }
    }

    /// ADDR, IH and AM.
    private func pages(_ input: inout FuzzInput) -> UInt64 {
        let byte = input.byte()
        let offset: UInt64 = [0, 0x1000, 0x2000, 0x3000, 0x1f_f000, 0x20_0000, 0x40_0000, 0x5f_f000][Int(byte & 7)]
        let mask = UInt64(byte >> 4) < 12 ? UInt64(byte >> 4) : UInt64(input.byte() & 63)
        return QueueWorld.base + offset | (byte & 8 != 0 ? 0x40 : 0) | mask
    }
}
