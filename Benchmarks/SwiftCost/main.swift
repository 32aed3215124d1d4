// SPDX-License-Identifier: LGPL-2.1-or-later
//
// SwiftCost - what a hit of the first level costs from Swift, beside the same loop in C: 64 pages, random addresses, every answer
// summed and checked. Without arguments it prints times (nanoseconds a translation, the loops in turn, minimum and median); with the
// name of one loop and a number it runs that loop once over so many translations, for callgrind (`make swift-cost`).

import CostInC
import IOMMU

struct Loop {
    let name: String
    /// Sum of the answers to the first `count` addresses.
    let run: (_ count: Int) throws -> UInt64
    let sumsMemory: Bool

    init(_ name: String, sumsMemory: Bool = false, run: @escaping (Int) throws -> UInt64) {
        self.name = name
        self.sumsMemory = sumsMemory
        self.run = run
    }
}

let batchSize = Int(COST_BATCH)
let most = 1 << 16
let world = try World()
let worldInC = cost_world_create()!
let port = world.port

var generator = SystemRandomNumberGenerator()
let addresses = (0..<most).map { _ in
    COST_INPUT + UInt64.random(in: 0..<World.pageCount, using: &generator) * 4096
        + UInt64.random(in: 0..<504, using: &generator) * 8
}
let iovas = addresses.map { IOVA($0) }
let requests = iovas.map { Request(source: World.source, iova: $0, access: .read) }
let batches = stride(from: 0, to: most, by: batchSize).map { Array(requests[$0..<$0 + batchSize]) }
let requestsInC = addresses.map {
    ciommu_request(source: COST_SOURCE, pasid: .max, iova: $0, length: 1, access: 1, flags: 0)
}

let loops = [
    Loop("single/C-call") { cost_single_call(worldInC, addresses, UInt64($0)) },
    Loop("single/C-inline") { cost_single_inline(worldInC, addresses, UInt64($0)) },
    Loop("single/Swift") { try translateSingly(port, iovas.span.extracting(first: $0)) },
    Loop("section/C-call") { cost_section_call(worldInC, addresses, UInt64($0)) },
    Loop("section/C-inline") { cost_section_inline(worldInC, addresses, UInt64($0)) },
    Loop("section/Swift") { try translateInSection(port, iovas.span.extracting(first: $0)) },
    Loop("batch/C") { cost_batch(worldInC, requestsInC, UInt64($0)) },
    Loop("batch/Swift") { try translateBatches(port, requests.span.extracting(first: $0)) },
    Loop("batch/Swift-appending") { try translateAppending(port, Array(batches[..<($0 / batchSize)])) },
    Loop("access/C-inline", sumsMemory: true) { cost_access_inline(worldInC, addresses, UInt64($0)) },
    Loop("access/Swift", sumsMemory: true) { try access(port, iovas.span.extracting(first: $0)) },
]

var body: () -> Void = {}

/// Runs a loop, checks its sum, and gives the nanoseconds.
@discardableResult
func run(_ loop: Loop, _ count: Int) -> UInt64 {
    let word: UInt64 = 0x0101_0101_0101_0101
    let wanted =
        loop.sumsMemory
        ? UInt64(count) &* word
        : addresses[..<count].reduce(0) { $0 &+ $1 &- COST_INPUT &+ COST_OUTPUT }
    var sum: UInt64?
    body = { sum = try? loop.run(count) }
    let begin = cost_now()
    cost_collect({ _ in body() }, nil)
    let end = cost_now()
    precondition(sum == wanted, "\(loop.name): a wrong answer")
    return end - begin
}

func printTimes(repetitions: Int) {
    var samples = [[Double]](repeating: [], count: loops.count)
    for _ in 0..<repetitions {
        for (index, loop) in loops.enumerated() {
            samples[index].append(Double(run(loop, most)) / Double(most))
        }
    }
    for (loop, times) in zip(loops, samples) {
        let sorted = times.sorted()
        print(loop.name, format(sorted[0]), format(sorted[sorted.count / 2]))
    }
}

/// Two decimals.
func format(_ value: Double) -> String {
    let hundredths = Int((value * 100).rounded())
    let fraction = String(hundredths % 100)
    return "\(hundredths / 100)." + (fraction.count == 1 ? "0" : "") + fraction
}

switch CommandLine.arguments.count {
case 1:
    printTimes(repetitions: 200)
case 3:
    guard let loop = loops.first(where: { $0.name == CommandLine.arguments[1] }),
        let count = Int(CommandLine.arguments[2]), count > 0, count <= most, count % batchSize == 0
    else {
        fatalError(
            "usage: SwiftCost [LOOP COUNT], a loop of \(loops.map(\.name)), a multiple of \(batchSize) up to \(most)")
    }
    run(loop, count)
default:
    fatalError("usage: SwiftCost [LOOP COUNT]")
}
