// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Every recording against the engine, with few and many threads and entries, and without caches: nothing is unexplained.

import Foundation
import IOMMU
import IOMMUCapture
import IOMMUReplay
import Testing

@Suite struct RecordingReplayTests {
    /// A way to replay.
    enum Way: String, CaseIterable {
        case oneThreadSmall, oneThreadLarge, twoThreadsSmall, twoThreadsLarge, twoThreadsEveryRun, noCache, noIOTLB
        case batchedSmall, batchedTwoThreads

        var options: ReplayOptions {
            var options = ReplayOptions()
            options.configuration.iotlbEntries = 65_536
            switch self {
            case .oneThreadSmall: options.configuration.iotlbEntries = 64
            case .oneThreadLarge: break
            case .twoThreadsSmall: (options.threads, options.configuration.iotlbEntries) = (2, 64)
            case .twoThreadsLarge: options.threads = 2
            case .twoThreadsEveryRun: (options.threads, options.shortestSharedRun) = (2, 2)
            case .noCache: options.configuration = .noCache
            case .batchedSmall: (options.isBatched, options.configuration.iotlbEntries) = (true, 64)
            case .batchedTwoThreads: (options.isBatched, options.threads) = (true, 2)
            case .noIOTLB: options.configuration.iotlbEntries = 0
            }
            return options
        }
    }

    /// What the recorder's departures come to: they do not depend on the engine's caches.
    static let explained: [Recording: (stream: [String: Int], probes: [String: Int])] = [
        .legacy: (["permissionOnHit": 32], [:]),
        .legacyATS: (["permissionOnHit": 32], [:]),
        .scalableSecondStage: (
            ["permissionOnHit": 32, "legacyCode": 1796], ["legacyCode": 3612, "absentPasidEntry": 1988]
        ),
        .scalableFirstStage: (
            ["permissionOnHit": 32, "legacyCode": 4], ["legacyCode": 12, "absentPasidEntry": 1988]
        ),
    ]

    @Test(arguments: Recording.allCases, Way.allCases)
    func nothingIsUnexplained(_ recording: Recording, _ way: Way) throws {
        let capture = try recording.load()
        let report = try Replay(way.options).run(capture)
        #expect(report.unexplained == 0, "\(report.text)")
        #expect(report.probes.unexplained == 0, "\(report.text)")
        #expect(report.mappings.agreed == report.mappings.rows)
        #expect(report.exitCode == 0)
        #expect(report.translations == capture.events.translations.count)
        #expect(report.agreed + report.explained.values.reduce(0, +) == report.translations)
        #expect(report.probes.agreed + report.probes.explained.values.reduce(0, +) == report.probes.rows)
        #expect(report.invalidations == capture.events.descriptors.count)
        let expected = try #require(Self.explained[recording])
        // A cache may hold an answer longer than the recorder's did.
        #expect(report.explained.filter { $0.key != "stillCached" } == expected.stream)
        #expect(report.probes.explained == expected.probes)
    }

    /// Known departures of the recorder in its registers, and how often the guests read them.
    static let registers: [Recording: (reads: Int, explained: [String: Int])] = [
        .legacy: (94, ["absentPASID": 40]),
        .legacyATS: (94, ["absentPASID": 40]),
        .scalableSecondStage: (101, ["legacyCode": 42, "impliedPASID": 10]),
        .scalableFirstStage: (93, ["legacyCode": 2, "impliedPASID": 6]),
    ]

