// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Deviation - an answer that nothing explains, with what is needed to look into it.

internal import IOMMU

/// A difference that is no known departure of the recorder, or a descriptor that the engine refused.
public struct Deviation: Hashable, Sendable {
    /// The file of the recording.
    public let file: String
    /// Its line.
    public let line: Int
    /// What the recording says.
    public let recorded: String
    /// What the engine says.
    public let answered: String
    /// The walk, entry by entry; empty where there is none.
    public let walk: [String]
}

extension Deviation: CustomStringConvertible {
    /// File and line, the two answers, and the walk below.
    public var description: String {
        var lines = ["\(file):\(line): \(recorded)", "    engine: \(answered)"]
        lines += walk.map { "    " + $0 }
        return lines.joined(separator: "\n")
    }
}

/// Gathers deviations, the first few with their walks.
struct DeviationList {
    let limit: Int
    private(set) var kept: [Deviation] = []
    private(set) var count = 0

    init(limit: Int) {
        self.limit = limit
    }

    /// Counts one; `make` runs only if it is kept.
    mutating func add(_ make: () -> Deviation) {
        count += 1
        if kept.count < limit {
            kept.append(make())
        }
    }
}
