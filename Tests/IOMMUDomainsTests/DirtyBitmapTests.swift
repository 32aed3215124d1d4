// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The bitmap of dirty pages as a value.

import IOMMU
import IOMMUTestSupport
import Testing

@Suite struct DirtyBitmapTests {
    @Test func bitsAreCountedFromTheBase() throws {
        var bitmap = try DirtyBitmap(base: 0x10_0000, length: 100 * 0x2000, pageSize: 0x2000)
        #expect(bitmap.pageCount == 100 && bitmap.words.count == 2 && bitmap.length == 100 * 0x2000 && bitmap.isEmpty)
        #expect(bitmap.isSettled)
        for iova in [0x10_0000, 0x10_3fff, 0x17_e000, 0x18_0000] as [IOVA] {
            #expect(!bitmap.contains(iova))
            bitmap.insert(iova)
            #expect(bitmap.contains(iova))
        }
        #expect(bitmap.words == [1 | 2 | 1 << 63, 1])
        bitmap.insert(0xf_ffff)
        bitmap.insert(0x1c_8000)
        #expect(bitmap.dirtyCount == 4 && !bitmap.isEmpty)
        #expect(!bitmap.contains(0xf_ffff) && !bitmap.contains(.max))
    }

    @Test func dirtyPagesAreThoseThatWereInserted() throws {
        var random = SeededGenerator.forTest()
        var bitmap = try DirtyBitmap(base: 0x4000, length: 1000 << 12)
        #expect(Array(bitmap.dirtyPages).isEmpty)
        let pages = Set((0..<200).map { _ in UInt64(random.below(1000)) }).sorted()
        for page in pages { bitmap.insert(IOVA(0x4000 + page << 12 + random.next() % 4096)) }
        let seed = Comment(rawValue: "seed \(random.seed)")
        #expect(Array(bitmap.dirtyPages) == pages.map { IOVA(0x4000 + $0 << 12) }, seed)
        #expect(bitmap.dirtyCount == pages.count, seed)
    }

    @Test func unionIsOfTheSamePagesOnly() throws {
        var left = try DirtyBitmap(base: 0, length: 0x10_0000)
        var right = left
        left.insert(0x1000)
        right.insert(0x8_0000)
        try left.formUnion(right)
        #expect(Array(left.dirtyPages) == [0x1000, 0x8_0000])
        for other in [
            try DirtyBitmap(base: 0x1000, length: 0x10_0000), try DirtyBitmap(base: 0, length: 0x20_0000),
            try DirtyBitmap(base: 0, length: 0x10_0000, pageSize: 0x2000),
        ] {
            let before = left
            #expect(throws: IOMMUError.invalidArgument) { try left.formUnion(other) }
            #expect(left == before)
        }
    }

    @Test func badShapesAreRefused() throws {
        #expect(throws: IOMMUError.invalidArgument) { try DirtyBitmap(base: 0, length: 0x1000, pageSize: 0x800) }
        #expect(throws: IOMMUError.invalidArgument) { try DirtyBitmap(base: 0, length: 0x3000, pageSize: 0x3000) }
        #expect(throws: IOMMUError.invalidArgument) { try DirtyBitmap(base: 0, length: 0) }
        #expect(throws: IOMMUError.misaligned) { try DirtyBitmap(base: 0x1000, length: 0x2000, pageSize: 0x2000) }
        #expect(throws: IOMMUError.misaligned) { try DirtyBitmap(base: 0, length: 0x1000, pageSize: 0x2000) }
        #expect(throws: IOMMUError.wraps) { try DirtyBitmap(base: IOVA(UInt64.max - 0xfff), length: 0x2000) }
    }
}
