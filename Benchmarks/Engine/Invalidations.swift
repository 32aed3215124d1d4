// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Invalidations of a guest's first stage, idle and beside a port that translates without pause. What is counted is checked.

import Benchmark
import BusyThread
import CIOMMUBench
import EngineInC
import IOMMU

private let shape = Shape(.first, pages: 1 << 12)

private var rows: [(String, Invalidation)] {
    let first = IOVA(shape.firstInput)
    func range(_ pages: UInt64) -> IOVA { IOVA(shape.firstInput + pages * 4096 - 1) }
    return [
        (
            "page",
            Invalidation(
                .translations, domain: 1, pasid: PASID(0), stages: .first, leafOnly: true, first: first, last: range(1))
        ),
        (
            "range-of-64-pages",
            Invalidation(
                .translations, domain: 1, pasid: PASID(0), stages: .first, leafOnly: true, first: first, last: range(64)
            )
        ),
        ("pasid", Invalidation(.translations, domain: 1, pasid: PASID(0), stages: .first)),
        ("domain", Invalidation(.translations, domain: 1)),
        ("global", Invalidation(.translations)),
    ]
}

/// A world, and perhaps somebody who uses another port of it.
private struct Scene<World> {
    let world: World
    let neighbour: BusyThread?
}

func registerInvalidations() {
    for (name, invalidation) in rows {
        for isBusy in [false, true] {
            compare(
                "invalidate/\(name)/\(isBusy ? "beside-a-busy-port" : "idle")",
                c: { makeInC(isBusy) }, swift: { try makeInSwift(isBusy) },
                runC: { benchmark, scene in
                    var inC = ciommu_invalidation(invalidation)
                    let unit = bench_world_unit(scene.world.handle)
                    benchmark.startMeasurement()
                    engine_invalidate(unit, &inC, UInt32(benchmark.scaledIterations.count))
                    benchmark.stopMeasurement()
                },
                runSwift: { benchmark, scene in
                    let unit = scene.world.unit
                    let before = unit.statistics.invalidations
                    benchmark.startMeasurement()
                    for _ in benchmark.scaledIterations {
                        try unit.invalidate(invalidation)
                    }
                    benchmark.stopMeasurement()
                    precondition(unit.statistics.invalidations - before == UInt64(benchmark.scaledIterations.count))
                })
        }
    }
}

private func makeInC(_ isBusy: Bool) -> Scene<WorldInC> {
    let world = WorldInC(shape)
    world.choose()
    return Scene(world: world, neighbour: isBusy ? BusyThread { world.translate(BENCH_SINGLE, lane: 1) } : nil)
}

private func makeInSwift(_ isBusy: Bool) throws -> Scene<WorldInSwift> {
    let world = try WorldInSwift(shape)
    world.choose()
    guard isBusy else { return Scene(world: world, neighbour: nil) }
    let port = try world.unit.makePort()
    let (requests, answers) = (world.requests, world.answers)
    let neighbour = BusyThread {
        let isRight = try? translateSingly(port, requests.span, answers.span)
        precondition(isRight == true, "a wrong answer")
    }
    return Scene(world: world, neighbour: neighbour)
}

extension ciommu_invalidation {
    fileprivate init(_ invalidation: Invalidation) {
        self.init(
            size: UInt32(MemoryLayout<ciommu_invalidation>.size), kind: invalidation.kind.rawValue,
            domain: invalidation.domain ?? .max, pasid: invalidation.pasid?.rawValue ?? .max, source: .max,
            source_mask: 0, stages: invalidation.stages.rawValue, leaf_only: invalidation.leafOnly ? 1 : 0,
            first: invalidation.first.rawValue, last: invalidation.last.rawValue)
    }
}
