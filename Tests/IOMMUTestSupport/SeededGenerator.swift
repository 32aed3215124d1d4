// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A random source that can be replayed: the same seed gives the same test. Set IOMMU_TEST_SEED to the number that a failing
// test printed. Not for anything that needs good randomness.

import Foundation

/// SplitMix64 with its seed kept, so that a failure can name it.
package struct SeededGenerator: RandomNumberGenerator, Sendable {
    /// The number to replay this run with.
    package let seed: UInt64
    private var state: UInt64

    package init(seed: UInt64) {
        self.seed = seed
        state = seed
    }

    /// The generator of one test: seeded by IOMMU_TEST_SEED (decimal, or hexadecimal after 0x), else afresh.
    package static func forTest() -> SeededGenerator {
        SeededGenerator(seed: replayedSeed ?? UInt64.random(in: 0...0xffff_ffff))
    }

    /// What IOMMU_TEST_SEED says, if anything.
    package static var replayedSeed: UInt64? {
        guard let text = ProcessInfo.processInfo.environment["IOMMU_TEST_SEED"] else { return nil }
        return text.hasPrefix("0x") ? UInt64(text.dropFirst(2), radix: 16) : UInt64(text)
    }

    package mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
        return mixed ^ (mixed >> 31)
    }

    /// A number from 0 up to, not including, `bound`.
    package mutating func below(_ bound: Int) -> Int {
        Int(next() % UInt64(bound))
    }

    /// True once in `count` times on average.
    package mutating func oneIn(_ count: Int) -> Bool {
        below(count) == 0
    }

    /// Any element of a collection that is not empty.
    package mutating func pick<Element>(_ elements: [Element]) -> Element {
        elements[below(elements.count)]
    }
}
