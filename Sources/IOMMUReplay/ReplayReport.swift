// SPDX-License-Identifier: LGPL-2.1-or-later
//
// ReplayReport - what a replay came to. Its JSON form is an interface: others read it.

public import IOMMU

/// How a unit answered its lookups.
public struct IOTLBCounts: Hashable, Sendable, Codable {
    /// Pages asked for.
    public var lookups: UInt64 = 0
    /// Answered by a port's first-level cache.
    public var firstLevelHits: UInt64 = 0
    /// Answered by the shared IOTLB.
    public var hits: UInt64 = 0
    /// Paging structures walked.
    public var walks: UInt64 = 0

    /// All zero.
    public init() {}

    /// Takes a unit's counters.
    public init(_ statistics: Statistics) {
        lookups = statistics.lookups
        firstLevelHits = statistics.firstLevelHits
        hits = statistics.iotlbHits
        walks = statistics.walks
    }

    /// Adds another unit's.
    static func += (left: inout IOTLBCounts, right: IOTLBCounts) {
        left.lookups += right.lookups
        left.firstLevelHits += right.firstLevelHits
        left.hits += right.hits
        left.walks += right.walks
    }
}

/// What a replay came to.
///
/// Of the stream, `translations` = `agreed` + `explained` + the unexplained translations; ``unexplained`` counts descriptors that
/// the engine refused too. With repeats the passes are summed. The walks of the unexplained are not in the JSON form.
public struct ReplayReport: Hashable, Sendable, Codable {
    /// Of `mappings.csv`.
    public struct Mappings: Hashable, Sendable, Codable {
        /// Rows.
        public var rows: Int
        /// Rows that are right.
        public var agreed: Int
    }

    /// Of `probes.csv`.
    public struct Probes: Hashable, Sendable, Codable {
        /// Rows.
        public var rows: Int
        /// Rows with the same answer.
        public var agreed: Int
        /// Known departures of the recorder, by ``Explanation``.
        public var explained: [String: Int]
        /// The others.
        public var unexplained: Int
    }

    /// Wall-clock time.
    public struct Seconds: Hashable, Sendable, Codable {
        /// Reading the recording.
        public var load: Double
        /// All passes over the stream.
        public var replay: Double
        /// The checks of the image.
        public var probes: Double
    }

    /// Name of the capture folder.
    public var capture: String
    /// Translations of the stream.
    public var translations: Int
    /// The same answer.
    public var agreed: Int
    /// Known departures of the recorder, by ``Explanation``.
    public var explained: [String: Int]
    /// Differences that nothing explains.
    public var unexplained: Int
    /// The leaves of the image.
    public var mappings: Mappings
    /// The recorder's answers about the image.
    public var probes: Probes
    /// Descriptors handed to the engine.
    public var invalidations: Int
    /// Batches that the descriptors were applied in; nil when they were applied one by one.
    public var batches: Int?
    /// What was compared besides translations when registers drove the unit; nil otherwise.
    public var registers: RegisterCounts?
    /// How the engine answered the stream.
    public var iotlb: IOTLBCounts
    /// Threads.
    public var threads: Int
    /// Wall-clock time.
    public var seconds: Seconds
    /// Time of all passes over translations: invalidations and changes of memory are in it.
    public var nanosecondsPerTranslation: Double

    /// The first unexplained differences.
    public var deviations: [Deviation] = []

    /// What a program that replays ends with: 0 if everything agreed, 1 if not.
    public var exitCode: Int32 { isAgreement ? 0 : 1 }

    /// Nothing differs but what is explained.
    public var isAgreement: Bool {
        unexplained == 0 && probes.unexplained == 0 && mappings.agreed == mappings.rows
    }

    private enum CodingKeys: String, CodingKey {
        case capture, translations, agreed, explained, unexplained, mappings, probes, invalidations, batches, registers
        case iotlb, threads, seconds, nanosecondsPerTranslation
    }
}
