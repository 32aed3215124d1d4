// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The contract of fault queues (ciommu_faults.h): who gets what, in which order, and how losses are told. The cases are C
// (fault_probe.h), because notices come on threads of the engine.

import CIOMMUProbe
import Foundation
import Testing

/// A case of `fault_probe.h`.
struct FaultCase: Sendable, CustomTestStringConvertible {
    var number: UInt32

    static let all = (0..<probe_fault_count()).map(FaultCase.init)

    var testDescription: String { unsafe String(cString: probe_fault_name(number)) }

    func run() -> probe_fault_result {
        var result = probe_fault_result()
        unsafe probe_fault_case(number, &result)
        return result
    }
}

extension probe_fault_result {
    /// What the first failed expectation was.
    var firstFailure: String {
        let bytes = unsafe withUnsafeBytes(of: first) { unsafe Array($0.prefix { $0 != 0 }) }
        return String(decoding: bytes, as: UTF8.self)
    }
}

@Suite(.serialized)
struct FaultQueueTests {
    @Test(arguments: FaultCase.all)
    func everyExpectationHolds(_ probe: FaultCase) {
        let result = probe.run()
        #expect(result.failures == 0, "\(result.firstFailure)")
    }

    @Test func queuesDoWhatAListDoes() {
        let environment = ProcessInfo.processInfo.environment
        let given = environment["IOMMU_TEST_SEED"].flatMap(UInt64.init)
        let first = given ?? UInt64.random(in: 1...UInt64(UInt32.max))
        let runs: UInt64 = given != nil ? 1 : environment["IOMMU_LONG_TESTS"] == "1" ? 1_000 : 20
        for seed in first..<first + runs {
            var result = probe_fault_result()
            unsafe probe_fault_model(seed, 20_000, &result)
            #expect(result.failures == 0, "\(result.firstFailure); IOMMU_TEST_SEED=\(seed) replays")
        }
    }

    @Test(.enabled(if: probe_has_mutants())) func aFailedAllocationLeavesNothing() {
        var lives: UInt32 = 0
        let errors = unsafe probe_fault_failure_errors(&lives)
        #expect(errors == 0)
        #expect(lives > 10 && lives < 1_000)
    }
}
