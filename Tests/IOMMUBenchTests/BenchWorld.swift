// SPDX-License-Identifier: LGPL-2.1-or-later
//
// BenchWorld - a world and the baselines over it, for tests. Their loops end the process at a wrong answer.

import CIOMMU
import CIOMMUBench

/// The designs that the engine is compared with.
let designs = [BENCH_MUTEX_TABLE, BENCH_TREE, BENCH_RCU_TABLE]

@safe final class BenchWorld {
    let world: OpaquePointer
    let baselines: [OpaquePointer]
    private var seed: UInt64 = 1
    private let count: UInt32 = 256
    private let requests = UnsafeMutablePointer<ciommu_request>.allocate(capacity: 512)
    private let answers = UnsafeMutablePointer<UInt64>.allocate(capacity: 512)

    init(
        _ way: bench_way, pages: UInt32, designs wanted: [bench_design] = designs, caches: Bool = true,
        change: (inout bench_world_config) -> Void = { _ in }
    ) {
        var config = bench_world_config()
        unsafe bench_world_config_init(&config, way, pages)
        config.lanes = 2
        change(&config)
        let world = unsafe bench_world_create(&config)!
        unsafe self.world = unsafe world
        unsafe baselines = wanted.map { unsafe bench_baseline_create(world, $0, caches) }
    }

    deinit {
        unsafe eachBaseline { unsafe bench_baseline_destroy($0) }
        unsafe bench_world_destroy(world)
        unsafe requests.deallocate()
        unsafe answers.deallocate()
    }

    /// Calls `body` for each baseline, in the order of the designs.
    func eachBaseline(_ body: (OpaquePointer) -> Void) {
        for index in unsafe baselines.indices {
            unsafe body(baselines[index])
        }
    }

    /// Fills caches.
    func warm() {
        unsafe bench_world_warm(world)
        unsafe eachBaseline { unsafe bench_baseline_warm($0) }
    }

    /// The same random requests to everybody, in every manner; how many.
    @discardableResult
    func askAll(skew: UInt32 = 0) -> Int {
        var asked = 0
        for manner in [BENCH_SINGLE, BENCH_SECTION, BENCH_BATCH, BENCH_BATCH_16] {
            unsafe bench_world_choose(world, &seed, skew, requests, answers, count)
            _ = unsafe bench_world_translate(world, 0, manner, requests, answers, count)
            unsafe eachBaseline { _ = unsafe bench_baseline_translate($0, manner, requests, answers, count) }
            asked += Int(count)
        }
        return asked
    }

    /// A random address of the first requester.
    func someAddress() -> UInt64 {
        unsafe bench_world_choose(world, &seed, 0, requests, answers, 1)
        return unsafe requests[0].iova
    }

    /// Asks everybody for one page of the only requester and expects another one's answer.
    func ask(page: UInt32, expecting other: UInt32) {
        unsafe requests[0] = ciommu_request(
            source: 8, pasid: CIOMMU_NO_PASID, iova: Self.iova(page), length: 1, access: 1, flags: 0)
        unsafe bench_world_choose(world, &seed, 0, requests + 1, answers + 1, 1)
        let base = unsafe answers[1] &- requests[1].iova
        unsafe answers[0] = base &+ Self.iova(other)
        _ = unsafe bench_world_translate(world, 0, BENCH_SINGLE, requests, answers, 1)
        unsafe eachBaseline { _ = unsafe bench_baseline_translate($0, BENCH_BATCH, requests, answers, 1) }
    }

    /// Two threads at the same time, each with its own requests.
    func askAsTeam(_ team: OpaquePointer) {
        unsafe bench_world_choose(world, &seed, 0, requests, answers, 512)
        _ = unsafe bench_team_world(team, world, BENCH_BATCH, requests, answers, 256)
        unsafe eachBaseline {
            _ = unsafe bench_team_baseline(team, $0, BENCH_SINGLE, requests, answers, 256)
        }
    }

    static func iova(_ page: UInt32) -> UInt64 {
        1 << 32 + UInt64(page) << 12
    }
}
