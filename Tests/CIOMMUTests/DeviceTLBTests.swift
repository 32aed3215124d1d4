// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The contract of device-TLBs (ciommu_invalidation.h): who is asked what, what an answer is worth, who is blocked and what is
// reported. The cases are C (device_tlb_probe.h), because devices answer from callbacks, threads and sections.

import CIOMMUProbe
import Testing

/// A case of `device_tlb_probe.h`.
struct DeviceTLBCase: Sendable, CustomTestStringConvertible {
    var number: UInt32

    static let all = (0..<probe_device_tlb_count()).map(DeviceTLBCase.init)

    static func named(_ name: String) -> DeviceTLBCase {
        guard let found = all.first(where: { $0.testDescription == name }) else {
            preconditionFailure("no case \(name)")
        }
        return found
    }

    var testDescription: String { unsafe String(cString: probe_device_tlb_name(number)) }

    /// How many expectations failed, and the first of them.
    func run(mutant: String? = nil) -> (failures: UInt32, first: String) {
        var result = probe_device_tlb_result()
        unsafe probe_device_tlb_case(number, mutant.map { unsafe probe_mutant_number($0) } ?? 0, &result)
        let first = unsafe withUnsafeBytes(of: result.first) { unsafe Array($0.prefix { $0 != 0 }) }
        return (result.failures, String(decoding: first, as: UTF8.self))
    }
}

@Suite(.serialized)
struct DeviceTLBTests {
    @Test(arguments: DeviceTLBCase.all)
    func everyExpectationHolds(_ probe: DeviceTLBCase) {
        let (failures, first) = probe.run()
        #expect(failures == 0, "\(first)")
    }

    @Test(
        .enabled(if: probe_has_mutants()),
        arguments: [
            ("TLB_NOT_BLOCKED", "silence blocks, a retry unblocks"),
            ("TLB_BEFORE_DRAIN", "devices are asked after sections"),
            ("TLB_LATE_ACCEPTED", "a late answer ends no newer request"),
            ("NO_DRAIN", "devices are asked after sections"),
            ("TOKEN_UNCHECKED", "tokens die"),
            ("TOKEN_UNCHECKED", "tokens of nested domains"),
            ("NO_DRAIN", "what is stored by token is asked for"),
        ])
    func aBrokenRuleIsNoticed(rule: String, probe: String) {
        #expect(DeviceTLBCase.named(probe).run(mutant: rule).failures > 0)
    }
}
