// SPDX-License-Identifier: LGPL-2.1-or-later
//
// BenchSuite - chooses rows and measures them, one after the other.

internal import CIOMMUBench
import Foundation

/// The benchmark.
///
/// Runs on the calling thread, which is tied to the first processor unless told otherwise; use a thread of its own where
/// that matters. Wrong answers of the engine or of a baseline end the process: figures of a wrong engine are worth nothing.
public struct BenchSuite: Sendable {
    /// What to measure, and how long.
    public struct Options: Sendable {
        /// Milliseconds for each row, from 1 on.
        public var millisecondsPerRow = 1500
        /// More than the standard set.
        public var includesAll = false
        /// Part of the names of the rows wanted, or a pattern with `*`, `?` or `[...]` for the whole name. Where no
        /// row of the standard set is like it, rows beyond it are taken without `includesAll`.
        public var pattern: String?
        /// Whether the calling thread and those beside are tied to processors.
        public var pinsThreads = true
        /// Bytes for the loads that should miss all caches; `nil`: 512 MiB, or less where memory is short.
        public var dramLoadBytes: UInt64?
        /// For tests: no row has more pages.
        package var mostPages: UInt32?

        public init() {}
    }

    /// No row has a name like that.
    public struct NoSuchRow: Error, CustomStringConvertible {
        /// What was asked for.
        public let pattern: String
        /// The names that there are.
        public let names: [String]

        public var description: String {
            "no row matches '\(pattern)'; the rows are: " + names.joined(separator: ", ")
        }
    }

    private let options: Options
    private let cases: [BenchCase]

    /// Chooses the rows.
    public init(_ options: Options) throws(NoSuchRow) {
        precondition(options.millisecondsPerRow > 0, "a row takes a millisecond or more")
        self.options = options
        let standard = BenchCase.standard(processors: Int(bench_processors()))
        guard let pattern = options.pattern else {
            cases = options.includesAll ? standard + BenchCase.extra : standard
            return
        }
        let all = standard + BenchCase.extra
        let usual = (options.includesAll ? all : standard).filter { Self.matches($0.name, pattern) }
        cases = usual.isEmpty ? all.filter { Self.matches($0.name, pattern) } : usual
        if cases.isEmpty {
            var names: [String] = []
            for name in all.map(\.name) where names.last != name && !names.contains(name) {
                names.append(name)
            }
            throw NoSuchRow(pattern: pattern, names: names)
        }
    }

    /// Names of the rows to be measured, in order; those with several threads twice.
    public var rowNames: [String] { cases.map(\.name) }

    private static func matches(_ name: String, _ pattern: String) -> Bool {
        guard pattern.contains(where: { "*?[".contains($0) }) else { return name.contains(pattern) }
        return unsafe fnmatch(pattern, name, 0) == 0
    }

    /// Measures. `progress` hears, on this thread, which row comes next and how much is done (0 to 1).
    public func run(progress: (_ row: String, _ fraction: Double) -> Void = { _, _ in }) -> BenchReport {
        progress("machine", 0)
        if options.pinsThreads {
            _ = bench_pin(0)
        }
        let loads = Loads(wantedBytes: options.dramLoadBytes)
        var measurement = RowMeasurement(
            turns: Turns(budget: UInt64(options.millisecondsPerRow) * 1_000_000), loads: loads,
            mostPages: options.mostPages)
        var rows: [BenchRow] = []
        for (index, one) in cases.enumerated() {
            progress(one.name, Double(index) / Double(cases.count))
            rows.append(measurement.measure(one))
        }
        progress("", 1)
        return BenchReport(
            machine: Machine(
                loads: loads, near: measurement.nearLoad.statistics, far: measurement.farLoad.statistics),
            millisecondsPerRow: options.millisecondsPerRow, notes: loads.note.map { [$0] } ?? [], rows: rows)
    }
}
