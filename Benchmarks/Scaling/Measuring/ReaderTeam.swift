// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Runs one slice: readers on processors 0, 1, ..., perhaps a disturbing thread on the next one.

import CIOMMUBench
import Foundation
import ScalingLoops

/// The readers of a slice.
struct ReaderTeam {
    var threads: Int
    var manner: Manner = .single
    var addresses: Addresses = .uniform
    /// Pages of the world: says how many fresh requests each reader asks.
    var pages: Int
    /// They ask nothing of the requester whose pages are invalidated.
    var others = false
    /// How many single translations each reader times; 0 = it does not.
    var timed = 0

    /// Measures for about `nanoseconds`; `seed` decides the requests.
    func run(
        _ subject: scaling_subject, disturbance: Disturbance? = nil, nanoseconds: UInt64, seed: UInt64
    ) -> SliceOutcome {
        let buffers = (0..<threads).map { _ in zeroed(max(timed, 1)) }
        defer {
            for buffer in buffers {
                buffer.deallocate()
            }
        }
        var readers = (0..<threads).map { reader($0, seed: seed, buffer: buffers[$0]) }
        var subject = subject
        let isCrowded = threads + (disturbance == nil ? 0 : 1) > ProcessInfo.processInfo.activeProcessorCount
        guard let disturbance else {
            scaling_slice(&subject, &readers, UInt32(threads), nil, nanoseconds)
            return SliceOutcome(readers: zip(readers, buffers).map { outcome($0, $1, isCrowded: isCrowded) })
        }
        var latencies = [UInt32](repeating: 0, count: 1 << 17)
        let done = latencies.withUnsafeMutableBufferPointer { buffer in
            var disturber = scaling_disturber()
            disturber.act = disturbance.rate == .none ? SCALING_NOTHING.rawValue : disturbance.act.code
            disturber.processor = UInt32(disturbance.processor)
            disturber.interval = disturbance.rate.interval
            disturber.yields = disturbance.yields
            disturber.seed = ~seed
            disturber.latencies = buffer.baseAddress
            disturber.latency_capacity = UInt32(buffer.count)
            scaling_slice(&subject, &readers, UInt32(threads), &disturber, nanoseconds)
            return disturber
        }
        return SliceOutcome(
            readers: zip(readers, buffers).map { outcome($0, $1, isCrowded: isCrowded) },
            disturbance: DisturbanceOutcome(
                rate: Double(done.acts) / Double(max(done.nanoseconds, 1)) * 1e9,
                latencies: Array(latencies.prefix(Int(done.latency_count)))))
    }

    private func reader(_ index: Int, seed: UInt64, buffer: UnsafeMutableBufferPointer<UInt32>) -> scaling_reader {
        var reader = scaling_reader()
        reader.lane = UInt32(index)
        reader.processor = UInt32(index)
        reader.manner = manner.code
        reader.skew = addresses.skew
        reader.list = UInt32(max(1 << 14, 2 * pages))
        reader.others = others
        reader.seed = seed &+ UInt64(index) &* 0x9E37_79B9_7F4A_7C15
        if timed > 0 {
            reader.latencies = buffer.baseAddress
            reader.latency_capacity = UInt32(timed)
        }
        return reader
    }

    private func outcome(
        _ reader: scaling_reader, _ buffer: UnsafeMutableBufferPointer<UInt32>, isCrowded: Bool
    ) -> ReaderOutcome {
        let nanoseconds = Double(max(reader.nanoseconds, 1))
        let queued = isCrowded ? 0 : min(Double(reader.queued_nanoseconds), nanoseconds * 0.999)
        return ReaderOutcome(
            rate: Double(reader.translations) / (nanoseconds - queued) * 1e9,
            attendance: 1 - queued / nanoseconds,
            isPinned: reader.pinned,
            latencies: Array(buffer.prefix(Int(reader.latency_count))))
    }
}

/// What one reader did in a slice.
struct ReaderOutcome {
    /// Translations a second. While something else had the processor that the thread was ready to use, the clock
    /// stands still for it, unless the program itself has more threads than there are processors.
    var rate: Double
    /// The part of the time in which nothing else had its processor, 0...1.
    var attendance: Double
    /// It was tied to its processor.
    var isPinned: Bool
    /// Nanoseconds of single translations.
    var latencies: [UInt32]
}

/// What came out of a slice.
struct SliceOutcome {
    var readers: [ReaderOutcome]
    var disturbance: DisturbanceOutcome?

    /// Translations a second, all readers together.
    var rate: Double { readers.reduce(0) { $0 + $1.rate } }
    /// Nanoseconds that a translation takes a thread.
    var nanoseconds: Double { Double(readers.count) / rate * 1e9 }
    /// The slowest reader's rate as a part of the fastest one's.
    var fairness: Double { readers.map(\.rate).min()! / readers.map(\.rate).max()! }
}

/// Written once, so that no page of it is missing when the readers write.
private func zeroed(_ count: Int) -> UnsafeMutableBufferPointer<UInt32> {
    let buffer = UnsafeMutableBufferPointer<UInt32>.allocate(capacity: count)
    buffer.initialize(repeating: 0)
    return buffer
}
