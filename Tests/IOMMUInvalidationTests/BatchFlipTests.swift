// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A hostile guest writes to the array while it is applied: what is applied of an entry is what was checked.

import IOMMU
import IOMMUTestSupport
import Synchronization
import Testing

/// Memory that a guest and the library share. Bytes are written one at a time, as the guest's processor would.
@safe
private final class SharedBytes: @unchecked Sendable {
    private let bytes: UnsafeMutableBufferPointer<Atomic<UInt8>>
    let isDone = Atomic(false)

    init(_ contents: [UInt8]) {
        unsafe bytes = .allocate(capacity: contents.count)
        for (index, byte) in contents.enumerated() {
            unsafe (bytes.baseAddress! + index).initialize(to: Atomic(byte))
        }
    }

    deinit { unsafe bytes.deallocate() }

    func store(_ byte: UInt8, at index: Int) {
        unsafe bytes[index].store(byte, ordering: .relaxed)
    }

    @unsafe var memory: UnsafeRawBufferPointer { unsafe UnsafeRawBufferPointer(bytes) }
}

@Suite struct BatchFlipTests {
    private static let count = 48

    /// Applies batches while another thread flips one byte of every entry between two values, until `check` has said
    /// both true and false: that both contents were met.
    private func race(
        _ entry: InvalidationDescriptor, byte: Int, _ values: [UInt8], rounds: Int = 1000,
        _ check: (InvalidationResult, [Heard.Event]) -> Bool
    ) async throws {
        let bench = try InvalidationBench()
        let batch = try InvalidationBatch.queue(Array(repeating: entry, count: Self.count))
        let shared = SharedBytes(batch.bytes)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                var random = SeededGenerator.forTest()
                while !shared.isDone.load(ordering: .relaxed) {
                    for _ in 0..<1000 {
                        shared.store(random.pick(values), at: random.below(Self.count) * 16 + byte)
                    }
                    await Task.yield()
                }
            }
            defer { shared.isDone.store(true, ordering: .relaxed) }
            var seen: Set<Bool> = []
            var round = 0
            while round < rounds || seen.count < 2, !Task.isCancelled {
                round += 1
                let heard = Heard()
                let result = try unsafe bench.unit.apply(
                    rawEntries: shared.memory, format: .vtdQueue128, port: bench.port, host: heard.host())
                seen.insert(check(result, heard.events))
                if round.isMultiple(of: 100) { await Task.yield() }
            }
        }
    }

    @Test(.timeLimit(.minutes(5)))
    func eachEntryIsOneOfItsTwoContents() async throws {
        try await race(.interrupts(0x11), byte: 4, [0x11, 0x77]) { result, events in
            #expect(result.isComplete && result.handled == Self.count)
            #expect(events.count == Self.count)
            let old = (0..<Self.count).map { Heard.Event.interrupts($0, 0x11...0x11) }
            let new = (0..<Self.count).map { Heard.Event.interrupts($0, 0x77...0x77) }
            #expect(zip(events, zip(old, new)).allSatisfy { $0 == $1.0 || $0 == $1.1 })
            return events.first == old.first
        }
    }

    @Test(.timeLimit(.minutes(5)))
    func aRefusedEntryWasBadAndThoseBeforeItWereGood() async throws {
        try await race(.interrupts(0x11), byte: 8, [0, 0, 0, 0, 0, 0, 0, 0x80]) { result, events in
            #expect(events.count == result.handled)
            guard result.handled < Self.count else {
                #expect(result.isComplete)
                return true
            }
            #expect(result.refusedIndex == result.handled)
            #expect(result.lowestIndex == result.handled && result.highestIndex == result.handled)
            #expect(result.hardwareError == HardwareError(.iqei, code: 4))
            #expect(result.rule == "interrupt-entry-cache descriptor: reserved bits set")
            return false
        }
    }

    @Test(.timeLimit(.minutes(5)))
    func aTypeThatChangesIsOneTypeOrTheOther() async throws {
        // Type 4 without G is everything; type 5 with the same bits is a wait that tells the host.
        try await race(InvalidationDescriptor(4, 0), byte: 0, [4, 5]) { result, events in
            #expect(result.isComplete)
            #expect(events.count == Self.count)
            for (index, event) in events.enumerated() {
                #expect(
                    event == .interrupts(index, 0...0xffff) || event == .waited(index, interrupt: false, status: nil))
            }
            return events.first == .interrupts(0, 0...0xffff)
        }
    }
}
