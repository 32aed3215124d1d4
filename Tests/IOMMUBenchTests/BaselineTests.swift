// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The engine and the baselines answer alike: on random requests, after invalidations, and beside other threads. A wrong
// answer ends the process.

import CIOMMU
import CIOMMUBench
import Testing

@Suite struct BaselineTests {
    @Test(arguments: [BENCH_GUEST_SECOND, BENCH_GUEST_NESTED], [UInt32(64), 3000])
    func everybodyAnswersAlike(way: bench_way, pages: UInt32) {
        let world = BenchWorld(way, pages: pages)
        world.askAll()
        world.warm()
        #expect(world.askAll() + world.askAll(skew: 90) == 2048)
    }

    @Test(arguments: [BENCH_GUEST_SECOND, BENCH_GUEST_NESTED])
    func walksWithoutCachesAnswerAlike(way: bench_way) {
        let world = BenchWorld(way, pages: 512, caches: false) {
            $0.first_level_entries = 0
            $0.iotlb_entries = 0
            $0.walk_cache_entries = 0
        }
        world.warm()
        #expect(world.askAll() == 1024)
    }

    @Test(arguments: [
        BENCH_GUEST_SECOND, BENCH_GUEST_FIRST, BENCH_GUEST_NESTED, BENCH_GUEST_PASS, BENCH_HOST_SECOND,
        BENCH_HOST_NESTED,
        BENCH_HOST_PASS,
    ])
    func worldsOfManyRequestersAnswer(way: bench_way) {
        let baselines = way == BENCH_GUEST_SECOND || way == BENCH_GUEST_NESTED ? designs : []
        for (sources, pasids) in [(UInt32(3), UInt32(0)), (2, 5)] {
            let world = BenchWorld(way, pages: 40, designs: baselines) {
                $0.sources = sources
                $0.pasids = pasids
            }
            world.warm()
            #expect(world.askAll() == 1024)
        }
    }

    @Test(arguments: [UInt32(21), 30]) func worldsOfLargePagesAnswer(pageLg2: UInt32) {
        for way in [BENCH_GUEST_SECOND, BENCH_GUEST_NESTED] {
            let world = BenchWorld(way, pages: 5, caches: pageLg2 == 21) { $0.page_lg2 = pageLg2 }
            #expect(world.askAll() == 1024)
        }
        #expect(BenchWorld(BENCH_HOST_SECOND, pages: 5, designs: []) { $0.page_lg2 = pageLg2 }.askAll() == 1024)
    }

    @Test(arguments: [UInt32(21), 24]) func worldsOfScatteredPagesAnswer(apartLg2: UInt32) {
        let world = BenchWorld(BENCH_GUEST_SECOND, pages: 100) { $0.apart_lg2 = apartLg2 }
        #expect(world.askAll() == 1024)
    }

    @Test func invalidationsLeaveNothingWrongBehind() {
        let world = BenchWorld(BENCH_GUEST_SECOND, pages: 2000)
        world.warm()
        for round in 0..<20 {
            let address = world.someAddress()
            unsafe bench_world_invalidate_page(world.world, address)
            unsafe world.eachBaseline { unsafe bench_baseline_invalidate_page($0, address) }
            if round % 5 == 0 {
                unsafe bench_world_invalidate_domain(world.world)
                unsafe world.eachBaseline { unsafe bench_baseline_invalidate_domain($0) }
            }
            world.askAll()
        }
    }

    @Test(arguments: [BENCH_GUEST_SECOND, BENCH_GUEST_NESTED])
    func changedTablesShowAfterAnInvalidation(way: bench_way) {
        let world = BenchWorld(way, pages: 300)
        world.warm()
        for wholeDomain in [false, true] {
            unsafe bench_world_swap(world.world, 7, 200)
            if wholeDomain {
                unsafe bench_world_invalidate_domain(world.world)
                unsafe world.eachBaseline { unsafe bench_baseline_invalidate_domain($0) }
            } else {
                for page in [UInt32(7), 200] {
                    unsafe bench_world_invalidate_page(world.world, BenchWorld.iova(page))
                    unsafe world.eachBaseline {
                        unsafe bench_baseline_invalidate_page($0, BenchWorld.iova(page))
                    }
                }
            }
            // Swapped once, and then back again.
            world.ask(page: 7, expecting: wholeDomain ? 7 : 200)
            world.ask(page: 200, expecting: wholeDomain ? 200 : 7)
        }
    }

    @Test func threadsBesideGetRightAnswersDuringInvalidations() {
        let world = BenchWorld(BENCH_GUEST_SECOND, pages: 500)
        world.warm()
        var beside = unsafe [bench_busy_world(world.world, 1)!]
        unsafe world.eachBaseline { unsafe beside.append(bench_busy_baseline($0)) }
        for round in 0..<100 {
            let address = world.someAddress()
            unsafe bench_world_invalidate_page(world.world, address)
            unsafe world.eachBaseline { unsafe bench_baseline_invalidate_page($0, address) }
            if round % 20 == 0 {
                unsafe bench_world_invalidate_domain(world.world)
                unsafe world.eachBaseline { unsafe bench_baseline_invalidate_domain($0) }
            }
        }
        for index in unsafe beside.indices {
            let translations = unsafe bench_busy_stop(beside[index])
            #expect(translations >= 3200)
        }
        world.askAll()
    }

    @Test func teamsTranslateAtTheSameTime() {
        let world = BenchWorld(BENCH_GUEST_SECOND, pages: 2000)
        let team = unsafe bench_team_create(2)!
        for _ in 0..<20 {
            unsafe world.askAsTeam(team)
        }
        unsafe bench_team_destroy(team)
    }

    @Test func faultsArriveInEveryStore() {
        let faults = unsafe bench_faults_create()!
        for store in [
            BENCH_FAULT_NOWHERE, BENCH_FAULT_ENGINE, BENCH_FAULT_MUTEX_QUEUE, BENCH_FAULT_TREE, BENCH_FAULT_WAIT_FREE,
        ] {
            for _ in 0..<20 {
                #expect(unsafe bench_faults_record(faults, store, 256) > 0)
            }
        }
        unsafe bench_faults_destroy(faults)
    }

    @Test func aWrongAnswerEndsTheProcess() async {
        for engine in [true, false] {
            if engine {
                await #expect(processExitsWith: .failure) {
                    let world = BenchWorld(BENCH_GUEST_SECOND, pages: 10, designs: [])
                    world.ask(page: 1, expecting: 2)
                }
            } else {
                await #expect(processExitsWith: .failure) {
                    let world = BenchWorld(BENCH_GUEST_SECOND, pages: 10, designs: [BENCH_RCU_TABLE])
                    var request = ciommu_request(
                        source: 8, pasid: CIOMMU_NO_PASID, iova: BenchWorld.iova(1), length: 1, access: 1, flags: 0)
                    var answer: UInt64 = 0
                    unsafe world.eachBaseline {
                        _ = unsafe bench_baseline_translate($0, BENCH_SINGLE, &request, &answer, 1)
                    }
                }
            }
        }
    }
}
