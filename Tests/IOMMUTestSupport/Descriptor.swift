// SPDX-License-Identifier: LGPL-2.1-or-later
//
// VT-d invalidation descriptors by field [FORMATS-VTD C2], 128 or 256 bits wide.

import IOMMU

/// One descriptor as the guest would put it into its queue.
package struct Descriptor: Hashable, Sendable, CustomStringConvertible {
    package var words: [UInt64]

    package init(_ low: UInt64, _ high: UInt64 = 0) {
        words = [low, high]
    }

    /// The same in the width that a mode asks for: 256 bits in scalable mode.
    package func widened(_ isWide: Bool = true) -> Descriptor {
        var copy = self
        copy.words = isWide ? (words + [0, 0]).prefix(4).map { $0 } : words.prefix(2).map { $0 }
        return copy
    }

    package var isWide: Bool { words.count == 4 }

    package var description: String { words.map(hex).joined(separator: " ") }

    /// As the engine takes it.
    package var native: InvalidationDescriptor {
        isWide
            ? InvalidationDescriptor(words[0], words[1], words[2], words[3])
            : InvalidationDescriptor(words[0], words[1])
    }

    // MARK: Context cache (type 1)

    package static let contextGlobal = Descriptor(0x1 | 1 << 4)

    package static func contextDomain(_ domain: UInt64) -> Descriptor {
        Descriptor(0x1 | 2 << 4 | domain << 16)
    }

    /// `mask` is FM: how many of the function's three bits are not compared (0: none, 1: bit 2, 2: bits 2:1, 3: all).
    package static func contextDevice(_ domain: UInt64, source: UInt16, mask: UInt64 = 0) -> Descriptor {
        Descriptor(0x1 | 3 << 4 | domain << 16 | UInt64(source) << 32 | mask << 48)
    }

    // MARK: IOTLB (type 2)

    package static let iotlbGlobal = Descriptor(0x2 | 1 << 4)

    package static func iotlbDomain(_ domain: UInt64) -> Descriptor {
        Descriptor(0x2 | 2 << 4 | domain << 16)
    }

    /// The 2^`mask` pages around `address`; `isLeafOnly` is IH.
    package static func iotlbPages(
        _ domain: UInt64, at address: UInt64, mask: UInt64 = 0, isLeafOnly: Bool = false
    ) -> Descriptor {
        Descriptor(0x2 | 3 << 4 | domain << 16, (address & ~0xfff) | (isLeafOnly ? 1 << 6 : 0) | mask)
    }

    // MARK: PASID-based IOTLB (type 6)

    package static func pasidIOTLB(_ domain: UInt64, pasid: UInt32) -> Descriptor {
        Descriptor(0x6 | 2 << 4 | domain << 16 | UInt64(pasid) << 32)
    }

    package static func pasidIOTLBPages(
        _ domain: UInt64, pasid: UInt32, at address: UInt64, mask: UInt64 = 0, isLeafOnly: Bool = false
    ) -> Descriptor {
        Descriptor(
            0x6 | 3 << 4 | domain << 16 | UInt64(pasid) << 32,
            (address & ~0xfff) | (isLeafOnly ? 1 << 6 : 0) | mask)
    }

    // MARK: PASID cache (type 7)

    package static func pasidCacheDomain(_ domain: UInt64) -> Descriptor {
        Descriptor(0x7 | 0 << 4 | domain << 16)
    }

    package static func pasidCache(_ domain: UInt64, pasid: UInt32) -> Descriptor {
        Descriptor(0x7 | 1 << 4 | domain << 16 | UInt64(pasid) << 32)
    }

    package static let pasidCacheGlobal = Descriptor(0x7 | 3 << 4)
}
