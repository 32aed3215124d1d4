// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The checker of histories: its rule at every border, and calls made of random bytes that it judges. The trials that it judges run
// with all others.

import CIOMMUProbe
import Foundation
import Testing

@Suite(.serialized)
struct HistoryTests {
    private let seed: UInt64 = {
        let text = ProcessInfo.processInfo.environment["IOMMU_TEST_SEED"]
        return text.flatMap(UInt64.init) ?? UInt64.random(in: 1...UInt64(UInt32.max))
    }()

    @Test func theRuleJudgesHandWrittenHistories() {
        var checked: UInt32 = 0
        var first = [CChar](repeating: 0, count: 400)
        let wrong = unsafe first.withUnsafeMutableBufferPointer {
            unsafe probe_history_case_errors(&checked, $0.baseAddress, $0.count)
        }
        #expect(wrong == 0, "\(text(of: first))")
        #expect(checked > 40)
    }

    @Test func callsFromBytesAreAnsweredRightly() {
        let inputs = ProcessInfo.processInfo.environment["IOMMU_LONG_TESTS"] == "1" ? 20_000 : 200
        var random = SplitMix(state: seed)
        for number in 0..<inputs {
            let bytes = (0..<Int(random.next() % 400)).map { _ in UInt8(truncatingIfNeeded: random.next() >> 24) }
            var first = [CChar](repeating: 0, count: 400)
            let fine = unsafe first.withUnsafeMutableBufferPointer { text in
                unsafe bytes.withUnsafeBufferPointer {
                    unsafe probe_history_bytes($0.baseAddress, $0.count, text.baseAddress, text.count)
                }
            }
            #expect(fine, "\(text(of: first)); input \(number), IOMMU_TEST_SEED=\(seed) replays")
            if !fine {
                return
            }
        }
    }

    private func text(of characters: [CChar]) -> String {
        String(decoding: characters.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}

/// The same bytes from the same seed.
private struct SplitMix: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
        return mixed ^ (mixed >> 31)
    }
}
