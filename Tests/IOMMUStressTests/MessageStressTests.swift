// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Devices raise entries of a message store beside threads that change them: no interrupt is signalled with a PASID or a message that
// is gone, and none is lost. With a rule broken, the same run shows it. IOMMU_LONG_TESTS=1 runs the sound ones longer, ten million
// deliveries at least.

import CIOMMUProbe
import Testing

/// The rules of message stores that this world shows broken.
let messageMutants = ["MESSAGE_ARMED_EARLY", "MESSAGE_NO_DRAIN"]

@Suite(.serialized)
struct MessageStressTests {
    private func run(
        mutant: UInt32 = 0, raisers: UInt32 = 3, changers: UInt32 = 2, remapped: Bool = false, portable: Bool = false,
        widen: Bool = true, milliseconds: UInt32, deliveries: UInt64 = 0, seed: UInt64
    ) -> probe_message_totals {
        var options = probe_message_options()
        options.mutant = mutant
        options.raisers = raisers
        options.changers = changers
        options.milliseconds = milliseconds
        options.deliveries = deliveries
        options.seed = seed
        options.remapped = remapped
        options.portable = portable
        options.widen = widen
        var totals = probe_message_totals()
        let status = unsafe probe_message_stress(&options, &totals)
        #expect(status == 0)
        return totals
    }

    @Test(arguments: [(false, false), (false, true), (true, false), (true, true)], [true, false])
    func noInterruptIsStaleOrLost(kind: (remapped: Bool, portable: Bool), widen: Bool) {
        let seed = seed()
        let totals = run(
            raisers: widen ? 3 : 2, remapped: kind.remapped, portable: kind.portable, widen: widen,
            milliseconds: isLong ? 10_000 : 500, deliveries: isLong ? 10_000_000 : 0, seed: seed)
        #expect(totals.violations == 0, "\(totals.firstViolation); IOMMU_TEST_SEED=\(seed) replays")
        #expect(totals.delivered > 0)
        #expect(totals.changes > 0)
        #expect(totals.pending > 0)
    }

    @Test(.enabled(if: probe_has_mutants()), arguments: messageMutants)
    func aBrokenRuleIsNoticed(rule: String) {
        let seed = seed()
        let mutant = unsafe probe_mutant_number(rule)
        let totals = run(mutant: mutant, milliseconds: 120_000, seed: seed)
        #expect(
            totals.violations > 0, "not noticed in \(totals.deliveries) deliveries; IOMMU_TEST_SEED=\(seed) replays")
    }
}

extension probe_message_totals {
    /// What the first violation was.
    var firstViolation: String {
        let bytes = unsafe withUnsafeBytes(of: first) { unsafe Array($0.prefix { $0 != 0 }) }
        return String(decoding: bytes, as: UTF8.self)
    }
}
