// SPDX-License-Identifier: LGPL-2.1-or-later
//
// PASID namespaces under stress: what a section looked up stays its own until it ends. With the rule broken, the same run shows it.
// IOMMU_LONG_TESTS=1 runs the sound ones longer.

import CIOMMUProbe
import Foundation
import Testing

/// How long a drain waits: for ever, less than the longest sections take, not at all.
enum DrainPatience: UInt64, CaseIterable, Sendable {
    case long = 60_000_000_000
    case short = 100_000
    case none = 0
}

@Suite(.serialized)
struct NamespaceStressTests {
    private let seed: UInt64 = {
        let text = ProcessInfo.processInfo.environment["IOMMU_TEST_SEED"]
        return text.flatMap(UInt64.init) ?? UInt64.random(in: 1...UInt64(UInt32.max))
    }()

    private func run(
        _ rule: probe_namespace_rule, _ patience: DrainPatience, milliseconds: UInt32
    ) -> probe_namespace_result {
        var options = probe_namespace_options()
        options.rule = rule.rawValue
        options.readers = 3
        options.binders = 2
        options.milliseconds = milliseconds
        options.drain_timeout = patience.rawValue
        options.seed = seed
        var result = probe_namespace_result()
        let status = unsafe probe_namespace_stress(&options, &result)
        #expect(status == 0)
        return result
    }

    @Test(arguments: DrainPatience.allCases)
    func whatASectionFoundIsNotGivenAway(patience: DrainPatience) {
        let isLong = ProcessInfo.processInfo.environment["IOMMU_LONG_TESTS"] == "1"
        let result = run(PROBE_NAMESPACE_SOUND, patience, milliseconds: isLong ? 30_000 : 1_000)
        #expect(result.violations == 0, "\(result.firstViolation); IOMMU_TEST_SEED=\(seed) replays")
        #expect(result.lookups > 0)
        #expect(result.binds > 0)
        #expect(result.drained > 0 || patience == .none)
        #expect((result.timeouts > 0) == (patience != .long))
    }

    @Test(
        .enabled(if: probe_has_mutants()),
        arguments: [
            (PROBE_NAMESPACE_REUSED_EARLY.rawValue, DrainPatience.long),
            (PROBE_NAMESPACE_QUARANTINE_IGNORED.rawValue, .short),
        ])
    func aBrokenRuleIsNoticed(rule: UInt32, patience: DrainPatience) {
        let result = run(probe_namespace_rule(rawValue: rule), patience, milliseconds: 120_000)
        #expect(result.violations > 0, "not noticed in \(result.lookups) lookups; IOMMU_TEST_SEED=\(seed) replays")
    }
}

extension probe_namespace_result {
    /// What the first violation was.
    var firstViolation: String {
        let bytes = unsafe withUnsafeBytes(of: first) { unsafe Array($0.prefix { $0 != 0 }) }
        return String(decoding: bytes, as: UTF8.self)
    }
}
