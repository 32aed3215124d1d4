// SPDX-License-Identifier: LGPL-2.1-or-later
//
// What a host changes under traffic: mappings, superpages, attachments, parents of nested domains, dirty bits. Sound, no world
// shows a wrong answer; with one rule broken, the world that the rule protects does. IOMMU_LONG_TESTS=1 runs the sound worlds
// longer. domain_probe.h says of each world what it is meant to catch.

import CIOMMUProbe
import Testing

/// A world of `domain_probe.h`, and what may be broken in it.
struct DomainStressCase: Sendable, CustomTestStringConvertible {
    var world: probe_domain_world
    var mutant: UInt32 = 0
    var readers: UInt32 = 3
    var firstLevelEntries: UInt32 = 64
    var iotlbEntries: UInt32 = 256
    var walkCacheEntries: UInt32 = 64
    var portable = false

    /// `name` is what follows CIOMMU_MUTANT_.
    static func broken(_ name: String, in world: probe_domain_world, readers: UInt32 = 3) -> DomainStressCase {
        let mutant = unsafe probe_mutant_number(name)
        precondition(mutant != 0, "no mutant \(name)")
        return DomainStressCase(world: world, mutant: mutant, readers: readers)
    }

    var testDescription: String {
        unsafe "\(String(cString: probe_domain_world_name(world.rawValue))), \(String(cString: probe_mutant_name(mutant)))"
            + (portable ? ", portable IOTLB" : "") + (iotlbEntries == 0 ? ", no caches" : "")
            + (iotlbEntries == 4 ? ", tiny caches" : "")
    }

    func run(milliseconds: UInt32, rounds: UInt32, seed: UInt64) -> probe_domain_result {
        var options = probe_domain_options()
        options.world = world.rawValue
        options.mutant = mutant
        options.readers = readers
        options.milliseconds = milliseconds
        options.rounds = rounds
        options.seed = seed
        options.iotlb_entries = iotlbEntries
        options.first_level_entries = firstLevelEntries
        options.walk_cache_entries = walkCacheEntries
        options.portable = portable
        options.widen = true
        var result = probe_domain_result()
        let status = unsafe probe_domain_stress(&options, &result)
        #expect(status == 0)
        return result
    }

    var isDirty: Bool { world.rawValue >= PROBE_DOMAIN_DIRTY.rawValue }
}

extension probe_domain_result {
    /// What the first violation was.
    var firstViolation: String {
        let bytes = unsafe withUnsafeBytes(of: first) { unsafe Array($0.prefix { $0 != 0 }) }
        return String(decoding: bytes, as: UTF8.self)
    }
}

/// The rules of the host's side with the worlds that must show them broken, and those of the protocol that these worlds rest on.
let domainMutants: [DomainStressCase] = [
    .broken("SPLIT_WITH_GAP", in: PROBE_DOMAIN_SPLITS),
    .broken("SPLIT_WITH_GAP", in: PROBE_DOMAIN_HUGE_SPLITS),
    .broken("DIRTY_NO_INVALIDATE", in: PROBE_DOMAIN_DIRTY),
    .broken("DIRTY_NO_INVALIDATE", in: PROBE_DOMAIN_DIRTY_LARGE),
    .broken("DIRTY_NO_INVALIDATE", in: PROBE_DOMAIN_DIRTY_SPLIT),
    .broken("DIRTY_NO_INVALIDATE", in: PROBE_DOMAIN_DIRTY_NESTED),
    .broken("REPLACE_WITH_GAP", in: PROBE_DOMAIN_REPLACE),
    .broken("TABLE_FREED_EARLY", in: PROBE_DOMAIN_SPLITS),
    .broken("MERGE_KEEPS_WALKGEN", in: PROBE_DOMAIN_SPLITS),
    .broken("MERGE_KEEPS_WALKGEN", in: PROBE_DOMAIN_HUGE_SPLITS),
    .broken("DETACH_NO_TABLEGEN", in: PROBE_DOMAIN_ATTACH),
    .broken("DETACH_NO_TABLEGEN", in: PROBE_DOMAIN_REPLACE),
    .broken("NO_DRAIN", in: PROBE_DOMAIN_FLIPS),
    .broken("NO_DRAIN", in: PROBE_DOMAIN_ATTACH),
    .broken("NO_DRAIN", in: PROBE_DOMAIN_DIRTY),
    .broken("NO_CHILDREN", in: PROBE_DOMAIN_CHILDREN),
    .broken("IGNORE_TABLEGEN", in: PROBE_DOMAIN_ATTACH),
    .broken("RIGHTS_WITHOUT_D", in: PROBE_DOMAIN_DIRTY),
]

private let worlds: [probe_domain_world] = [
    PROBE_DOMAIN_FLIPS, PROBE_DOMAIN_SPLITS, PROBE_DOMAIN_HUGE_SPLITS, PROBE_DOMAIN_REPLACE, PROBE_DOMAIN_ATTACH,
    PROBE_DOMAIN_CHILDREN, PROBE_DOMAIN_MAPPERS, PROBE_DOMAIN_DIRTY, PROBE_DOMAIN_DIRTY_LARGE, PROBE_DOMAIN_DIRTY_SPLIT,
    PROBE_DOMAIN_DIRTY_NESTED,
]

private let soundWorlds: [DomainStressCase] =
    worlds.flatMap { world in
        [DomainStressCase(world: world), DomainStressCase(world: world, readers: 2, portable: true)]
    } + [
        DomainStressCase(world: PROBE_DOMAIN_FLIPS, readers: 6, firstLevelEntries: 4, iotlbEntries: 4),
        DomainStressCase(
            world: PROBE_DOMAIN_SPLITS, firstLevelEntries: 0, iotlbEntries: 0, walkCacheEntries: 0),
        DomainStressCase(world: PROBE_DOMAIN_SPLITS, firstLevelEntries: 4, iotlbEntries: 4, walkCacheEntries: 4),
        DomainStressCase(world: PROBE_DOMAIN_DIRTY, firstLevelEntries: 4, iotlbEntries: 4),
    ]

@Suite(.serialized)
struct DomainStressTests {
    @Test(arguments: soundWorlds)
    func noReaderSeesAWrongAnswer(_ stress: DomainStressCase) {
        let seed = seed()
        let result = stress.run(milliseconds: isLong ? 30_000 : 1000, rounds: 1000, seed: seed)
        #expect(result.violations == 0, "\(result.firstViolation); IOMMU_TEST_SEED=\(seed) replays")
        #expect(result.reads > 0)
        #expect(result.changes >= (stress.isDirty ? 1000 : 1))
        #expect(result.writes > 0 || !stress.isDirty)
    }

    @Test(.enabled(if: probe_has_mutants()), arguments: domainMutants)
    func aBrokenRuleIsNoticed(_ stress: DomainStressCase) {
        let seed = seed()
        let result = stress.run(milliseconds: 120_000, rounds: 0, seed: seed)
        #expect(result.violations > 0, "not noticed in \(result.reads) reads; IOMMU_TEST_SEED=\(seed) replays")
    }
}
