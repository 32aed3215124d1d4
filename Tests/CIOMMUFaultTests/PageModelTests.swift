// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Random steps of page requests against the plain model of page_model.c, and threads that ask, answer and detach.

import CIOMMUProbe
import Foundation
import Testing

/// `IOMMU_TEST_SEED`, or a new seed for every run.
private func pageSeed() -> UInt64 {
    if let text = ProcessInfo.processInfo.environment["IOMMU_TEST_SEED"], let value = UInt64(text) {
        return value
    }
    return UInt64.random(in: 1...UInt64(UInt32.max))
}

private let isLong = ProcessInfo.processInfo.environment["IOMMU_LONG_TESTS"] == "1"

/// A stress world, with the number of its rounds.
struct PageWorld: Sendable, CustomTestStringConvertible {
    var kind: probe_page_stress
    var name: String
    var rounds: UInt64

    var testDescription: String { name }

    static let all = [
        PageWorld(kind: PROBE_PAGE_DETACH, name: "detach", rounds: 100_000),
        PageWorld(kind: PROBE_PAGE_RESPOND, name: "respond", rounds: 5_000),
        PageWorld(kind: PROBE_PAGE_ENDS, name: "ends", rounds: 20_000),
    ]

    /// - Parameter limit: Milliseconds; 0 for none.
    func run(seed: UInt64, limit: UInt32 = 0, widen: Bool = false) -> probe_page_totals {
        var options = probe_page_options()
        options.kind = kind.rawValue
        options.rounds = isLong ? rounds * 20 : rounds
        options.milliseconds = limit
        options.seed = seed
        options.widen = widen
        var totals = probe_page_totals()
        let status = unsafe probe_page_stress(&options, &totals)
        #expect(status == 0)
        return totals
    }
}

@Suite(.serialized)
struct PageModelTests {
    @Test func aModelAgrees() {
        let seed = pageSeed()
        for offset in 0..<4 {
            var result = probe_page_result()
            unsafe probe_page_model(seed &+ UInt64(offset), isLong ? 2_000_000 : 100_000, 0, &result)
            let outcome = PageOutcome(result)
            #expect(outcome.failures == 0, "\(outcome.first); IOMMU_TEST_SEED=\(seed &+ UInt64(offset)) replays")
        }
    }

    @Test(arguments: PageWorld.all)
    func everyGroupIsAnsweredOnce(_ world: PageWorld) {
        let seed = pageSeed()
        for widen in [false, true] {
            // As many rounds as there is time; widened races take naps. Some hundred thousand groups meet an end.
            let totals = world.run(seed: seed, limit: isLong ? 0 : widen ? 2_000 : 15_000, widen: widen)
            let first = unsafe withUnsafeBytes(of: totals.first) { bytes in
                unsafe String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            #expect(totals.violations == 0, "\(first); IOMMU_TEST_SEED=\(seed) replays")
            #expect(totals.groups == totals.answers && totals.groups > 0 && totals.responses > 0)
            #expect(totals.cancelled > 0 || world.kind == PROBE_PAGE_RESPOND)
        }
    }
}
