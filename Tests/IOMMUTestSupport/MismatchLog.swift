// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Collects disagreements of a loop over very many cases: cheap when there are none, short when there are many.

/// The first few disagreements, and the numbers.
package struct MismatchLog: CustomStringConvertible {
    package private(set) var cases = 0
    package private(set) var mismatches = 0
    private var lines: [String] = []
    private let limit: Int

    package init(limit: Int = 12) {
        self.limit = limit
    }

    package var isEmpty: Bool { mismatches == 0 }
    /// True once so much has gone wrong that going on tells nothing new.
    package var isFull: Bool { mismatches >= limit }

    /// Counts a case and keeps it if the two sides differ.
    package mutating func compare<Value: Equatable>(
        _ found: Value, _ wanted: Value, _ context: @autoclosure () -> String
    ) {
        cases += 1
        if found == wanted { return }
        record("\(context()): found \(found), wanted \(wanted)")
    }

    /// Keeps a disagreement.
    package mutating func record(_ line: String) {
        mismatches += 1
        if lines.count < limit { lines.append(line) }
    }

    package var description: String {
        "\(mismatches) of \(cases) cases differ:\n" + lines.joined(separator: "\n")
    }
}
