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

    var testDescription: String { unsafe String(cString: probe_device_tlb_name(number)) }

    /// How many expectations failed, and the first of them.
    func run() -> (failures: UInt32, first: String) {
        var result = probe_device_tlb_result()
        unsafe probe_device_tlb_case(number, 0, &result)
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
}
