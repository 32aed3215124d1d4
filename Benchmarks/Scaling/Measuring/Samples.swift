// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Figures of the same thing from every repetition.

/// One figure for each repetition, in their order.
struct Samples {
    private(set) var values: [Double] = []

    init(_ values: [Double] = []) {
        self.values = values
    }

    mutating func add(_ value: Double) {
        values.append(value)
    }

    /// `nan` if there are none, as below.
    var minimum: Double { values.min() ?? .nan }
    var maximum: Double { values.max() ?? .nan }

    /// The middle one; the mean of the two in the middle of an even number.
    var median: Double {
        guard !values.isEmpty else { return .nan }
        let sorted = values.sorted()
        let middle = sorted.count / 2
        return sorted.count.isMultiple(of: 2) ? (sorted[middle - 1] + sorted[middle]) / 2 : sorted[middle]
    }

    /// Each figure divided by that of the same repetition.
    func divided(by other: Samples) -> Samples {
        Samples(zip(values, other.values).map { $0 / $1 })
    }
}
