// SPDX-License-Identifier: LGPL-2.1-or-later
//
// What an accepted descriptor is decoded into: the inner invalidation, or the work that is left to the host [FORMATS-VTD C2].

import IOMMU
import IOMMUTestSupport
import Testing

@Suite struct DescriptorOutcomeTests {
    private func outcome(
        _ descriptor: Descriptor, in mode: TableMode = .scalablePassThrough
    ) throws -> DescriptorOutcome {
        let unit = try ModeTables(mode).bench().unit
        return try unit.invalidate(descriptor: descriptor.widened(!mode.isLegacy).native)
    }

    private func caches(_ descriptor: Descriptor, in mode: TableMode = .scalablePassThrough) throws -> Invalidation? {
        if case .caches(let invalidation) = try outcome(descriptor, in: mode) { invalidation } else { nil }
    }

    @Test func cacheDescriptorsNameTheirGranularity() throws {
        for mode in [TableMode.legacySecond(4), .scalablePassThrough] {
            let everything = try caches(.contextGlobal, in: mode)
            #expect(everything?.kind == .context && everything?.domain == nil && everything?.source == nil)
            let device = try caches(.contextDevice(7, source: 0x123, mask: 3), in: mode)
            #expect(device?.source == SourceID(0x123))
            #expect(device?.sourceMask == 7)
        }
        #expect(try caches(.contextDomain(7), in: .legacySecond(4))?.domain == 7)

        #expect(try caches(.iotlbGlobal)?.kind == .translations)
        #expect(try caches(.iotlbGlobal)?.domain == nil)
        #expect(try caches(.iotlbDomain(9))?.domain == 9)
        #expect(try caches(.iotlbDomain(9))?.last == .max)

        let all = try caches(.pasidIOTLB(4, pasid: 0xabcde))
        #expect(all?.domain == 4 && all?.pasid == PASID(0xabcde) && all?.stages.contains(.first) == true)

        #expect(try caches(.pasidCacheGlobal)?.kind == .pasid)
        #expect(try caches(.pasidCacheGlobal)?.domain == nil)
        #expect(try caches(.pasidCacheDomain(5))?.domain == 5)
        #expect(try caches(.pasidCache(5, pasid: 6))?.pasid == PASID(6))
    }

    @Test(arguments: [0, 1, 9, 18, 35, 48] as [UInt64])
    func pagesAreAnAlignedPowerOfTwo(mask: UInt64) throws {
        let address: UInt64 = 0x0123_4567_89ab_c000
        let low = UInt64(1) << (12 + mask) - 1
        for isLeafOnly in [false, true] {
            let pages = try caches(.iotlbPages(3, at: address, mask: mask, isLeafOnly: isLeafOnly))
            #expect(pages?.first.rawValue == address & ~low)
            #expect(pages?.last.rawValue == address | low)
            #expect(pages?.leafOnly == isLeafOnly)
            let tagged = try caches(.pasidIOTLBPages(3, pasid: 5, at: ~address, mask: mask, isLeafOnly: isLeafOnly))
            #expect(tagged?.first.rawValue == ~address & ~low)
            #expect(tagged?.last.rawValue == ~address | low)
            #expect(tagged?.pasid == PASID(5))
        }
        // Masks of 52 and more cover everything.
        for mask: UInt64 in [52, 63] {
            let all = try caches(.pasidIOTLBPages(3, pasid: 5, at: address, mask: mask))
            #expect(all?.first == .min && all?.last == .max)
        }
    }

    @Test func waitsSayWhatToDo() throws {
        for flags: UInt64 in 0..<16 {
            let descriptor = Descriptor(5 | flags << 4 | 0x1234_5678 << 32, 0xfedc_ba98)
            guard case .wait(let wait) = try outcome(descriptor) else {
                Issue.record("\(descriptor) is a wait")
                continue
            }
            #expect(wait.interrupt == (flags & 1 != 0))
            #expect(wait.fence == (flags & 4 != 0))
            #expect(wait.drainPageRequests == (flags & 8 != 0))
            #expect(wait.statusAddress == (flags & 2 != 0 ? OutputAddress(0xfedc_ba98) : nil))
            if flags & 2 != 0 { #expect(wait.statusData == 0x1234_5678) }
        }
    }

    @Test func otherDescriptorsAreLeftToTheHost() throws {
        #expect(try outcome(Descriptor(4)) == .interruptCache)
        #expect(try outcome(Descriptor(9 | 0x18 << 16)) == .pageResponse)
        for descriptor in [Descriptor(3 | 0x18 << 32, 0x5000), Descriptor(8 | 0x18 << 16 | 6 << 32, 0x5000)] {
            guard case .deviceTLB(let pages) = try outcome(descriptor) else {
                Issue.record("\(descriptor) concerns a device-TLB")
                continue
            }
            #expect(pages.kind == .deviceTLB)
            #expect(pages.source == SourceID(0x18))
            #expect(pages.first.rawValue == 0x5000 && pages.last.rawValue == 0x5fff)
        }
    }

    @Test(arguments: [0, 1, 2, 9, 18] as [UInt64])
    func deviceTLBRangesAreCodedInTheAddress(size: UInt64) throws {
        // S=1: 8 KiB << k, where k is the number of ones from bit 12 up.
        let ones = (UInt64(1) << size - 1) << 12
        let base: UInt64 = 0x7_0000_0000_0000
        guard case .deviceTLB(let pages) = try outcome(Descriptor(3 | 0x18 << 32, base | ones | 1)) else {
            Issue.record("concerns a device-TLB")
            return
        }
        #expect(pages.first.rawValue == base)
        #expect(pages.last.rawValue == base + 0x2000 << size - 1)
    }

    @Test func theLargestDeviceTLBRangeIsEverything() throws {
        guard case .deviceTLB(let pages) = try outcome(Descriptor(3, 0x7fff_ffff_ffff_f001)) else {
            Issue.record("concerns a device-TLB")
            return
        }
        #expect(pages.first == .min && pages.last == .max)
    }
}
