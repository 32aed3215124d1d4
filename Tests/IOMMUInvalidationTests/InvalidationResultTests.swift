// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Results as text that a person can act on, and as data.

import Foundation
import IOMMU
import Testing

@Suite struct InvalidationResultTests {
    private typealias Failure = InvalidationResult.Failure

    @Test func aCompleteResultSaysSo() {
        let result = InvalidationResult(count: 12, handled: 12, merged: 4, segments: 2)
        #expect(result.isComplete)
        #expect("\(result)" == "12 of 12 entries handled, complete (4 merged, 2 segments)")
    }

    @Test func aRefusedEntryIsNamedWithItsRule() {
        let code = HardwareError(.iqei, code: 4)
        let result = InvalidationResult(
            count: 9, handled: 5, error: .descriptor(code), rule: "wait descriptor: reserved bits set", lowestIndex: 5,
            highestIndex: 5, failures: [Failure(index: 5, error: .descriptor(code))])
        #expect(
            "\(result)"
                == "entry 5 of 9 refused: wait descriptor: reserved bits set (IQEI 4, reserved field violation); "
                + "entries 0 to 4 took effect. Correct entry 5 and submit again from there")
        let first = InvalidationResult(count: 9, handled: 0, error: .descriptor(HardwareError(.errno, code: 22)))
        #expect("\(first)".contains("entry 0 of 9 refused (errno 22, EINVAL); nothing was applied"))
    }

    @Test func aTimeoutNamesTheDevice() {
        let result = InvalidationResult(
            count: 9, handled: 9, error: .timeout, lowestIndex: 2, highestIndex: 6,
            failures: [
                Failure(index: 3, error: .timeout, device: 42, source: SourceID("00:07.0"), pasid: PASID(16)),
                Failure(index: 6, error: .timeout, portID: 2),
                Failure(index: nil, error: .completion, source: SourceID("00:08.1"), isAmbiguous: true),
            ], failureCount: 5)
        let text = "\(result)"
        #expect(text.contains("all 9 entries handled, but not everything is complete (entries 2 to 6)"))
        #expect(
            text.contains(
                "entry 3: device 42 (source 00:07.0, PASID 16) did not answer in time. Its requests are blocked"))
        #expect(text.contains("entry 6: port 2 was still inside an access section at the deadline"))
        #expect(
            text.contains("a change of a domain: a device (source 00:08.1, or another device that shares the PASID)"))
        #expect(text.contains("2 more failures were not kept"))
    }

    @Test func aResultIsData() throws {
        let code = HardwareError(.iqei, code: 3)
        let results = [
            InvalidationResult(count: 3, handled: 3),
            InvalidationResult(
                count: 3, handled: 1, error: .descriptor(code), rule: "r", lowestIndex: 1, highestIndex: 1,
                failures: [
                    Failure(index: 1, error: .descriptor(code)),
                    Failure(
                        index: nil, error: .timeout, device: 9, source: SourceID(7), pasid: PASID(1),
                        isAmbiguous: true),
                ]),
        ]
        let data = try JSONEncoder().encode(results)
        #expect(try JSONDecoder().decode([InvalidationResult].self, from: data) == results)
        #expect(Set(results).count == 2)
    }

    @Test func countersTellWhatBatchesDid() throws {
        let bench = try InvalidationBench()
        let pages = (0..<300).map { InvalidationDescriptor.iotlb(domain: 1, page: IOVA(UInt64($0) << 13)) }
        try bench.unit.apply(
            .queue([.iotlb(domain: 1, page: 0x1000), .iotlb(domain: 1, page: 0x2000), .iotlb(domain: 2)]))
        try bench.unit.apply(.queue(pages + pages + [.wait()]))
        try bench.unit.apply(.queue([.refused]))
        let statistics = bench.unit.invalidationStatistics
        #expect(statistics.batches == 3 && statistics.refused == 1 && statistics.late == 0)
        #expect(statistics.segments == 2)
        #expect(statistics.entries[2] == 603 && statistics.entries[5] == 1)
        #expect(statistics.entries.reduce(0, +) == 604)
        #expect(statistics.merged >= 1)
        #expect(statistics.drains >= 2 && statistics.drainTimeouts == 0)
        #expect(statistics.drainTimes.reduce(0, +) == 0, "nobody was inside a section")
        #expect(statistics.values.first?.value == statistics.invalidations)
        #expect(Set(statistics.values.map(\.name)).count == statistics.values.count)
    }

    @Test func aDrainThatWaitedIsInTheHistogram() throws {
        let bench = try InvalidationBench(drainTimeout: .milliseconds(1))
        let busy = try bench.unit.makePort()
        _ = try busy.withSection { () throws in
            try bench.unit.apply(.queue([.iotlb()]), port: bench.port)
        }
        let statistics = bench.unit.invalidationStatistics
        #expect(statistics.late == 1 && statistics.drainTimeouts == 1)
        #expect(statistics.drainTimes[19...].reduce(0, +) == 1, "at least half a millisecond")
    }
}
