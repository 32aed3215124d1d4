// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Cases of the protocol that are the same every time: what an answer may grant, what must be gone after a change, and the orders of
// steps that the protocol's rules are about. The other cases of the registry (case_probe.h) have suites of their own.

import CIOMMUProbe
import Testing

/// A row of the registry of cases.
struct Case: Sendable, CustomTestStringConvertible {
    var number: UInt32

    static let groups = ["rights: ", "caches: ", "schedules: ", "reports: "]
    static let all = (0..<probe_case_count()).map(Case.init).filter { row in
        groups.contains { row.testDescription.hasPrefix($0) }
    }

    var testDescription: String {
        let bytes = unsafe [CChar](unsafeUninitializedCapacity: 200) { buffer, count in
            unsafe probe_case_name(number, buffer.baseAddress, 200)
            count = 200
        }
        return String(decoding: bytes.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
    }
}

@Suite(.serialized)
struct CaseTests {
    @Test(arguments: Case.all)
    func everyExpectationHolds(_ row: Case) {
        var result = probe_case_result()
        unsafe probe_case_run(row.number, 0, &result)
        let first = unsafe withUnsafeBytes(of: result.first) { unsafe Array($0.prefix { $0 != 0 }) }
        #expect(result.failures == 0, "\(String(decoding: first, as: UTF8.self))")
    }
}
