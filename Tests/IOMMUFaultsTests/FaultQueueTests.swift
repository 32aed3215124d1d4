// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Queues that are polled or waited for; closing them; the fault-recording register.

import Foundation
import IOMMU
import Synchronization
import Testing

struct FaultQueueTests {
    @Test func pollingSeesEveryFaultBeforeTheCall() throws {
        let bench = try FaultBench()
        let queue = try FaultQueue(of: .device(bench.device()), in: bench.unit)
        #expect(queue.read().isEmpty)
        for page in 0..<100 { try bench.fault(UInt64(page)) }
        let records = queue.read(max: 60) + queue.read(max: 60)
        #expect(records.map { $0.fault?.address.rawValue } == (0..<100).map { $0 << 12 })
        #expect(records.map(\.sequence) == Array(0..<100))
        #expect(records.allSatisfy { $0.fault?.device == 7 && $0.fault?.isRecorded == true })
        #expect(queue.statistics?.highWater == 100)
        #expect(queue.statistics?.unread == 0)
    }

    @Test func aDescriptorIsReadableWhileThereIsSomething() throws {
        let bench = try FaultBench()
        let device = try bench.device()
        let queue = try FaultQueue(of: .device(device), in: bench.unit)
        let descriptor = try queue.fileDescriptor()
        #expect(try queue.fileDescriptor() == descriptor)
        for page in 0..<50 {
            try bench.fault(UInt64(page))
            var wanted = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            #expect(unsafe poll(&wanted, 1, 30_000) == 1)
            #expect(queue.read().count == 1)
            #expect(unsafe poll(&wanted, 1, 0) == 0)
        }
    }

    @Test func aClosedQueueAnswersNothing() throws {
        let bench = try FaultBench()
        let device = try bench.device()
        let queue = try FaultQueue(of: .device(device), in: bench.unit, options: FaultQueueOptions(reports: 8))
        try bench.fault(1)
        queue.close()
        queue.close()
        #expect(queue.read().isEmpty)
        #expect(queue.statistics == nil)
        #expect(throws: IOMMUError.closed) { try queue.fileDescriptor() }
        #expect(throws: IOMMUError.closed) {
            try queue.report(Fault(reason: .aborted, source: FaultBench.source, access: [], address: 0))
        }
        _ = try FaultQueue(of: .device(device), in: bench.unit)
    }

    @Test func closingBesideReadersEndsCleanly() throws {
        let bench = try FaultBench()
        let device = try bench.device()
        for _ in 0..<50 {
            let queue = try FaultQueue(of: .device(device), in: bench.unit, options: FaultQueueOptions(reports: 8))
            let threads = Atomic(3)
            for _ in 0..<3 {
                Thread.detachNewThread {
                    for page in 0..<50 {
                        _ = try? bench.fault(UInt64(page))
                        _ = queue.read()
                        _ = queue.statistics
                    }
                    threads.subtract(1, ordering: .releasing)
                }
            }
            Thread.sleep(forTimeInterval: 0.000_5)
            queue.close()
            #expect(isTrue { threads.load(ordering: .acquiring) == 0 })
        }
    }

    @Test func refusalsAreNamed() throws {
        let bench = try FaultBench()
        let other = try FaultBench()
        let device = try bench.device()
        for options in [FaultQueueOptions(quota: 0), FaultQueueOptions(quota: -1), FaultQueueOptions(reports: 3)] {
            #expect(throws: IOMMUError.invalidArgument) {
                try FaultQueue(of: .rest, in: bench.unit, options: options)
            }
        }
        #expect(throws: IOMMUError.otherUnit) { try FaultQueue(of: .device(device), in: other.unit) }
        #expect(throws: IOMMUError.exists) { try FaultQueue(of: .software(device.id), in: bench.unit) }
        let queue = try FaultQueue(of: .device(device), in: bench.unit)
        #expect(throws: IOMMUError.occupied) { try FaultQueue(of: .device(device), in: bench.unit) }
        #expect(throws: IOMMUError.unsupported) {
            try queue.report(Fault(reason: .aborted, source: FaultBench.source, access: [], address: 0))
        }
    }

    @Test func aFaultEncodesItselfAsARegister() throws {
        let fault = Fault(
            reason: .permission, code: 0x86, source: SourceID(0x1234), pasid: pasid(0xabcde),
            access: [.read, .privileged],
            address: 0x7fff_1234_5678, request: .translated)
        let register = try fault.recordingRegister(addressWidth: 48)
        #expect(register.low == 0x7fff_1234_5000)
        // F, T1, AT = 2, PASID, FR, PP, PRIV, SID.
        #expect(register.high == 0xeabc_de86_a000_1234)
        #expect(throws: IOMMUError.unsupported) {
            try Fault(reason: .aborted, source: FaultBench.source, access: .read, address: 0).recordingRegister()
        }
        #expect(throws: IOMMUError.invalidArgument) { try fault.recordingRegister(addressWidth: 11) }
        #expect(fault.description.contains("(translated request)"))
    }

    @Test func recordsDescribeThemselves() throws {
        let bench = try FaultBench()
        let queue = try FaultQueue(of: .device(bench.device()), in: bench.unit)
        try bench.fault(1)
        let record = try #require(queue.read().first)
        #expect(record.description.hasPrefix("#0 SPT.2 (0x59)"))
        #expect(FaultRecord(kind: .loss, sequence: 5, count: 3).description == "#5 3 lost")
    }
}
