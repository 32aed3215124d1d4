// SPDX-License-Identifier: LGPL-2.1-or-later
//
// DirtyBitmap - one bit a page of a range of input addresses, laid out as the kernel's interface has it.

public import IOMMUCore

/// Which pages of a range are dirty.
///
/// Bit `(address - base) / pageSize` of ``words``, least significant bit first [FORMATS-IOMMUFD 8].
public struct DirtyBitmap: Hashable, Sendable {
    /// The first input address, a multiple of ``pageSize``.
    public let base: IOVA
    /// What one bit stands for, in bytes: a power of two from 4096 on.
    public let pageSize: UInt64
    /// How many pages there are.
    public let pageCount: Int
    /// The bits. Those past the last page are zero.
    public internal(set) var words: [UInt64]
    /// False: a read of dirty pages met an access section that did not end in time and may still write to pages that
    /// this bitmap shows as clean. Drain the unit, and take every page as dirty that may be written.
    public internal(set) var isSettled = true

    /// Makes a bitmap without dirty pages.
    ///
    /// - Parameters:
    ///   - base: The first input address, a multiple of `pageSize`.
    ///   - length: Bytes: a multiple of `pageSize`, not zero.
    ///   - pageSize: What one bit stands for: a power of two from 4096 on.
    /// - Throws: ``IOMMUError/invalidArgument`` for another page size or zero length, ``IOMMUError/misaligned``,
    ///   ``IOMMUError/wraps``.
    public init(base: IOVA, length: UInt64, pageSize: UInt64 = 4096) throws(IOMMUError) {
        guard pageSize.nonzeroBitCount == 1, pageSize >= 4096 else {
            throw .invalidArgument.with(detail: "a page size of \(pageSize) is not a power of two from 4096 on")
        }
        guard length > 0 else { throw .invalidArgument.with(detail: "a length of zero") }
        guard (base.rawValue | length) & (pageSize - 1) == 0 else {
            throw .misaligned.with(detail: "\(base) or the length \(length) is not a multiple of \(pageSize)")
        }
        guard length - 1 <= .max - base.rawValue else { throw .wraps }
        self.base = base
        self.pageSize = pageSize
        pageCount = Int(length / pageSize)
        words = Array(repeating: 0, count: (pageCount + 63) / 64)
    }

    /// Bytes of the range.
    public var length: UInt64 { UInt64(pageCount) * pageSize }

    /// True if no page is dirty.
    public var isEmpty: Bool { words.allSatisfy { $0 == 0 } }

    /// How many pages are dirty.
    public var dirtyCount: Int { words.reduce(0) { $0 + $1.nonzeroBitCount } }

    /// Says whether the page that holds an address is dirty; false outside of the range.
    public func contains(_ iova: IOVA) -> Bool {
        guard let page = page(of: iova) else { return false }
        return words[page / 64] >> UInt64(page % 64) & 1 != 0
    }

    /// Makes the page that holds an address dirty, if it lies in the range.
    public mutating func insert(_ iova: IOVA) {
        guard let page = page(of: iova) else { return }
        words[page / 64] |= 1 << UInt64(page % 64)
    }

    /// Adds the dirty pages of another bitmap of the same base, length and page size.
    ///
    /// - Throws: ``IOMMUError/invalidArgument`` for another one; nothing changed.
    public mutating func formUnion(_ other: DirtyBitmap) throws(IOMMUError) {
        guard base == other.base, pageSize == other.pageSize, pageCount == other.pageCount else {
            throw .invalidArgument.with(detail: "the bitmaps are not of the same pages")
        }
        for index in words.indices { words[index] |= other.words[index] }
        isSettled = isSettled && other.isSettled
    }

    /// The first addresses of the dirty pages, in ascending order.
    public var dirtyPages: DirtyPages {
        DirtyPages(bitmap: self)
    }

    private func page(of iova: IOVA) -> Int? {
        guard iova >= base else { return nil }
        let page = (iova.rawValue - base.rawValue) / pageSize
        return page < UInt64(pageCount) ? Int(page) : nil
    }
}

/// The first addresses of dirty pages, from ``DirtyBitmap/dirtyPages``.
public struct DirtyPages: Sequence, Sendable {
    let bitmap: DirtyBitmap

    /// Goes from set bit to set bit.
    public struct Iterator: IteratorProtocol {
        private let bitmap: DirtyBitmap
        private var index = 0
        private var rest: UInt64

        init(_ bitmap: DirtyBitmap) {
            self.bitmap = bitmap
            rest = bitmap.words[0]
        }

        /// The first address of the next dirty page; nil at the end.
        public mutating func next() -> IOVA? {
            while rest == 0 {
                guard index + 1 < bitmap.words.count else { return nil }
                index += 1
                rest = bitmap.words[index]
            }
            let page = UInt64(index * 64 + rest.trailingZeroBitCount)
            rest &= rest - 1
            return IOVA(bitmap.base.rawValue + page * bitmap.pageSize)
        }
    }

    /// An iterator over the pages.
    public func makeIterator() -> Iterator {
        Iterator(bitmap)
    }
}
