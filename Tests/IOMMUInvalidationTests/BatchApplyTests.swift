// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Queue descriptors in batches: which entry is refused and why [B-D2, B-D3], wait descriptors, and what the host hears.

import IOMMU
import IOMMUTestSupport
import Testing

@Suite struct BatchApplyTests {
    @Test(arguments: [0, 1, 3, 6])
    func aRefusedEntryIsNamedWhereverItIs(index: Int) throws {
        let bench = try InvalidationBench()
        var descriptors = (0..<7).map { InvalidationDescriptor.interrupts(UInt64($0)) }
        descriptors[index] = .refused
        let batch = try InvalidationBatch.queue(descriptors)
        let heard = Heard()
        let result = try bench.unit.apply(batch, host: heard.host())
        #expect(result.count == 7 && result.handled == index && !result.isComplete)
        #expect(result.refusedIndex == index)
        #expect(result.hardwareError == HardwareError(.iqei, code: 4))
        #expect(result.error == .descriptor(HardwareError(.iqei, code: 4)))
        #expect(result.lowestIndex == index && result.highestIndex == index)
        #expect(result.rule == "IOTLB descriptor: reserved bits set")
        #expect(
            result.failures == [.init(index: index, error: .descriptor(HardwareError(.iqei, code: 4)))])
        #expect(result.failureCount == 1)
        // What follows was not looked at, what came before was done.
        #expect(heard.events == (0..<index).map { .interrupts($0, $0...$0) })
        #expect(try bench.unit.apply(batch) == result)
        #expect(try bench.unit.apply(batch, port: bench.port) == result)
    }

    @Test func theCodeSaysWhatHardwareWouldSay() throws {
        let bench = try InvalidationBench(
            capabilities: Capabilities(basedOn: .full) { $0.interruptRemapping = false })
        func code(_ descriptor: InvalidationDescriptor, _ format: InvalidationBatch.Format) throws -> Int? {
            var batch = try InvalidationBatch(format)
            try batch.append(descriptor)
            return try bench.unit.apply(batch).hardwareError?.code
        }
        #expect(try code(InvalidationDescriptor(0, 0), .vtdQueue128) == 3)
        #expect(try code(InvalidationDescriptor(1 << 9 | 1, 0), .vtdQueue128) == 3)
        #expect(try code(.interrupts(1), .vtdQueue128) == 3)
        #expect(try code(.pasidCache(), .vtdQueue256) == 3)
        #expect(try code(.refused, .vtdQueue256) == 4)
        #expect(try code(InvalidationDescriptor(0x12, 0, 1, 0), .vtdQueue256) == 4)
        #expect(try code(.iotlb(), .vtdQueue256) == nil)
        try bench.useScalableMode()
        #expect(try code(.iotlb(), .vtdQueue128) == 5)
        #expect(try code(.pasidCache(), .vtdQueue256) == nil)
        try bench.unit.setRootTable(2 << 10)
        #expect(try code(.iotlb(), .vtdQueue256) == 7)
    }

    @Test func longerEntriesMustEndWithZeroes() throws {
        let bench = try InvalidationBench()
        let entry: [UInt8] = [0x12] + [UInt8](repeating: 0, count: 15)
        for extra in [1, 8, 16, 4080] {
            let zeroes = [UInt8](repeating: 0, count: extra)
            var bytes = entry + zeroes + entry + zeroes + entry + zeroes
            let whole = try unsafe bench.unit.apply(
                rawEntries: bytes.span.bytes, format: .vtdQueue128, entryLength: 16 + extra)
            #expect(whole.isComplete && whole.handled == 3)
            bytes[2 * (16 + extra) - 1] = 0x80
            let result = try unsafe bench.unit.apply(
                rawEntries: bytes.span.bytes, format: .vtdQueue128, entryLength: 16 + extra)
            #expect(result.refusedIndex == 1)
            #expect(result.rule?.contains("not zero") == true)
        }
    }

    @Test func entriesMayLieAnywhere() throws {
        let bench = try InvalidationBench()
        let batch = try InvalidationBatch.queue([.interrupts(1), .interrupts(2), .refused])
        for shift in 0..<9 {
            let bytes = [UInt8](repeating: 0xa5, count: shift) + batch.bytes
            let heard = Heard()
            let result = try unsafe bytes.withUnsafeBytes { bytes in
                try unsafe bench.unit.apply(
                    rawEntries: UnsafeRawBufferPointer(rebasing: bytes[shift...]), format: .vtdQueue128,
                    host: heard.host())
            }
            #expect(result.refusedIndex == 2)
            #expect(heard.events == [.interrupts(0, 1...1), .interrupts(1, 2...2)])
        }
    }

    @Test func misuseIsThrown() throws {
        let bench = try InvalidationBench(pooledPorts: 0)
        let other = try InvalidationBench()
        let batch = try InvalidationBatch.queue([.iotlb()])
        #expect(throws: IOMMUError.noPort) { try bench.unit.apply(batch) }
        #expect(try bench.unit.apply(batch, port: bench.port).isComplete)
        #expect(throws: IOMMUError.invalidArgument) { try bench.unit.apply(batch, port: other.port) }
        #expect(throws: IOMMUError.invalidArgument) { try other.unit.apply(batch, failureLimit: -1) }
        #expect(throws: IOMMUError.invalidArgument) { try other.unit.apply(batch, failureLimit: .max) }
        try bench.port.withSection { () throws in
            let port = bench.port
            #expect(throws: IOMMUError.inSection) { try bench.unit.apply(batch, port: port) }
        }
        let guest = try NestedGuest(other)
        let stageOne = try InvalidationBatch(.vtdStageOne(guest.domain))
        #expect(throws: IOMMUError.otherUnit) { try bench.unit.apply(stageOne, port: bench.port) }
    }

    @Test func failuresWithoutRoomAreCounted() throws {
        let bench = try InvalidationBench()
        let result = try bench.unit.apply(.queue([.refused]), failureLimit: 0)
        #expect(result.failures.isEmpty && result.failureCount == 1)
        #expect(result.refusedIndex == 0)
    }

    // MARK: Wait descriptors

    @Test func waitDescriptorsStoreTheirStatusInOrder() throws {
        let bench = try InvalidationBench()
        let page = bench.image.allocatePage()
        let heard = Heard()
        let batch = try InvalidationBatch.queue([
            .iotlb(),
            .wait(status: (OutputAddress(page), 1)),
            .wait(status: (OutputAddress(page), 2), interrupt: true),
            .iotlb(domain: 4),
            .wait(status: (OutputAddress(page + 4), 0xffff_ffff)),
            .wait(interrupt: true, fence: true),
            .wait(status: (OutputAddress(page), 3)),
            .iotlb(domain: 5),
        ])
        nonisolated(unsafe) let image = bench.image
        let host = heard.host { unsafe UInt32(truncatingIfNeeded: image[page]) }
        let result = try bench.unit.apply(batch, host: host)
        #expect(result.isComplete)
        #expect(result.segments == 6)
        #expect(
            heard.events == [
                .waited(1, interrupt: false, status: 1), .waited(2, interrupt: true, status: 2),
                .waited(4, interrupt: false, status: 2), .waited(5, interrupt: true, status: 2),
                .waited(6, interrupt: false, status: 3),
            ])
        #expect(bench.status(at: page + 4) == 0xffff_ffff)
    }

    @Test func statusThatLeadsToNoWritableMemoryIsLost() throws {
        let bench = try InvalidationBench()
        let heard = Heard()
        let result = try bench.unit.apply(
            .queue([
                .wait(status: (OutputAddress(GuestImage.hole), 1)), .wait(status: (OutputAddress(GuestImage.rom), 2)),
                .wait(status: (OutputAddress(0xffff_ffff_ffff_fffc), 3)),
            ]), host: heard.host())
        #expect(result.isComplete)
        #expect(heard.events.count == 3)
        #expect(bench.image[GuestImage.rom] == 0)
    }

    @Test func theDirtyLogHearsOfAStatus() throws {
        let bench = try InvalidationBench()
        let page = bench.image.allocatePage()
        let heard = Heard()
        try bench.memory.setDirtyLog { address, _ in
            heard.add(.waited(Int(address.rawValue), interrupt: false, status: 0))
        }
        try bench.unit.apply(.queue([.wait(status: (OutputAddress(page + 8), 9))]))
        try bench.memory.setDirtyLog(nil)
        #expect(heard.events.count == 1)
    }

    @Test func waitDescriptorsAfterARefusedEntryDoNotComplete() throws {
        let bench = try InvalidationBench()
        let page = bench.image.allocatePage()
        let heard = Heard()
        let result = try bench.unit.apply(
            .queue([
                .iotlb(), .wait(status: (OutputAddress(page), 1)), .refused,
                .wait(status: (OutputAddress(page), 2)),
            ]), host: heard.host())
        #expect(result.refusedIndex == 2)
        #expect(bench.status(at: page) == 1)
        #expect(heard.events == [.waited(1, interrupt: false, status: nil)])
    }

    // MARK: The host's part

    @Test func theHostHearsWhatIsNotTheUnits() throws {
        let bench = try InvalidationBench()
        let heard = Heard()
        try bench.unit.apply(
            .queue([InvalidationDescriptor(4, 0), .interrupts(0x123, mask: 4), .interrupts(0xffff)]),
            host: heard.host())
        #expect(
            heard.events == [
                .interrupts(0, 0...0xffff), .interrupts(1, 0x120...0x12f), .interrupts(2, 0xffff...0xffff),
            ])

        try bench.useScalableMode()
        let response = InvalidationDescriptor(9 | 1 << 4 | 0x1234 << 16 | 0x56 << 32, 7 << 3, 0xaaaa, 0xbbbb)
        var batch = try InvalidationBatch(.vtdQueue256)
        try batch.append(response)
        let second = Heard()
        #expect(try bench.unit.apply(batch, host: second.host()).isComplete)
        #expect(second.events == [.response(0, response)])
        // Without closures they are only checked.
        #expect(try bench.unit.apply(batch).isComplete)
    }

    // MARK: Sections

    @Test func aSectionThatIsLateIsATimeout() throws {
        let bench = try InvalidationBench(drainTimeout: .zero)
        let busy = try bench.unit.makePort()
        let page = bench.image.allocatePage()
        let heard = Heard()
        let batch = try InvalidationBatch.queue([
            .interrupts(1), .iotlb(), .iotlb(), .wait(status: (OutputAddress(page), 1)), .iotlb(),
            .wait(status: (OutputAddress(page), 2)),
        ])
        let result = try busy.withSection { () throws in
            try bench.unit.apply(batch, port: bench.port, host: heard.host())
        }
        #expect(result.handled == 6 && !result.isComplete)
        #expect(result.error == .timeout)
        #expect(result.hardwareError == nil && result.refusedIndex == nil)
        // Both segments were late; the second one runs to the end of the array.
        #expect(result.lowestIndex == 0 && result.highestIndex == 5)
        #expect(result.failures == [3, 5].map { .init(index: $0, error: .timeout, portID: busy.id) })
        // Wait descriptors were aborted [FORMATS-VTD C4].
        #expect(bench.status(at: page) == 0)
        #expect(heard.events == [.interrupts(0, 1...1)])
        #expect(try bench.unit.apply(batch, port: bench.port).isComplete)
        #expect(bench.status(at: page) == 2)
    }

    @Test func aRefusalGoesBeforeATimeout() throws {
        let bench = try InvalidationBench(drainTimeout: .zero)
        let busy = try bench.unit.makePort()
        let result = try busy.withSection { () throws in
            try bench.unit.apply(.queue([.iotlb(), .refused]), port: bench.port)
        }
        #expect(result.handled == 1)
        #expect(result.hardwareError?.code == 4)
        #expect(result.failureCount == 2)
        #expect(Set(result.failures.map(\.index)) == [0, 1])
        #expect(result.lowestIndex == 0 && result.highestIndex == 1)
    }
}