    @Test(arguments: Recording.allCases)
    func theGuestsRegistersDriveAUnit(_ recording: Recording) throws {
        let capture = try recording.load()
        var options = ReplayOptions()
        options.isThroughRegisters = true
        let report = try Replay(options).run(capture)
        #expect(report.isAgreement, "\(report.text)")
        #expect(report.agreed + report.explained.values.reduce(0, +) == report.translations)
        let expected = try #require(Self.explained[recording])
        #expect(report.explained.filter { $0.key != "stillCached" } == expected.stream)
        let registers = try #require(report.registers)
        let known = try #require(Self.registers[recording])
        #expect(registers.reads == known.reads)
        #expect(registers.explained == known.explained)
        #expect(registers.signals == capture.events.signals.count)
        #expect(registers.interrupts == capture.events.interrupts.count)
        #expect(registers.statusWrites == capture.events.memoryWrites.filter { $0.isByUnit && $0.size == 4 }.count)
    }

    /// Ten times in the middle of a recording the unit moves house.
    @Test(arguments: Recording.allCases)
    func aMigratedUnitGoesOn(_ recording: Recording) throws {
        let capture = try recording.load()
        let text = ProcessInfo.processInfo.environment["IOMMU_TEST_SEED"]
        let seed = text.flatMap(UInt64.init) ?? UInt64.random(in: 1...UInt64(UInt32.max))
        var state = seed
        var options = ReplayOptions()
        options.isThroughRegisters = true
        while options.migrations.count < 10 {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            options.migrations.insert(Int(state >> 33) % capture.events.events.count)
        }
        let report = try Replay(options).run(capture)
        #expect(report.isAgreement, "IOMMU_TEST_SEED=\(seed) replays: \(report.text)")
        let registers = try #require(report.registers)
        #expect(registers.explained == Self.registers[recording]?.explained)
        #expect(registers.statusWrites == capture.events.memoryWrites.filter { $0.isByUnit && $0.size == 4 }.count)
    }

    @Test(arguments: Recording.allCases)
    func batchesAnswerAsOneByOneDoes(_ recording: Recording) throws {
        let capture = try recording.load()
        var options = ReplayOptions()
        let single = try Replay(options).run(capture)
        options.isBatched = true
        let batched = try Replay(options).run(capture)
        #expect(single.batches == nil)
        // The recorded guests wait for each invalidation, or for many at once: never more batches than descriptors.
        let batches = try #require(batched.batches)
        #expect(batches > 0 && batches < batched.invalidations)
        #expect(batched.invalidations == single.invalidations)
        #expect(batched.agreed == single.agreed)
        #expect(batched.explained == single.explained)
        #expect(batched.unexplained == 0 && single.unexplained == 0)
        #expect(batched.iotlb.lookups == single.iotlb.lookups)
    }

    @Test func everyLookupIsCounted() throws {
        let capture = try Recording.scalableFirstStage.load()
        let cached = try Replay().run(capture)
        #expect(cached.iotlb.lookups == UInt64(cached.translations))
        #expect(cached.iotlb.firstLevelHits > 0)
        #expect(cached.iotlb.hits > 0)
        var options = ReplayOptions()
        options.configuration = .noCache
        let uncached = try Replay(options).run(capture)
        #expect(uncached.iotlb.firstLevelHits == 0)
        #expect(uncached.iotlb.hits == 0)
        #expect(uncached.iotlb.walks > cached.iotlb.walks)
    }

    @Test func repeatsAreSummed() throws {
        var options = ReplayOptions()
        options.repeats = 3
        options.threads = 2
        let capture = try Recording.scalableFirstStage.load()
        let report = try Replay(options).run(capture)
        #expect(report.translations == 3 * capture.events.translations.count)
        #expect(report.invalidations == 3 * capture.events.descriptors.count)
        #expect(report.explained == ["permissionOnHit": 96, "legacyCode": 12])
        #expect(report.probes.rows == capture.probes.count)
        #expect(report.isAgreement)
    }

    @Test func progressRisesThroughEveryPhase() throws {
        var phases: [Replay.Phase] = []
        let replay = Replay { phase, fraction in
            #expect((0...1).contains(fraction))
            if phases.last != phase { phases.append(phase) }
        }
        _ = try replay.run(folder: Recording.legacy.folder)
        #expect(phases == [.load, .stream(pass: 0), .image])
    }
}
