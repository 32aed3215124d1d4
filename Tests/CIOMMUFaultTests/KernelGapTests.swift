// SPDX-License-Identifier: LGPL-2.1-or-later
//
// What no other test of the kernel comes by (gap_probe.h): refused arguments, neighbours in a bucket, ends of tables.

import CIOMMUProbe
import Testing

/// A case of `gap_probe.h`.
struct GapCase: Sendable, CustomTestStringConvertible {
    var number: UInt32

    static let all = (0..<probe_gap_count()).map(GapCase.init)

    var testDescription: String { unsafe String(cString: probe_gap_name(number)) }
}

@Suite(.serialized)
struct KernelGapTests {
    @Test(arguments: GapCase.all)
    func everyExpectationHolds(_ probe: GapCase) {
        var result = probe_inject_result()
        unsafe probe_gap_case(probe.number, &result)
        #expect(result.failures == 0, "\(result.firstFailure)")
    }
}
