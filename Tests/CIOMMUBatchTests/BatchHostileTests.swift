// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A guest that writes to its entries while they are applied: every result is that of some choice of one content per entry.

import CIOMMU
import CIOMMUProbe
import IOMMUTestSupport
import Testing

@Suite struct BatchHostileTests {
    /// Entries of which some flip between two contents. Contents differ in one byte, or in ways that any mix is fine of.
    private struct Entries {
        var width: Int
        var left: [[UInt64]]
        var right: [[UInt64]]
        /// Entries that one of the contents makes bad, with the code.
        var bad: [Int: UInt32]

        var flipping: [Int] { left.indices.filter { left[$0] != right[$0] } }
    }

    private func run(
        _ entries: Entries, _ format: ciommu_batch_format, _ bench: BatchBench, domain: BenchDomain? = nil
    ) {
        let (left, right) = (entries.left.flatMap { $0 }, entries.right.flatMap { $0 })
        let count = entries.left.count
        let flipper = Flipper(left, right)
        var outcomes: [Int: Int] = [:]
        for round in 0..<10_000 {
            let result = unsafe bench.apply(
                format: format, entries: flipper.words, entryLength: entries.width * 8,
                count: count, domain: domain)
            outcomes[Int(result.handled), default: 0] += 1
            if result.isSuccess(of: count) { continue }
            let index = Int(result.handled)
            guard let code = entries.bad[index], result.isRefusal(at: index, code: code) else {
                Issue.record("round \(round): \(result)")
                break
            }
        }
        let flips = flipper.stop()
        #expect(flips > 0)
        #expect(entries.bad.isEmpty == (outcomes.count == 1), "\(outcomes)")
    }

    private func descriptors(isBad: Bool) -> Entries {
        var entries = Entries(width: 4, left: [], right: [], bad: [:])
        for index in 0..<24 {
            let left: Descriptor
            var right: Descriptor
            switch index % 6 {
            case 0:
                left = .iotlbPages(1, at: 0x1000)
                right = .iotlbPages(0xffff, at: 0xffff_ffff_f000, mask: 48, isLeafOnly: true)
            case 1:
                left = .pasidIOTLBPages(1, pasid: 0, at: 0, mask: 0)
                right = .pasidIOTLBPages(0xffff, pasid: 0xfffff, at: ~0xfff, mask: 63, isLeafOnly: true)
            case 2:
                left = Descriptor(5)
                // Status addresses in memory, out of memory, and mixed.
                right = Descriptor(5 | 0xf << 4 | 0xffff_ffff << 32, 0xffff_ffff_ffff_fffc)
            case 3:
                left = Descriptor(4)
                right = Descriptor(4 | 1 << 4 | 15 << 27 | 0xffff << 32)
            case 4:
                left = Descriptor(8)
                right = Descriptor(0xffff_ffff_ffff_f1f8, 0xffff_ffff_ffff_f801)
            default:
                left = .contextGlobal
                right = .contextDevice(0xffff, source: 0xffff, mask: 3)
            }
            if isBad, index % 8 == 7 {
                right = left
                // The type's bits, or a reserved one.
                if index == 15 { right.words[1] ^= 1 << 7 } else { right.words[0] ^= 1 << 9 }
                entries.bad[index] = index == 15 ? 4 : 3
            }
            entries.left.append(left.widened().words)
            entries.right.append(right.widened().words)
        }
        return entries
    }

    @Test(arguments: [false, true])
    func descriptorsThatFlipAreJudgedByOneContent(isBad: Bool) {
        let image = GuestImage(regions: [GuestImage.Region(address: 0, pages: 4)])
        let bench = BatchBench(image, root: 1 << 10)
        bench.log.statusAtWait = nil
        run(descriptors(isBad: isBad), CIOMMU_BATCH_VTD_256, bench)
        bench.log.events.removeAll()
    }

    @Test(arguments: [false, true])
    func stage1EntriesThatFlipAreJudgedByOneContent(isBad: Bool) {
        let world = CacheWorld(.nested(levels: 4), pages: [0x1000])
        var entries = Entries(width: 3, left: [], right: [], bad: [:])
        for index in 0..<20 {
            entries.left.append([0, 0x0fff_ffff_ffff_ffff, 0])
            entries.right.append([~0xfff, 1, 1])
            guard isBad, index % 7 == 6 else { continue }
            entries.left[index] = [0x1000, 1, 0]
            entries.right[index] = index == 6 ? [0x1000, 1, 2] : [0x1008, 1, 0]
            entries.bad[index] = index == 6 ? eopnotsupp : einval
        }
        run(entries, CIOMMU_BATCH_VTD_S1, world.bench, domain: world.domain)
    }
}

/// Row of section 12: entries are copied and applied one by one, so what is written to a later entry meanwhile counts, and what is
/// written to an earlier one does not.
func entriesAreCopiedOneByOne(_ log: inout MismatchLog) throws {
    let bench = BatchBench(GuestImage(regions: [GuestImage.Region(address: 0x1000, pages: 1)]))
    // The array lies in the guest's memory; a wait's status makes the entry behind it bad, and spoils the one before.
    let array = unsafe bench.image.host(region: 0).baseAddress
    let place = bench.image.regions[0].address
    let all: [Descriptor] = [
        .iotlbGlobal, wait(storing: 0xf, at: place), wait(storing: 0xf, at: place + 48), .iotlbGlobal, .iotlbGlobal,
    ]
    for (index, descriptor) in all.enumerated() {
        bench.image[place + UInt64(16 * index)] = descriptor.words[0]
        bench.image[place + UInt64(16 * index + 8)] = descriptor.words[1]
    }
    let result = unsafe bench.apply(
        format: CIOMMU_BATCH_VTD_128, entries: array, entryLength: 16, count: all.count)
    log.compare(result.isRefusal(at: 3, code: 3), true, "\(result)")
}
