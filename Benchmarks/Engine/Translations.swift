// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Translations of one address each: alone, in batches of 32. Every answer is checked.

import Benchmark
import CIOMMUBench
import IOMMU

/// Every row: its name, and the world.
private var rows: [(String, Shape)] {
    let none = (firstLevel: 0, iotlb: 0, walks: 0)
    func walk(_ way: Shape.Way, cached: Bool = false) -> Shape {
        Shape(way, pages: 512).caches(firstLevel: 0, iotlb: 0, walks: cached ? 256 : 0)
    }
    func cold(_ way: Shape.Way) -> Shape {
        Shape(way, pages: 1 << 15).with(\.isScattered, true)
            .caches(firstLevel: none.firstLevel, iotlb: none.iotlb, walks: none.walks)
    }
    let ways: [(String, Shape.Way)] = [("first-stage", .first), ("second-stage", .second), ("nested", .nested)]
    return [
        ("hit-first-level/1-page", Shape(pages: 1)),
        ("hit-first-level/64-pages", Shape(pages: 64)),
        ("hit-iotlb/64-pages-of-2-MiB", Shape(pages: 64).with(\.pageLog2, 21)),
        ("hit-iotlb/64-pages-of-1-GiB", Shape(pages: 64).with(\.pageLog2, 30)),
        ("hit-iotlb/4Ki-pages", Shape(pages: 1 << 12)),
        ("hit-iotlb/64Ki-pages", Shape(pages: 1 << 16).with(\.iotlb, 1 << 17)),
        ("hit-iotlb/1Mi-pages", Shape(pages: 1 << 20).with(\.iotlb, 1 << 21)),
        ("hit-iotlb/4Ki-pages-of-2-MiB", Shape(pages: 1 << 12).with(\.pageLog2, 21)),
        ("hit-iotlb/first-stage/4Ki-pages", Shape(.first, pages: 1 << 12)),
        ("hit-iotlb/nested/4Ki-pages", Shape(.nested, pages: 1 << 12)),
        (
            "hit-iotlb/64-devices-1024-pasids",
            Shape(pages: 1).with(\.sources, 64).with(\.pasids, 1024)
        ),
        ("pass-through/4Ki-pages", Shape(.pass, pages: 1 << 12)),
    ] + ways.map { ("walk-hot/\($0)/512-pages", walk($1)) }
        + ways.map { ("walk-hot-cached/\($0)/512-pages", walk($1, cached: true)) }
        + ways.map { ("walk-cold/\($0)/32Ki-pages", cold($1)) }
}

func registerTranslations() {
    for (name, shape) in rows {
        for (manner, inC) in [("single", BENCH_SINGLE), ("batch", BENCH_BATCH)] {
            compare(
                "translate/\(name)/\(manner)",
                c: { WorldInC(shape) }, swift: { try WorldInSwift(shape) },
                runC: { benchmark, world in
                    world.choose()
                    benchmark.startMeasurement()
                    world.translate(inC)
                    benchmark.stopMeasurement()
                },
                runSwift: { benchmark, world in
                    world.choose()
                    let (requests, answers) = (world.requests, world.answers)
                    benchmark.startMeasurement()
                    let isRight =
                        inC == BENCH_SINGLE
                        ? try translateSingly(world.port, requests.span, answers.span)
                        : try translateBatches(world.port, requests.span, answers.span)
                    benchmark.stopMeasurement()
                    precondition(isRight, "a wrong answer")
                })
        }
    }
}

/// A section for each; are all answers right?
@inline(never)
func translateSingly(
    _ port: Port, _ requests: Span<Request>, _ answers: Span<OutputAddress>
) throws(IOMMUError) -> Bool {
    var wrong: UInt64 = 0
    for index in requests.indices {
        let request = requests[index]
        let result = try port.translate(
            request.iova, access: request.access, source: request.source, pasid: request.pasid)
        guard case .mapped(let translation) = result else { return false }
        wrong |= translation.address.rawValue ^ answers[index].rawValue
    }
    return wrong == 0
}

/// Batches of 32.
@inline(never)
func translateBatches(
    _ port: Port, _ requests: Span<Request>, _ answers: Span<OutputAddress>
) throws(IOMMUError) -> Bool {
    var wrong: UInt64 = 0
    var slots = [TranslationSlot](repeating: TranslationSlot(), count: 32)
    var room = slots.mutableSpan
    var start = 0
    while start < requests.count {
        let end = min(start + room.count, requests.count)
        try port.translate(requests.extracting(start..<end), into: &room)
        for index in start..<end {
            guard let translation = room[index - start].translation else { return false }
            wrong |= translation.address.rawValue ^ answers[index].rawValue
        }
        start = end
    }
    return wrong == 0
}
