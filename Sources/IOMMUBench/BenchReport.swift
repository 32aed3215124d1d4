// SPDX-License-Identifier: LGPL-2.1-or-later
//
// BenchReport - all rows of a run and the machine they were measured on.

/// What a run of the benchmark found.
public struct BenchReport: Codable, Sendable, Equatable {
    /// The version of the library.
    public static let currentVersion = "0.1.0"

    /// Where it was measured.
    public var machine: Machine
    /// The library's version.
    public var engineVersion: String
    /// "release", or "debug", whose figures mean nothing.
    public var build: String
    /// Time for each row.
    public var millisecondsPerRow: Int
    /// What a reader must know about this run.
    public var notes: [String]
    /// The rows, in the order of their measurement.
    public var rows: [BenchRow]

    /// Whether this library was built for debugging.
    public static var isDebugBuild: Bool { _isDebugAssertConfiguration() }

    init(machine: Machine, millisecondsPerRow: Int, notes: [String], rows: [BenchRow]) {
        self.machine = machine
        engineVersion = Self.currentVersion
        build = Self.isDebugBuild ? "debug" : "release"
        self.millisecondsPerRow = millisecondsPerRow
        self.notes = notes
        self.rows = rows
    }
}
