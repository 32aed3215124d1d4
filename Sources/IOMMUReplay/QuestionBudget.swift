// SPDX-License-Identifier: LGPL-2.1-or-later
//
// QuestionBudget - how much an enumeration may ask altogether. Tables can refer to themselves, and then describe more mappings
// than anybody has time for.

/// Counts questions down.
final class QuestionBudget {
    /// Enough for a hundred times the tables of a recording, and a few seconds.
    static let standard = 8_000_000

    private var left: Int

    init(_ count: Int = standard) {
        left = count
    }

    /// Nothing may be asked any more.
    var isSpent: Bool { left <= 0 }

    /// Takes one question; false if none is left.
    func take() -> Bool {
        left -= 1
        return left >= 0
    }
}
