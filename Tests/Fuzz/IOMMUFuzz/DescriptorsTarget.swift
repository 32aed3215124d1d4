// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Target "descriptors": arrays of invalidation descriptors and of stage-1 entries. Which is refused and why, what is handled
// before it, what the host hears, what waits store; and that nothing covered is answered from before.

import IOMMU
import IOMMUTestSupport

final class DescriptorsTarget {
    private var worlds: [Int: QueueWorld] = [:]
    private var guest: StageOneWorld?

    func run(_ bytes: [UInt8]) throws {
        var input = FuzzInput(bytes)
        let form = input.byte()
        // Entries may be longer than their format, and begin anywhere.
        let extra = form & 0x40 == 0 ? 0 : Int(input.byte() & 31)
        let way = Way(
            isSubmitted: form & 0x08 != 0, hasPort: form & 0x10 != 0, misalignment: form >> 5 & 1 == 0 ? 0 : 1)
        if form & 3 == 3 {
            let guest = try guest ?? StageOneWorld()
            self.guest = guest
            return try guest.run(&input, extra: extra, way)
        }
        let key = input.below(UnitModels.all.count) << 1 | Int(form >> 2 & 1)
        let world = try worlds[key] ?? QueueWorld(UnitModels.all[key >> 1], isScalable: key & 1 == 1)
        worlds[key] = world
        if try !world.run(&input, isWide: form & 3 != 0, extra: extra, way) { worlds[key] = nil }
    }
}

/// How an array is handed over.
struct Way {
    let isSubmitted: Bool
    let hasPort: Bool
    let misalignment: Int

    /// Applies entries and returns the result; they lie at the end of their memory, so that reading on is noticed.
    func apply(
        _ entries: [UInt8], _ format: InvalidationBatch.Format, entryLength: Int, to unit: RemappingUnit, _ port: Port,
        _ host: InvalidationHost
    ) throws -> InvalidationResult {
        let room = UnsafeMutableRawBufferPointer.allocate(byteCount: misalignment + entries.count, alignment: 8)
        defer { unsafe room.deallocate() }
        let bytes = unsafe UnsafeMutableRawBufferPointer(rebasing: room[misalignment...])
        unsafe bytes.copyBytes(from: entries)
        if isSubmitted {
            return try unsafe submit(UnsafeRawBufferPointer(bytes), format, entryLength, unit, host)
        }
        return try unsafe unit.apply(
            rawEntries: UnsafeRawBufferPointer(bytes), format: format, entryLength: entryLength,
            port: hasPort ? port : nil, host: host)
    }

    private func submit(
        _ bytes: UnsafeRawBufferPointer, _ format: InvalidationBatch.Format, _ entryLength: Int, _ unit: RemappingUnit,
        _ host: InvalidationHost
    ) throws -> InvalidationResult {
        let outcome = Box<Result<InvalidationResult, IOMMUError>?>(nil)
        try unsafe unit.submit(rawEntries: bytes, format: format, entryLength: entryLength, host: host) {
            outcome.value = $0
        }
        unit.finishSubmissions()
        guard let outcome = outcome.value else { finding("a submitted batch has no result") }
        return try outcome.get()
    }
}

/// A value that closures change. What waits for them orders the accesses.
final class Box<Value>: @unchecked Sendable {
    var value: Value

    init(_ value: Value) { self.value = value }
}

extension InvalidationResult {
    /// Compares with what the reference found: the first entry that is refused, and its code.
    func check(count: Int, refused: (index: Int, code: Int)?, _ scheme: HardwareError.Scheme, _ context: () -> String) {
        expect(self.count, count, context())
        expect(handled, refused?.index ?? count, "\(context()) handled")
        expect(refusedIndex, refused?.index, "\(context()) refused")
        expect(hardwareError, refused.map { HardwareError(scheme, code: $0.code) }, "\(context()) code")
        expect(rule != nil, refused != nil, "\(context()) rule")
        expect(failureCount, refused == nil ? 0 : 1, "\(context()) failures")
        expect(isComplete, refused == nil, "\(context()) complete")
    }
}
