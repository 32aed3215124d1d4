// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Faults of 64 devices in many threads: each arrives once, at its owner, in order, or is told as lost. With a rule broken,
// the same run shows it. IOMMU_LONG_TESTS=1 runs the sound ones longer.

import CIOMMUProbe
import Testing

let faultMutants = ["FAULT_SLOT_FREED_EARLY", "FAULT_LIMIT_LATE"]

/// How a run differs from the plain one.
struct FaultStress: Sendable, CustomTestStringConvertible {
    var testDescription: String
    var readers: UInt32 = 2
    var threads: UInt32 = 8
    var ring: UInt32 = 256
    var quota: UInt32 = 64
    var flood = false
    var churn = false
    var widen = false

    func run(mutant: String? = nil, milliseconds: UInt32, seed: UInt64) -> probe_fault_totals {
        var options = probe_fault_options()
        options.mutant = mutant.map { unsafe probe_mutant_number($0) } ?? 0
        options.threads = threads
        options.readers = readers
        options.milliseconds = milliseconds
        options.ring = ring
        options.quota = quota
        options.seed = seed
        options.flood = flood
        options.churn = churn
        options.widen = widen
        var totals = probe_fault_totals()
        let status = unsafe probe_fault_stress(&options, &totals)
        #expect(status == 0)
        return totals
    }
}

private let soundRuns = [
    FaultStress(testDescription: "polled"),
    FaultStress(testDescription: "notices", readers: 0),
    FaultStress(testDescription: "polled beside a flood", flood: true),
    FaultStress(testDescription: "notices beside a flood", readers: 0, flood: true),
    FaultStress(testDescription: "small rings and quotas", readers: 1, ring: 128, quota: 2, flood: true),
    FaultStress(testDescription: "ports, a device and its queue come and go", churn: true),
    FaultStress(testDescription: "the same beside a flood, with notices", readers: 0, flood: true, churn: true),
    FaultStress(testDescription: "with wide races", churn: true, widen: true),
]

@Suite(.serialized)
struct FaultStressTests {
    @Test(arguments: soundRuns)
    func everyFaultIsAccountedFor(_ stress: FaultStress) {
        let seed = seed()
        let totals = stress.run(milliseconds: isLong ? 30_000 : 1_000, seed: seed)
        #expect(totals.violations == 0, "\(totals.firstViolation); IOMMU_TEST_SEED=\(seed) replays")
        #expect(totals.faults > 0)
        #expect(totals.received > 0)
        if stress.flood && !stress.churn {
            #expect(totals.lost > 0)
            #expect(totals.quiet_lost == 0, "a flood has taken the places of others; IOMMU_TEST_SEED=\(seed) replays")
        }
    }

    @Test(.enabled(if: probe_has_mutants()), arguments: faultMutants)
    func aBrokenRuleIsNoticed(rule: String) {
        let seed = seed()
        let isRing = rule == "FAULT_SLOT_FREED_EARLY"
        // A ring of 64 keeps no places: it fills to its last slot, which is what the rule is about.
        let stress = FaultStress(testDescription: rule, ring: isRing ? 64 : 256, flood: isRing, widen: true)
        let totals = stress.run(mutant: rule, milliseconds: 120_000, seed: seed)
        #expect(totals.violations > 0, "not noticed in \(totals.faults) faults; IOMMU_TEST_SEED=\(seed) replays")
    }
}

extension probe_fault_totals {
    /// What the first violation was.
    var firstViolation: String {
        let bytes = unsafe withUnsafeBytes(of: first) { unsafe Array($0.prefix { $0 != 0 }) }
        return String(decoding: bytes, as: UTF8.self)
    }
}
