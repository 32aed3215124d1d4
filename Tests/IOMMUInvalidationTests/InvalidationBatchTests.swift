// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Batches byte by byte [FORMATS-VTD C2, FORMATS-IOMMUFD 5], and what an array of entries may be.

import IOMMU
import IOMMUTestSupport
import Testing

@Suite struct InvalidationBatchTests {
    @Test func descriptorsOf128BitsLieOneAfterTheOther() throws {
        var batch = try InvalidationBatch(.vtdQueue128)
        try batch.append(.iotlb(domain: 0x1203, page: 0x7000_8000_9000, addressMask: 3, leafOnly: true))
        try batch.append(.wait(status: (address: 0x1_0203_0404, data: 0xdead_beef), interrupt: true))
        #expect(batch.count == 2)
        #expect(batch.entryLength == 16)
        #expect(
            batch.bytes == [
                0xf2, 0x00, 0x03, 0x12, 0, 0, 0, 0, 0x43, 0x90, 0x00, 0x80, 0x00, 0x70, 0, 0,
                0x35, 0, 0, 0, 0xef, 0xbe, 0xad, 0xde, 0x04, 0x04, 0x03, 0x02, 0x01, 0, 0, 0,
            ])
    }

    @Test func descriptorsAreWidenedFor256Bits() throws {
        var batch = try InvalidationBatch(.vtdQueue256)
        try batch.append(.pasidCache())
        try batch.append(InvalidationDescriptor(1, 2, 3, 0x0807_0605_0403_0201))
        #expect(batch.entryLength == 32)
        #expect(batch.bytes == [0x37] + [UInt8](repeating: 0, count: 31) + batch.bytes[32...])
        #expect(batch.words(at: 1) == [1, 2, 3, 0x0807_0605_0403_0201])
        #expect(batch.bytes[56...] == [1, 2, 3, 4, 5, 6, 7, 8])
    }

    @Test func stageOneEntriesAreThoseOfTheKernelsInterface() throws {
        let bench = try InvalidationBench()
        var batch = try InvalidationBatch(.vtdStageOne(try NestedGuest(bench).domain))
        try batch.append(StageOneEntry(address: 0x1234_5000, pageCount: 0x10, leafOnly: true))
        try batch.append(.everything)
        #expect(batch.entryLength == 24)
        #expect(
            batch.bytes == [
                0x00, 0x50, 0x34, 0x12, 0, 0, 0, 0, 0x10, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0,
                0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0,
            ])
    }

    @Test func anEntryCoversThePagesThatARangeTouches() {
        #expect(StageOneEntry(covering: 0x1000...0x1fff) == StageOneEntry(address: 0x1000, pageCount: 1))
        #expect(StageOneEntry(covering: 0x1fff...0x2000) == StageOneEntry(address: 0x1000, pageCount: 2))
        #expect(StageOneEntry(covering: .min ... .max) == StageOneEntry(address: 0, pageCount: 1 << 52))
        #expect("\(StageOneEntry(address: 0x1000, pageCount: 1, leafOnly: true))" == "1 page from 0x1000, leaves only")
        #expect("\(StageOneEntry.everything)" == "every page from 0x0")
    }

    @Test func longerEntriesArePaddedWithZeroes() throws {
        var batch = try InvalidationBatch(.vtdQueue128, entryLength: 20, capacity: 2)
        try batch.append(InvalidationDescriptor(.max, .max))
        try batch.append(InvalidationDescriptor(.max, .max))
        let entry = [UInt8](repeating: 0xff, count: 16) + [0, 0, 0, 0]
        #expect(batch.bytes == entry + entry)
        #expect(batch.words(at: 1) == [.max, .max])
        batch.removeAll()
        #expect(batch.isEmpty && batch.bytes.isEmpty && batch.entryLength == 20)
    }

    @Test func rawBytesAreTakenAsTheyAre() throws {
        let bytes = (0..<96).map { UInt8($0) }
        let batch = try InvalidationBatch(.vtdQueue256, copying: bytes, entryLength: 48)
        #expect(batch.count == 2 && batch.bytes == bytes && batch.entryLength == 48)
        let fromSpan = try unsafe InvalidationBatch(.vtdQueue256, copying: bytes.span.bytes, entryLength: 48)
        #expect(fromSpan == batch)
        let fromMemory = try unsafe bytes.withUnsafeBytes {
            try unsafe InvalidationBatch(.vtdQueue256, copying: $0, entryLength: 48)
        }
        #expect(fromMemory == batch)
        #expect(try InvalidationBatch(.vtdQueue256, copying: bytes).count == 3)
        #expect(try InvalidationBatch(.vtdQueue256, copying: []).isEmpty)
    }

    @Test(arguments: [
        (95, 48, "no whole number"), (96, 31, "at least 32"), (96, 0, "at least 32"), (96, -1, "at least 32"),
        (8192, 4097, "at most 4096"), (0, 31, "at least 32"), (96, Int.min, "at least 32"), (96, .max, "at most 4096"),
    ])
    func lengthsThatDoNotFitAreRefused(bytes: Int, entryLength: Int, rule: String) {
        do throws(IOMMUError) {
            _ = try InvalidationBatch(
                .vtdQueue256, copying: [UInt8](repeating: 0, count: bytes), entryLength: entryLength)
            Issue.record("\(bytes) bytes, \(entryLength) each")
        } catch {
            #expect(error == .invalidArgument)
            #expect(error.detail?.contains(rule) == true, "\(error)")
        }
    }

    @Test func entriesOfAnotherFormatAreRefused() throws {
        let bench = try InvalidationBench()
        var narrow = try InvalidationBatch(.vtdQueue128)
        #expect(throws: IOMMUError.invalidArgument) { try narrow.append(InvalidationDescriptor(1, 2, 0, 0)) }
        #expect(throws: IOMMUError.invalidArgument) { try narrow.append(StageOneEntry.everything) }
        #expect(narrow.isEmpty && narrow.bytes.isEmpty)
        var stageOne = try InvalidationBatch(.vtdStageOne(try NestedGuest(bench).domain))
        #expect(throws: IOMMUError.invalidArgument) { try stageOne.append(.iotlb()) }
        #expect(stageOne.isEmpty)
        #expect(throws: IOMMUError.invalidArgument) { try InvalidationBatch(.vtdQueue128, entryLength: 15) }
    }

    @Test func theLargestBatchIsApplied() throws {
        let bench = try InvalidationBench()
        let most = InvalidationBatch.maximumCount
        #expect(most == 1 << 19)
        let entry: [UInt8] = [0x12] + [UInt8](repeating: 0, count: 15)
        let bytes = Array((0..<most).map { _ in entry }.joined())
        var batch = try InvalidationBatch(.vtdQueue128, copying: bytes)
        #expect(throws: IOMMUError.invalidArgument) { try batch.append(.iotlb()) }
        #expect(batch.count == most)
        let result = try bench.unit.apply(batch)
        #expect(result.isComplete && result.handled == most && result.segments == 1)
        #expect(result.merged == most - 1)
        #expect(throws: IOMMUError.invalidArgument) {
            try InvalidationBatch(.vtdQueue128, copying: bytes + entry)
        }
        #expect(throws: IOMMUError.invalidArgument) {
            let longer = bytes + entry
            _ = try unsafe bench.unit.apply(rawEntries: longer.span.bytes, format: .vtdQueue128)
        }
    }

    @Test func aBatchWithoutEntriesAsksForTheFormat() throws {
        let bench = try InvalidationBench()
        let guest = try NestedGuest(bench)
        let before = bench.unit.statistics.invalidations
        for format in [InvalidationBatch.Format.vtdQueue128, .vtdQueue256, .vtdStageOne(guest.domain)] {
            let result = try bench.unit.apply(try InvalidationBatch(format))
            #expect(result == InvalidationResult(count: 0, handled: 0))
            #expect(result.isComplete)
            #expect(bench.unit.accepts(format))
        }
        #expect(bench.unit.statistics.invalidations == before)
        let other = try InvalidationBench(pooledPorts: 0)
        #expect(!other.unit.accepts(.vtdStageOne(guest.domain)))
        #expect(other.unit.accepts(.vtdQueue256))
    }

    @Test func formatsAreEqualWithTheSameDomain() throws {
        let guest = try NestedGuest(InvalidationBench())
        let other = try NestedGuest(InvalidationBench())
        let formats: Set<InvalidationBatch.Format> = [
            .vtdQueue128, .vtdQueue256, .vtdStageOne(guest.domain), .vtdStageOne(other.domain),
            .vtdStageOne(guest.domain),
        ]
        #expect(formats.count == 4)
        #expect("\(InvalidationBatch.Format.vtdQueue256)" == "VT-d queue, 256 bits")
    }
}
