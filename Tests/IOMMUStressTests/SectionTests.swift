// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Threads that sleep, exit or are cancelled: outside a section nobody waits for them; inside one the deadline names their port,
// nothing is claimed, and everything goes on when the section ends. The cases are C (stress_probe.h).

import CIOMMUProbe
import Testing

/// A case of `stress_probe.h`.
struct SectionCase: Sendable, CustomTestStringConvertible {
    var number: UInt32

    static let all = (0..<probe_section_count()).map(SectionCase.init)

    var testDescription: String { unsafe String(cString: probe_section_name(number)) }
}

@Suite(.serialized)
struct SectionTests {
    @Test(arguments: SectionCase.all)
    func everyExpectationHolds(_ probe: SectionCase) {
        var result = probe_section_result()
        unsafe probe_section_case(probe.number, &result)
        let bytes = unsafe withUnsafeBytes(of: result.first) { unsafe Array($0.prefix { $0 != 0 }) }
        #expect(result.failures == 0, "\(String(decoding: bytes, as: UTF8.self))")
    }
}
