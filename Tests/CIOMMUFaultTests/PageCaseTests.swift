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

    static func named(_ name: String) -> PageCase {
        guard let found = all.first(where: { $0.testDescription == name }) else {
            preconditionFailure("no case \(name)")
        }
        return found
    }

    var testDescription: String { unsafe String(cString: probe_page_name(number)) }

    func run(mutant: String? = nil) -> PageOutcome {
        var result = probe_page_result()
        unsafe probe_page_case(number, mutant.map { unsafe probe_mutant_number($0) } ?? 0, &result)
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

    @Test(
        .enabled(if: probe_has_mutants()),
        arguments: [
            ("PAGE_ANSWERED_TWICE", "a group is answered once"),
            ("PAGE_ANSWERED_TWICE", "one of many responders wins"),
            ("PAGE_CANCEL_FIRST", "no request slips through a detach"),
        ])
    func aBrokenRuleIsNoticed(rule: String, probe: String) {
        #expect(PageCase.named(probe).run(mutant: rule).failures > 0)
    }
}
