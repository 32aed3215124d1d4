// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The tests notice broken rules: for every mutant (debug.h) the trials and cases that the table of mutants names find something
// wrong. `make mutants` does the same without Swift and tells how fast.

import CIOMMUProbe
import Testing

/// A row of the table of mutants (mutant_probe.h).
struct MutantRow: Sendable, CustomTestStringConvertible {
    var number: UInt32

    static let all = probe_has_mutants() ? (0..<probe_mutant_row_count()).map(MutantRow.init) : []

    var testDescription: String {
        let row = unsafe probe_mutant_row(number).pointee
        let noticer = unsafe String(cString: row.trial ?? row.noticed_case)
        return unsafe "\(String(cString: row.mutant)), noticed by \"\(noticer)\""
    }

    func run(milliseconds: UInt32, seed: UInt64) -> probe_mutant_outcome {
        var outcome = probe_mutant_outcome()
        let status = unsafe probe_mutant_run(probe_mutant_row(number), false, seed, milliseconds, &outcome)
        #expect(status == 0)
        return outcome
    }
}

@Suite(.serialized)
struct MutantTests {
    @Test(.enabled(if: probe_has_mutants()), arguments: MutantRow.all)
    func aBrokenRuleIsNoticed(_ row: MutantRow) {
        let seed = seed()
        let outcome = row.run(milliseconds: 120_000, seed: seed)
        #expect(
            outcome.violations > 0, "not noticed in \(outcome.operations) operations; IOMMU_TEST_SEED=\(seed) replays")
    }

    @Test func everyMutantHasATest() {
        let missing = unsafe probe_mutant_without_row().map { unsafe String(cString: $0) }
        #expect(missing == nil)
    }
}
