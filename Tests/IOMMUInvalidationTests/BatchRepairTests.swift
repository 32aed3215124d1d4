// SPDX-License-Identifier: LGPL-2.1-or-later
//
// What batches once did wrong, each with the reason why it matters.

import IOMMU
import IOMMUTestSupport
import Testing

@Suite struct BatchRepairTests {
    /// As `RemappingUnit.invalidate(descriptor:)` does: what a wait descriptor says is complete must be, also when the
    /// guest's invalidation came in a batch before and timed out.
    @Test func aWaitInALaterBatchWaitsForWhatTimedOutBefore() throws {
        let bench = try InvalidationBench(drainTimeout: .zero)
        let busy = try bench.unit.makePort()
        let page = bench.image.allocatePage()
        let wait = InvalidationDescriptor.wait(status: (OutputAddress(page), 1))
        try busy.withSection { () throws in
            #expect(try bench.unit.apply(.queue([.iotlb()]), port: bench.port).error == .timeout)
            #expect(throws: IOMMUError.timedOut) { try bench.unit.invalidate(descriptor: wait, port: bench.port) }
            let result = try bench.unit.apply(.queue([wait]), port: bench.port)
            #expect(result.error == .timeout)
            #expect(bench.status(at: page) == 0)
        }
    }

    /// The code of a refused queue descriptor is an IQEI value. 7 is E2BIG, and as an IQEI it says that the root
    /// table's mode is bad; 4 is a reserved field that is not zero.
    @Test func bytesBeyondAQueueDescriptorAreAReservedField() throws {
        let bench = try InvalidationBench()
        let bytes: [UInt8] = [0x12] + [UInt8](repeating: 0, count: 15) + [1]
        let batch = try InvalidationBatch(.vtdQueue128, copying: bytes, entryLength: 17)
        let result = try bench.unit.apply(batch)
        #expect(result.refusedIndex == 0)
        #expect(result.hardwareError == HardwareError(.iqei, code: 4))
    }
}
