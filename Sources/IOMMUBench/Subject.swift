// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Subject - one thing that is measured in turn with others, and its samples.

/// One repetition: nanoseconds of an operation, and of what does not count of it.
struct Sample {
    var nanoseconds: Double
    /// The same without what is to be measured; 0 = all of it counts.
    var without = 0.0
}

/// Something that can be repeated.
struct Subject {
    /// Before a run of repetitions, and after it.
    var begin: () -> Void = {}
    var end: () -> Void = {}
    /// One repetition with fresh addresses.
    var repeatOnce: () -> Sample
}

/// The repetitions of a subject.
struct Samples {
    private var nanoseconds: [Double] = []
    private var without: [Double] = []

    mutating func append(_ sample: Sample) {
        nanoseconds.append(sample.nanoseconds)
        without.append(sample.without)
    }

    mutating func append(contentsOf other: Samples) {
        nanoseconds += other.nanoseconds
        without += other.without
    }

    /// Less than the clock can tell; keeps ratios finite.
    private static let least = 0.01

    /// Minimum and median, each less that of what does not count.
    var statistics: Statistics {
        let all = Statistics(nanoseconds)
        let rest = Statistics(without)
        return Statistics(
            minimum: max(all.minimum - rest.minimum, Self.least),
            median: max(all.median - rest.median, Self.least), count: all.count)
    }
}
