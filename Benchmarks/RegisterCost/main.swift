// SPDX-License-Identifier: LGPL-2.1-or-later
//
// RegisterCost - what it costs that a unit is driven through registers: a DMA of a device beside the same without a front end, and an
// invalidation of one page through the queue beside the same two descriptors given to the engine. Every figure is measured many times
// in turn with its baseline, and reported as minimum, median, 99th percentile and the ratio of the medians.

import BusyThread
import Glibc
import IOMMU
import Samples
import VirtualVTd

/// Nanoseconds of `body`.
func time(_ body: () throws -> Void) rethrows -> Double {
    let begin = now()
    try body()
    return Double(now() - begin)
}

/// Nanoseconds a DMA: 64 bytes each, over pages that are cached, 16 in a section.
func timeOfDMA(_ port: Port, _ buffer: UnsafeMutableRawBufferPointer, rounds: UInt64) throws -> Double {
    var page: UInt64 = 0
    let nanoseconds = try time {
        for _ in 0..<rounds {
            try port.withSection {
                for _ in 0..<16 {
                    page = (page + 3) % GuestDriver.pages
                    let progress = try port.read(into: buffer, from: IOVA(page * 4096), source: GuestDriver.device)
                    precondition(progress.isComplete, "a DMA failed")
                }
            }
        }
    }
    return nanoseconds / Double(rounds * 16)
}

/// Nanoseconds a translation, otherwise the same.
func timeOfTranslations(_ port: Port, rounds: UInt64) throws -> Double {
    var page: UInt64 = 0
    var sum: UInt64 = 0
    let nanoseconds = try time {
        for _ in 0..<rounds {
            try port.withSection {
                for _ in 0..<16 {
                    page = (page + 3) % GuestDriver.pages
                    let answer = try port.translate(IOVA(page * 4096), access: .read, source: GuestDriver.device)
                    sum &+= answer.translation?.address.rawValue ?? 0
                }
            }
        }
    }
    precondition(sum != 0, "nothing was translated")
    return nanoseconds / Double(rounds * 16)
}

/// Both in turn, first the one and then the other.
func measureDevices() throws {
    let driver = try GuestDriver(.inline)
    let (through, without) = (try driver.front.unit.makePort(), try driver.bare.makePort())
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 64, alignment: 64)
    defer { buffer.deallocate() }
    func alternate(_ name: String, _ sample: (Port) throws -> Double) throws {
        var (ours, baseline) = (samples(), samples())
        for round in 0..<2001 {
            let isFirst = round % 2 == 0
            let first = try sample(isFirst ? through : without)
            let second = try sample(isFirst ? without : through)
            add(&ours, isFirst ? first : second)
            add(&baseline, isFirst ? second : first)
        }
        report(name, &ours, &baseline)
    }
    try alternate("a DMA of 64 bytes, on a hit") { try timeOfDMA($0, buffer, rounds: 64) }
    try alternate("a translation, on a hit") { try timeOfTranslations($0, rounds: 64) }
}

/// A thread that translates for another source id without pause, in sections of 16.
func busyPort(_ unit: RemappingUnit) throws -> BusyThread {
    nonisolated(unsafe) let port = try unit.makePort()
    nonisolated(unsafe) var page: UInt64 = 0
    return BusyThread {
        port.withSection {
            for _ in 0..<16 {
                page = (page + 3) % GuestDriver.pages
                let answer = try? port.translate(IOVA(page * 4096), access: .read, source: GuestDriver.neighbour)
                precondition(answer?.translation != nil, "a fault")
            }
        }
    }
}

/// From the write of IQT until the guest finds the status.
func measureQueue(_ processing: VirtualVTd.Processing, isBusy: Bool) throws {
    let driver = try GuestDriver(processing)
    let neighbour = isBusy ? try busyPort(driver.front.unit) : nil
    let port = try driver.front.unit.makePort()
    var (ours, baseline) = (samples(), samples())
    for round in 0..<20001 as Range<UInt64> {
        let page = round % GuestDriver.pages
        _ = try port.translate(IOVA(page * 4096), access: .read, source: GuestDriver.device)
        let (tail, expected) = driver.put(page: page)
        let through = try time {
            try driver.front.write(0x88, size: 4, tail)
            while driver.status.pointee != expected { sched_yield() }
        }
        driver.front.finishWorks()
        var batch = try InvalidationBatch(.vtdQueue128)
        for descriptor in driver.descriptors(page: page) { try batch.append(descriptor) }
        _ = try port.translate(IOVA(page * 4096), access: .read, source: GuestDriver.device)
        var isComplete = false
        let without = try time { isComplete = try driver.front.unit.apply(batch).isComplete }
        precondition(isComplete, "the engine refused it")
        add(&ours, through)
        add(&baseline, without)
    }
    withExtendedLifetime(neighbour) {}
    let place = processing == .inline ? "inline" : "by the worker"
    report("one page and its status, \(place), \(isBusy ? "a busy port" : "idle")", &ours, &baseline)
}

print("nanoseconds" + String(repeating: " ", count: 47) + "   minimum    median       p99  baseline    ratio")
try measureDevices()
for isBusy in [false, true] {
    try measureQueue(.inline, isBusy: isBusy)
    try measureQueue(.worker, isBusy: isBusy)
}
print(
    "baseline of a DMA and a translation: the same tables under a unit that no registers drive; of the queue: the same two"
)
print(
    "descriptors given to the engine as an array. The worker's figures have the time in them that a thread takes to wake."
)
