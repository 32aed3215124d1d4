// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Interrupt remapping and message stores (ciommu_interrupts.h), field by field and state by state. The cases are C
// (message_probe.h), because they share the calls and the hooks of the stress world.

import CIOMMUProbe
import Testing

/// A case of `message_probe.h`.
struct MessageCase: Sendable, CustomTestStringConvertible {
    var number: UInt32

    static let all = (0..<probe_message_count()).map(MessageCase.init)

    var testDescription: String { unsafe String(cString: probe_message_name(number)) }

    /// How many expectations failed, and the first of them.
    func run(portable: Bool) -> (failures: UInt32, first: String) {
        var result = probe_message_result()
        unsafe probe_message_case(number, 0, portable, &result)
        let first = unsafe withUnsafeBytes(of: result.first) { unsafe Array($0.prefix { $0 != 0 }) }
        return (result.failures, String(decoding: first, as: UTF8.self))
    }
}

@Suite(.serialized)
struct MessageTests {
    @Test(arguments: MessageCase.all, [false, true])
    func everyExpectationHolds(_ probe: MessageCase, portable: Bool) {
        let (failures, first) = probe.run(portable: portable)
        #expect(failures == 0, "\(first)")
    }

    @Test(.enabled(if: probe_has_mutants()))
    func onlyMakingNeedsMemory() {
        var lives: UInt32 = 0
        #expect(unsafe probe_message_failure_errors(&lives) == 0)
        #expect(lives > 2)
    }
}
