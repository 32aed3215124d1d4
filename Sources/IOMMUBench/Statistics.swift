// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Statistics - of many repetitions of one measurement.

/// Minimum and median of samples, in the unit of the samples.
public struct Statistics: Sendable, Equatable {
    /// The smallest sample.
    public let minimum: Double
    /// The sample in the middle; of an even count, the upper of the two.
    public let median: Double
    /// How many samples there were.
    public let count: Int

    /// Statistics of at least one sample.
    public init(_ samples: [Double]) {
        precondition(!samples.isEmpty, "no samples")
        let sorted = samples.sorted()
        self.init(minimum: sorted[0], median: sorted[sorted.count / 2], count: sorted.count)
    }

    init(minimum: Double, median: Double, count: Int) {
        self.minimum = minimum
        self.median = median
        self.count = count
    }
}
