// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Whatever the engine asks the system for can be refused: memory, a thread, a descriptor. The cases are C (inject_probe.h),
// because only the kernel's debug build can refuse.

import CIOMMUProbe
import Testing

/// A case of `inject_probe.h`: a call that needs memory.
struct InjectionCase: Sendable, CustomTestStringConvertible {
    var number: UInt32

    static let all = (0..<probe_inject_count()).map(InjectionCase.init)

    var testDescription: String { unsafe String(cString: probe_inject_name(number)) }
}

extension probe_inject_result {
    /// What the first failed expectation was.
    var firstFailure: String {
        let bytes = unsafe withUnsafeBytes(of: first) { unsafe Array($0.prefix { $0 != 0 }) }
        return String(decoding: bytes, as: UTF8.self)
    }
}

@Suite(.serialized, .enabled(if: probe_has_mutants()))
struct FaultInjectionTests {
    @Test(arguments: InjectionCase.all)
    func aRefusedRequestChangesNothing(_ probe: InjectionCase) {
        var result = probe_inject_result()
        unsafe probe_inject_case(probe.number, &result)
        #expect(result.failures == 0, "\(result.firstFailure)")
        #expect(result.refusals >= 5, "each round is refused something, but what an object keeps")
    }

    @Test func whatNeedsNothingGoesOnWithoutIt() {
        var result = probe_inject_result()
        unsafe probe_inject_nothing(&result)
        #expect(result.failures == 0, "\(result.firstFailure)")
    }
}
