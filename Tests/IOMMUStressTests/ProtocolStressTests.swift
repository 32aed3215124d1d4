// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The protocol under stress: readers verify every answer beside a thread that remaps, invalidates and poisons. Sound, no world
// shows a wrong answer; with one rule broken, the world that the rule protects does. IOMMU_LONG_TESTS=1 runs the sound worlds longer.

import CIOMMUProbe
import Foundation
import Testing

/// A world of `CIOMMUProbe`, and what may be broken in it.
struct StressCase: Sendable, CustomTestStringConvertible {
    var world: UInt32
    var mutant: UInt32 = 0
    var readers: UInt32 = 3
    var firstLevelEntries: UInt32 = 64
    var iotlbEntries: UInt32 = 256
    var walkCacheEntries: UInt32 = 64
    var slowStores = false
    var portable = false

    var testDescription: String {
        unsafe "\(String(cString: probe_world_name(world))), \(String(cString: probe_mutant_name(mutant)))"
            + (portable ? ", portable IOTLB" : "") + (walkCacheEntries == 0 ? ", no walk cache" : "")
    }

    func run(milliseconds: UInt32, seed: UInt64) -> probe_result {
        var options = probe_options()
        options.world = world
        options.mutant = mutant
        options.readers = readers
        options.milliseconds = milliseconds
        options.seed = seed
        options.iotlb_entries = world == PROBE_CROWD.rawValue ? 16 : iotlbEntries
        options.first_level_entries = firstLevelEntries
        options.walk_cache_entries = walkCacheEntries
        options.portable = portable
        options.widen = !slowStores
        options.slow_stores = slowStores
        var result = probe_result()
        let status = unsafe probe_stress(&options, &result)
        #expect(status == 0)
        return result
    }
}

extension probe_result {
    /// What the first violation was.
    var firstViolation: String {
        let bytes = unsafe withUnsafeBytes(of: first) { unsafe Array($0.prefix { $0 != 0 }) }
        return String(decoding: bytes, as: UTF8.self)
    }
}

let isLong = ProcessInfo.processInfo.environment["IOMMU_LONG_TESTS"] == "1"

func seed() -> UInt64 {
    if let text = ProcessInfo.processInfo.environment["IOMMU_TEST_SEED"], let value = UInt64(text) {
        return value
    }
    return UInt64.random(in: 1...UInt64(UInt32.max))
}

/// The mutants with the world that must show them; those of the IOTLB without a walk cache, whose tables would be read instead. `rightsWithoutD` has a deterministic test of its own.
private let mutants: [StressCase] = [
    StressCase(world: PROBE_PAGES.rawValue, mutant: 1, firstLevelEntries: 4, walkCacheEntries: 0),
    StressCase(world: PROBE_PAGES.rawValue, mutant: 2),
    StressCase(world: PROBE_PAGES.rawValue, mutant: 3, firstLevelEntries: 4, iotlbEntries: 4, walkCacheEntries: 0),
    StressCase(world: PROBE_PAGES.rawValue, mutant: 4),
    StressCase(world: PROBE_PAGES.rawValue, mutant: 5),
    StressCase(world: PROBE_NESTED_TABLES.rawValue, mutant: 6),
    StressCase(world: PROBE_BINDINGS.rawValue, mutant: 7),
    StressCase(world: PROBE_MEMORY.rawValue, mutant: 8),
    StressCase(world: PROBE_BINDINGS.rawValue, mutant: 9),
    StressCase(world: PROBE_CROWD.rawValue, mutant: 11, walkCacheEntries: 0),
    StressCase(world: PROBE_PAGES.rawValue, mutant: 12, walkCacheEntries: 0),
    StressCase(world: PROBE_PAGES.rawValue, mutant: 13, readers: 1, firstLevelEntries: 4, walkCacheEntries: 0),
    StressCase(world: PROBE_TABLES.rawValue, mutant: 14),
    StressCase(world: PROBE_NESTED.rawValue, mutant: 15),
    StressCase(world: PROBE_PAGES.rawValue, mutant: 16),
    StressCase(world: PROBE_EVICTIONS.rawValue, mutant: 17),
    StressCase(world: PROBE_PAGES.rawValue, mutant: 18, readers: 1, firstLevelEntries: 4, walkCacheEntries: 0),
]

private let soundWorlds: [StressCase] =
    (0..<PROBE_WORLDS.rawValue).flatMap { world in
        [StressCase(world: world), StressCase(world: world, readers: 2, walkCacheEntries: 0, portable: true)]
    } + [
        StressCase(world: PROBE_PAGES.rawValue, readers: 1, slowStores: true),
        StressCase(world: PROBE_PAGES.rawValue, readers: 6, firstLevelEntries: 4),
        StressCase(world: PROBE_PAGES.rawValue, walkCacheEntries: 0),
    ]

/// What the cases and the model of page requests notice (CIOMMUFaultTests).
let deterministicPageMutants = ["PAGE_ANSWERED_TWICE", "PAGE_CANCEL_FIRST"]

@Suite(.serialized)
struct ProtocolStressTests {
    @Test(arguments: soundWorlds)
    func noReaderSeesAWrongAnswer(_ stress: StressCase) {
        let seed = seed()
        let result = stress.run(milliseconds: isLong ? 30_000 : 700, seed: seed)
        #expect(result.violations == 0, "\(result.firstViolation); IOMMU_TEST_SEED=\(seed) replays")
        #expect(result.reads > 0)
        #expect(result.changes > 0 || stress.world == PROBE_CROWD.rawValue)
    }

    @Test(.enabled(if: probe_has_mutants()), arguments: mutants)
    func aBrokenRuleIsNoticed(_ stress: StressCase) {
        let seed = seed()
        let result = stress.run(milliseconds: 120_000, seed: seed)
        #expect(result.violations > 0, "not noticed in \(result.reads) reads; IOMMU_TEST_SEED=\(seed) replays")
    }

    @Test func everyMutantHasATest() {
        let rightsWithoutD: UInt32 = 10
        let namespaces = [PROBE_NAMESPACE_REUSED_EARLY, PROBE_NAMESPACE_QUARANTINE_IGNORED].map(probe_namespace_mutant)
        let devices = (deviceTLBMutants + deterministicDeviceTLBMutants).map(deviceTLBMutant)
        let messages = messageMutants.map { unsafe probe_mutant_number($0) }
        let faults = faultMutants.map { unsafe probe_mutant_number($0) }
        let pages = deterministicPageMutants.map { unsafe probe_mutant_number($0) }
        let broken = Set(mutants.map(\.mutant)).union(domainMutants.map(\.mutant)).union(namespaces).union(devices)
            .union(messages).union(faults).union(pages)
        #expect(broken.union([0, rightsWithoutD]) == Set(0..<probe_mutant_count()))
    }
}
