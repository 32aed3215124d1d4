// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Devices that use what they cached, beside unmaps, replaces, detaches and resets: nobody reads what is gone, whether devices
// answer or not. With a rule broken, the same run shows it. IOMMU_LONG_TESTS=1 runs the sound ones longer.

import CIOMMUProbe
import Testing

/// The rules of device-TLBs that this world shows broken, and those with a deterministic case of their own (DeviceTLBTests).
let deviceTLBMutants = ["TLB_NOT_BLOCKED", "TLB_BEFORE_DRAIN", "TOKEN_UNCHECKED"]
let deterministicDeviceTLBMutants = ["TLB_LATE_ACCEPTED"]

func deviceTLBMutant(_ name: String) -> UInt32 {
    let mutant = unsafe probe_mutant_number(name)
    precondition(mutant != 0, "no mutant \(name)")
    return mutant
}

@Suite(.serialized)
struct DeviceTLBStressTests {
    private func run(
        mutant: UInt32 = 0, devices: UInt32 = 3, silent: Bool, nested: Bool = false, late: Bool = false,
        milliseconds: UInt32, seed: UInt64
    ) -> probe_device_tlb_totals {
        var options = probe_device_tlb_options()
        options.mutant = mutant
        options.devices = devices
        options.milliseconds = milliseconds
        options.seed = seed
        options.silent = silent
        options.nested = nested
        options.late = late
        options.widen = true
        var totals = probe_device_tlb_totals()
        let status = unsafe probe_device_tlb_stress(&options, &totals)
        #expect(status == 0)
        return totals
    }

    @Test(arguments: [false, true], [false, true])
    func noDeviceUsesWhatIsGone(silent: Bool, nested: Bool) {
        let seed = seed()
        let totals = run(
            devices: nested ? 2 : 6, silent: silent, nested: nested, milliseconds: isLong ? 30_000 : 1_000, seed: seed)
        #expect(totals.violations == 0, "\(totals.firstViolation); IOMMU_TEST_SEED=\(seed) replays")
        #expect(totals.uses > 0)
        #expect(totals.changes > 0)
        #expect(totals.requests > 0)
        #expect(silent || totals.timeouts == 0)
    }

    /// Devices that store what they are answered in a later section, if its token is still good.
    @Test(arguments: [false, true], [false, true])
    func noDeviceStoresWhatIsGone(silent: Bool, nested: Bool) {
        let seed = seed()
        let totals = run(
            silent: silent, nested: nested, late: true, milliseconds: isLong ? 30_000 : 1_000, seed: seed)
        #expect(totals.violations == 0, "\(totals.firstViolation); IOMMU_TEST_SEED=\(seed) replays")
        #expect(totals.uses > 0)
        #expect(totals.stored > 0)
        #expect(totals.refused > 0)
    }

    @Test(.enabled(if: probe_has_mutants()), arguments: deviceTLBMutants)
    func aBrokenRuleIsNoticed(rule: String) {
        let seed = seed()
        let totals = run(
            mutant: deviceTLBMutant(rule), silent: rule == "TLB_NOT_BLOCKED", late: rule == "TOKEN_UNCHECKED",
            milliseconds: 120_000, seed: seed)
        #expect(totals.violations > 0, "not noticed in \(totals.uses) uses; IOMMU_TEST_SEED=\(seed) replays")
    }
}

extension probe_device_tlb_totals {
    /// What the first violation was.
    var firstViolation: String {
        let bytes = unsafe withUnsafeBytes(of: first) { unsafe Array($0.prefix { $0 != 0 }) }
        return String(decoding: bytes, as: UTF8.self)
    }
}
