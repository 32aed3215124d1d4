// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Random operations against the reference. A failure names the seed: run again with IOMMU_TEST_SEED set to it. With
// IOMMU_LONG_TESTS=1 the episodes are many more.

import Foundation
import IOMMU
import IOMMUTestSupport
import Testing

@Suite struct ModelTests {
    /// A unit's caches, from none to more than the world needs.
    enum Caches: CaseIterable, Hashable, Sendable {
        case none, tiny, firstLevelOnly, sharedOnly, walkOnly, usual, portable

        var configuration: RemappingUnit.Configuration {
            var configuration = RemappingUnit.Configuration()
            configuration.iotlbEntries = 4096
            switch self {
            case .none: return .noCache
            case .tiny:
                configuration.iotlbEntries = 4
                configuration.firstLevelEntries = 2
                configuration.walkCacheEntries = 2
                configuration.bindings = 2
                configuration.addressSpaces = 2
            case .firstLevelOnly:
                configuration.iotlbEntries = 0
                configuration.walkCacheEntries = 0
            case .sharedOnly:
                configuration.firstLevelEntries = 0
                configuration.walkCacheEntries = 0
            case .walkOnly:
                configuration.iotlbEntries = 0
                configuration.firstLevelEntries = 0
            case .usual: break
            case .portable: configuration.usesWideLoads = false
            }
            return configuration
        }
    }

    static let models: [UnitModel] = [
        .full, .revision3, UnitModel.full.with { $0.hostAddressWidth = 40 },
        UnitModel.revision3.with(.maximumGuestAddressWidth, 47), UnitModel.full.with(.secondStageLargePages, 1),
    ]

    static var isLong: Bool { ProcessInfo.processInfo.environment["IOMMU_LONG_TESTS"] == "1" }

    @Test(arguments: Caches.allCases, [false, true])
    func randomOperationsAgreeWithTheReference(caches: Caches, isScalable: Bool) throws {
        let seed = SeededGenerator.forTest().seed
        var log = MismatchLog(limit: 6)
        var (requests, faults, changes) = (0, 0, 0)
        let episodes = Self.isLong ? 100 : 5
        for episode in 0..<episodes where log.isEmpty {
            var run = try ModelRun(
                isScalable: isScalable, model: Self.models[episode % Self.models.count], isCached: caches != .none,
                configuration: caches.configuration, random: SeededGenerator(seed: seed &+ UInt64(episode)))
            try run.run(steps: 4000, label: "episode \(episode)", &log)
            (requests, faults, changes) = (requests + run.requests, faults + run.faults, changes + run.changes)
        }
        log.expectNone("IOMMU_TEST_SEED=\(seed), \(caches), scalable \(isScalable)")
        // The episodes are worth their time: translations and faults both occur, between many changes.
        #expect(faults * 20 > requests && faults * 10 < requests * 9, "\(faults) faults in \(requests) requests")
        #expect(changes * 10 > requests)
    }
}
