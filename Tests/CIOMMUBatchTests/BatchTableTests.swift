// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The table of outcomes: every row of the format notes, on generated cases.

import CIOMMU
import IOMMUTestSupport
import Testing

@Suite struct BatchTableTests {
    @Test(arguments: formatRows)
    func everyRowHolds(_ row: FormatRow) throws {
        var log = MismatchLog()
        try row.check(&log)
        #expect(log.cases > 0, "\(row.name) has no case")
        log.expectNone(row.name)
    }

    @Test func noRowIsMissing() {
        #expect(formatRows.map(\.name) == FormatNotes.all)
        #expect(Set(FormatNotes.all).count == FormatNotes.all.count)
    }

    @Test func whatIsNoBatchIsRefusedAndWritesNothing() throws {
        let bench = TableBench(.full, Queue(tableMode: 1, isWide: true)).bench
        let other = TableBench(.full, Queue(tableMode: 1, isWide: true)).bench
        let words: [UInt64] = [5, 0, 0, 0]
        let spoilers: [Spoiler] = [
            .size, .format(0), .format(4), .count(CIOMMU_BATCH_COUNT_MAX + 1), .entries, .resultSize, .failures,
        ]
        func apply(length: Int, spoiled: Spoiler? = nil) -> BatchResult {
            unsafe words.withUnsafeBytes { bytes in
                unsafe bench.apply(
                    format: CIOMMU_BATCH_VTD_256, entries: bytes.baseAddress, entryLength: length, count: 1,
                    spoiled: spoiled)
            }
        }
        for spoiler in spoilers {
            #expect(apply(length: 32, spoiled: spoiler) == BatchResult(CIOMMU_INVALID_ARGUMENT), "\(spoiler)")
        }
        for length in [0, 1, 16, 24, 31, 4097] {
            #expect(apply(length: length) == BatchResult(CIOMMU_INVALID_ARGUMENT), "length \(length)")
        }
        let foreign = bench.apply([Descriptor(5)], isWide: true, port: .given(other.port))
        #expect(foreign == BatchResult(CIOMMU_INVALID_ARGUMENT))
        #expect(bench.takeEvents() == [])
    }

    /// Entries need no alignment, and those of descriptors may be further apart too.
    @Test(arguments: [32, 33, 40, 63, 4096], [0, 1, 3, 7])
    func entriesMayLieAnywhere(length: Int, offset: Int) throws {
        let bench = TableBench(.full, Queue(tableMode: 1, isWide: true)).bench
        var bytes = [UInt8](repeating: 0, count: offset + 3 * length)
        for index in 0..<3 {
            let words = Descriptor(4 | 1 << 4 | UInt64(index + 1) << 32).widened().words
            for (at, byte) in unsafe words.withUnsafeBytes({ unsafe Array($0) }).enumerated() {
                bytes[offset + index * length + at] = byte
            }
        }
        func apply() -> BatchResult {
            unsafe bytes.withUnsafeBytes { bytes in
                unsafe bench.apply(
                    format: CIOMMU_BATCH_VTD_256, entries: bytes.baseAddress! + offset, entryLength: length, count: 3)
            }
        }
        #expect(apply().isSuccess(of: 3))
        #expect(
            bench.takeEvents() == (0..<3).map { .interruptCache(index: $0, first: $0 + 1, last: $0 + 1) })
        guard length > 32 else { return }
        // What lies beyond a descriptor is reserved: IQEI 4.
        bytes[offset + 2 * length - 1] = 0x80
        let refused = apply()
        #expect(refused.isRefusal(at: 1, code: 4), "\(refused)")
        #expect(bench.takeEvents() == [.interruptCache(index: 0, first: 1, last: 1)])
    }

    /// A host without functions, or without a host at all: descriptors are checked all the same.
    @Test func withoutAHostDescriptorsAreOnlyChecked() throws {
        let bench = TableBench(.full, Queue(tableMode: 1, isWide: true)).bench
        let all = [Descriptor(4), Descriptor(9), Descriptor(5 | 1 << 4)]
        #expect(bench.apply(all, isWide: true, hasHost: false).isSuccess(of: 3))
        #expect(bench.apply(all + [Descriptor(9 | 1 << 5)], isWide: true, hasHost: false).isRefusal(at: 3, code: 4))
        #expect(bench.takeEvents() == [])
    }

    /// The mode is looked at for each entry, as the queue's hardware does.
    @Test func equalArraysOnEqualStateGiveEqualResults() throws {
        var random = SeededGenerator.forTest()
        for round in 0..<40 {
            let queue = random.pick(Queue.all)
            let model = random.pick(UnitModel.forBatches)
            var descriptors = (0..<random.below(200)).map { _ -> Descriptor in
                random.pick(Descriptor.limits(UInt64(random.below(5) + 1), model))
            }
            if random.oneIn(2), !descriptors.isEmpty {
                descriptors[random.below(descriptors.count)].words[0] ^= 1 << UInt64(random.below(64))
            }
            let runs = (0..<3).map { _ in
                let bench = TableBench(model, queue).bench
                return (bench.apply(descriptors, isWide: queue.isWide), bench.takeEvents())
            }
            #expect(runs[0] == runs[1], "round \(round), IOMMU_TEST_SEED=\(random.seed)")
            #expect(runs[0] == runs[2], "round \(round), IOMMU_TEST_SEED=\(random.seed)")
            // And again on the same unit, whose state no refused or repeated entry changed.
            let bench = TableBench(model, queue).bench
            let first = bench.apply(descriptors, isWide: queue.isWide)
            _ = bench.takeEvents()
            #expect(bench.apply(descriptors, isWide: queue.isWide) == first, "IOMMU_TEST_SEED=\(random.seed)")
            #expect(first == runs[0].0, "IOMMU_TEST_SEED=\(random.seed)")
        }
    }
}

extension MismatchLog {
    func expectNone(_ what: String) {
        #expect(isEmpty, "\(what): \(self)")
    }
}
