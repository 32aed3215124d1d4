// SPDX-License-Identifier: LGPL-2.1-or-later
//
// What an accepted invalidation descriptor asks for, field by field from the format notes (C2, C3), for comparison with what
// the engine does and tells. Shares no code with it.

/// What one accepted descriptor covers, or asks of the host. nil of an identifier: all of them.
package enum DescriptorEffect: Hashable, Sendable {
    /// Cached context entries; the bits of `ignoring` are not compared.
    case contexts(domain: UInt64?, source: UInt64?, ignoring: UInt64)
    /// Cached PASID-table entries.
    case pasids(domain: UInt64?, pasid: UInt64?)
    /// Cached translations of first...last. `first` and `second`: which stages' translations must go.
    case translations(DescriptorPages)
    /// Translations that a device holds; `pasid` nil with `isGlobal` false: those of requests without PASID.
    case deviceTLB(source: UInt64, pasid: UInt64?, isGlobal: Bool, first: UInt64, last: UInt64)
    /// Entries of the interrupt-remapping table.
    case interrupts(first: UInt64, last: UInt64)
    /// A wait, with the status to store.
    case wait(interrupts: Bool, status: DescriptorStatus?)
    case pageResponse
}

/// The pages that a translation descriptor covers.
package struct DescriptorPages: Hashable, Sendable {
    package var domain: UInt64?
    package var pasid: UInt64?
    package var isFirstStage: Bool
    package var isSecondStage: Bool
    package var isLeafOnly: Bool
    package var first: UInt64
    package var last: UInt64
}

/// What a wait stores, and where.
package struct DescriptorStatus: Hashable, Sendable {
    package var address: UInt64
    package var data: UInt64
}

extension ReferenceDescriptorCheck {
    /// What a descriptor that `refusal` accepts does.
    package func effect(_ descriptor: Descriptor) -> DescriptorEffect {
        let (low, high) = (descriptor.words[0], descriptor.words[1])
        let granularity = bits(low, 4...5)
        switch bits(low, 0...3) {
        case 1:
            // Granularity 1: all; 2: of a domain; 3: of a device, with 0, 1, 2 or 3 function bits from bit 2 down ignored.
            let ignored: [UInt64] = [0, 0b100, 0b110, 0b111]
            return .contexts(
                domain: granularity == 2 ? bits(low, 16...31) : nil,
                source: granularity == 3 ? bits(low, 32...47) : nil,
                ignoring: granularity == 3 ? ignored[Int(bits(low, 48...49))] : 0)
        case 2:
            return .translations(
                pages(
                    granularity == 3 ? high : nil, domain: granularity == 1 ? nil : bits(low, 16...31), pasid: nil,
                    stages: (first: granularity != 3, second: true)))
        case 3:
            let range = deviceRange(high, isSized: bit(high, 0))
            return .deviceTLB(
                source: bits(low, 32...47), pasid: nil, isGlobal: false, first: range.first, last: range.last)
        case 4:
            guard bit(low, 4) else { return .interrupts(first: 0, last: 0xffff) }
            let count = UInt64(1) << bits(low, 27...31)
            let first = bits(low, 32...47) / count * count
            return .interrupts(first: first, last: first + count - 1)
        case 5:
            let status = DescriptorStatus(address: high, data: bits(low, 32...63))
            return .wait(interrupts: bit(low, 4), status: bit(low, 5) ? status : nil)
        case 6:
            return .translations(
                pages(
                    granularity == 3 ? high : nil, domain: bits(low, 16...31), pasid: bits(low, 32...51),
                    stages: (first: true, second: granularity == 2)))
        case 7:
            return .pasids(
                domain: granularity == 3 ? nil : bits(low, 16...31), pasid: granularity == 1 ? bits(low, 32...51) : nil)
        case 8:
            let range = deviceRange(high, isSized: bit(high, 11))
            return .deviceTLB(
                source: bits(low, 16...31), pasid: bit(high, 0) ? nil : bits(low, 32...51), isGlobal: bit(high, 0),
                first: range.first, last: range.last)
        default:
            return .pageResponse
        }
    }

    /// A second quadword with AM, IH and ADDR; nil: everything, and those fields are ignored.
    private func pages(
        _ word: UInt64?, domain: UInt64?, pasid: UInt64?, stages: (first: Bool, second: Bool)
    ) -> DescriptorPages {
        var pages = DescriptorPages(
            domain: domain, pasid: pasid, isFirstStage: stages.first, isSecondStage: stages.second, isLeafOnly: false,
            first: 0, last: .max)
        guard let word else { return pages }
        pages.isLeafOnly = bit(word, 6)
        let mask = bits(word, 0...5)
        // The low `mask` page-number bits of the address do not count.
        for position in 0..<UInt64(64) {
            let isKept = position >= 12 + mask && bit(word, position)
            if isKept {
                pages.first |= 1 << position
            } else if position >= 12 + mask {
                pages.last &= ~(1 << position)
            }
        }
        return pages
    }

    /// Without S one page. With S the ones from bit 12 up double 8 KiB; 51 of them are everything.
    private func deviceRange(_ word: UInt64, isSized: Bool) -> (first: UInt64, last: UInt64) {
        let address = word & ~0xfff
        guard isSized else { return (address, address + 0xfff) }
        var size: UInt64 = 8192
        var position: UInt64 = 12
        while position < 63, bit(word, position) {
            if position == 62 { return (0, .max) }
            size <<= 1
            position += 1
        }
        let first = address / size * size
        return (first, first + (size - 1))
    }
}
