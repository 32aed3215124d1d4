// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The contract of page requests (ciommu_pages.h): groups, rules, limits, overflow, answers, ends. The cases are C
// (page_probe.h), because answers come from callbacks and threads.

import CIOMMUProbe
import Testing

/// A case of `page_probe.h`.
struct PageCase: Sendable, CustomTestStringConvertible {
    var number: UInt32

    static let all = (0..<probe_page_count()).map(PageCase.init)

    var testDescription: String { unsafe String(cString: probe_page_name(number)) }

    func run() -> PageOutcome {
        var result = probe_page_result()
        unsafe probe_page_case(number, 0, &result)
        return PageOutcome(result)
    }
}

/// How many expectations failed, and the first of them.
struct PageOutcome {
    var failures: UInt32
    var first: String

    init(_ result: probe_page_result) {
        failures = result.failures
        first = unsafe withUnsafeBytes(of: result.first) { bytes in
            unsafe String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
        }
    }
}

@Suite(.serialized)
struct PageCaseTests {
    @Test(arguments: PageCase.all)
    func everyExpectationHolds(_ probe: PageCase) {
        let outcome = probe.run()
        #expect(outcome.failures == 0, "\(outcome.first)")
    }
}
