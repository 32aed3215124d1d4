// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The loops of cost.c in Swift: what a host writes whose devices ask the same things. Each returns the sum of the output addresses.

import CostInC
import IOMMU

/// What does not answer a hit ends the program.
@inline(never)
func fail() -> Never {
    fatalError("a translation that was to be a hit")
}

/// A section for each translation.
@inline(never)
func translateSingly(_ port: Port, _ iovas: Span<IOVA>) throws(IOMMUError) -> UInt64 {
    var sum: UInt64 = 0
    for index in iovas.indices {
        guard let answer = try port.translate(iovas[index], access: .read, source: World.source).translation else {
            fail()
        }
        sum &+= answer.address.rawValue
    }
    return sum
}

/// One section around all.
@inline(never)
func translateInSection(_ port: Port, _ iovas: Span<IOVA>) throws(IOMMUError) -> UInt64 {
    try port.withSection { () throws(IOMMUError) in
        var sum: UInt64 = 0
        for index in iovas.indices {
            guard let answer = try port.translate(iovas[index], access: .read, source: World.source).translation else {
                fail()
            }
            sum &+= answer.address.rawValue
        }
        return sum
    }
}

/// Batches of 32 into slots.
@inline(never)
func translateBatches(_ port: Port, _ requests: Span<Request>) throws(IOMMUError) -> UInt64 {
    var sum: UInt64 = 0
    let size = Int(COST_BATCH)
    var slots = [TranslationSlot](repeating: TranslationSlot(), count: size)
    var room = slots.mutableSpan
    var start = 0
    while start < requests.count {
        try port.translate(requests.extracting(start..<start + size), into: &room)
        for index in room.indices {
            guard let answer = room[index].translation else { fail() }
            sum &+= answer.address.rawValue
        }
        start += size
    }
    return sum
}

/// Batches of 32 into results that are kept from batch to batch.
@inline(never)
func translateAppending(_ port: Port, _ batches: [[Request]]) throws(IOMMUError) -> UInt64 {
    var sum: UInt64 = 0
    var results: [TranslationResult] = []
    results.reserveCapacity(Int(COST_BATCH))
    for batch in batches {
        results.removeAll(keepingCapacity: true)
        try port.translate(batch, appendingTo: &results)
        for result in results {
            guard let answer = result.translation else { fail() }
            sum &+= answer.address.rawValue
        }
    }
    return sum
}

/// An access of 64 bytes whose first 8 are loaded; the sum of what was loaded.
@inline(never)
func access(_ port: Port, _ iovas: Span<IOVA>) throws(IOMMUError) -> UInt64 {
    var sum: UInt64 = 0
    for index in iovas.indices {
        sum &+= try port.withAccess(to: iovas[index], count: 64, access: .read, source: World.source) { segments in
            guard segments.isComplete, let bytes = segments.bytes(of: 0) else { fail() }
            return bytes.unsafeLoadUnaligned(as: UInt64.self)
        }
    }
    return sum
}
