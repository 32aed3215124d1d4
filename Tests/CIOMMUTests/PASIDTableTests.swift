// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The two-level table from PASIDs to pointers, beside a plain array and under threads. IOMMU_TEST_SEED replays.

import CIOMMUProbe
import Testing

@Suite(.serialized)
struct PASIDTableTests {
    /// The probe empties the table before its end if the seed is even.
    @Test(arguments: [false, true])
    func aTableAnswersLikeAnArray(endsEmpty: Bool) {
        let seed = testSeed() << 1 | (endsEmpty ? 0 : 1)
        var refused: UInt64 = 0
        let errors = unsafe probe_pasid_table_errors(seed, 12_000, &refused)
        #expect(errors == 0, "seed \(seed)")
        #expect(refused > 0 || !probe_has_mutants())
    }

    @Test func readersNeverMissWhatIsAlwaysThere() {
        let seed = testSeed()
        var lookups: UInt64 = 0
        let errors = unsafe probe_pasid_table_race_errors(seed, 700, &lookups)
        #expect(errors == 0, "seed \(seed)")
        #expect(lookups > 0)
    }
}
