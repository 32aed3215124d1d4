// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Many threads apply batches beside ports that translate: no answer is older than what was complete. IOMMU_LONG_TESTS=1 goes on
// for longer.

import CIOMMUProbe
import Foundation
import Testing

let isLong = ProcessInfo.processInfo.environment["IOMMU_LONG_TESTS"] == "1"

struct BatchStressCase: Sendable, CustomTestStringConvertible {
    var isObserved = false
    var isWidened = false

    var testDescription: String {
        "\(isObserved ? "observed" : "unobserved")\(isWidened ? ", widened" : "")"
    }

    func run(batches: UInt32, seed: UInt64) -> probe_batch_result {
        var options = probe_batch_options()
        options.appliers = 8
        options.readers = 2
        options.batches = batches
        options.seed = seed
        options.observed = isObserved
        options.widen = isWidened
        var result = probe_batch_result()
        let status = unsafe probe_batch_stress(&options, &result)
        #expect(status == 0)
        return result
    }
}

extension probe_batch_result {
    var firstViolation: String {
        let bytes = unsafe withUnsafeBytes(of: first) { unsafe Array($0.prefix { $0 != 0 }) }
        return String(decoding: bytes, as: UTF8.self)
    }
}

@Suite(.serialized) struct BatchStressTests {
    private func seed() -> UInt64 {
        ProcessInfo.processInfo.environment["IOMMU_TEST_SEED"].flatMap { UInt64($0) } ?? .random(in: 1...0xffff_ffff)
    }

    @Test(arguments: [
        BatchStressCase(), BatchStressCase(isObserved: true), BatchStressCase(isWidened: true),
        BatchStressCase(isObserved: true, isWidened: true),
    ])
    func noAnswerIsOlderThanWhatWasComplete(_ stress: BatchStressCase) {
        let seed = seed()
        let batches: UInt32 = (stress.isWidened ? 1000 : 10_000) * (isLong ? 20 : 1)
        let result = stress.run(batches: batches, seed: seed)
        #expect(result.violations == 0, "\(result.firstViolation); IOMMU_TEST_SEED=\(seed) replays")
        #expect(result.batches == UInt64(batches))
        #expect(result.reads > 0 && result.waits > 0 && result.merged > 0)
        print(
            "\(stress.testDescription): \(result.entries) entries, \(result.waits) waits, \(result.reads) answers, "
                + "\(result.old_reads) of them old")
    }
}
