// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Every randomised run of the kernel's tests, for a moment: readers verify what they get beside threads that change it, models and
// races of single structures. Sound, none shows a wrong answer, and each shows something. IOMMU_LONG_TESTS=1 runs them longer;
// `make soak` runs the same ones without Swift, for as long as wanted.

import CIOMMUProbe
import Testing

/// A row of the registry of trials (trial_probe.h).
struct Trial: Sendable, CustomTestStringConvertible {
    var number: UInt32

    static let all = (0..<probe_trial_count()).map(Trial.init)

    var testDescription: String { unsafe String(cString: probe_trial(number).pointee.name) }

    func run(milliseconds: UInt32, seed: UInt64) -> probe_trial_result {
        var options = probe_trial_options(seed: seed, milliseconds: milliseconds, mutant: 0)
        var result = probe_trial_result()
        let trial = unsafe probe_trial(number)!
        let status = unsafe trial.pointee.run(trial, &options, &result)
        #expect(status == 0)
        return result
    }
}

extension probe_trial_result {
    /// What the first violation was.
    var firstViolation: String {
        let bytes = unsafe withUnsafeBytes(of: first) { unsafe Array($0.prefix { $0 != 0 }) }
        return String(decoding: bytes, as: UTF8.self)
    }
}

@Suite(.serialized)
struct TrialTests {
    @Test(arguments: Trial.all)
    func nothingIsWrong(_ trial: Trial) {
        let seed = seed()
        let result = trial.run(milliseconds: isLong ? 30_000 : 100, seed: seed)
        #expect(result.violations == 0, "\(result.firstViolation); IOMMU_TEST_SEED=\(seed) replays")
        #expect(result.operations > 0)
    }

    @Test func namesAreUnique() {
        #expect(Set(Trial.all.map(\.testDescription)).count == Trial.all.count)
    }
}
