// SPDX-License-Identifier: LGPL-2.1-or-later
//
// What the options mean once they are checked and defaults are filled in.

import ArgumentParser
import Foundation

/// Checked options.
struct Options {
    /// Ascending, each once, 1...64.
    var threads: [Int]
    /// In the order of the report.
    var experiments: [ExperimentName]
    var seconds: Double
    var repetitions: Int
    var seed: UInt64

    init(_ command: Scaling) throws {
        threads = try command.threads.map(Self.threads) ?? Self.defaultThreads
        experiments = try command.experiments.map(Self.experiments) ?? ExperimentName.allCases
        seconds = command.seconds ?? (command.quick ? 15 : 130)
        repetitions = command.repetitions ?? (command.quick ? 3 : 15)
        seed = command.seed ?? UInt64.random(in: 0...UInt64(UInt32.max))
        guard seconds.isFinite, seconds > 0, seconds <= 86_400 else {
            throw ValidationError("--seconds takes a number above 0, at most 86400.")
        }
        guard (1...1000).contains(repetitions) else {
            throw ValidationError("--repetitions takes a number from 1 to 1000.")
        }
    }

    /// 1 to the number of processors; beyond eight only the powers of two, and the number itself.
    private static var defaultThreads: [Int] {
        let most = min(ProcessInfo.processInfo.activeProcessorCount, 64)
        return (1...most).filter { $0 <= 8 || $0 == most || $0 & ($0 - 1) == 0 }
    }

    private static func threads(_ text: String) throws -> [Int] {
        let numbers = try text.split(separator: ",", omittingEmptySubsequences: false).map { part in
            guard let number = Int(part.trimmingCharacters(in: .whitespaces)), (1...64).contains(number) else {
                throw ValidationError(
                    "--threads takes numbers from 1 to 64 with commas between, such as 1,2,4; not '\(text)'.")
            }
            return number
        }
        return Set(numbers).sorted()
    }

    private static func experiments(_ text: String) throws -> [ExperimentName] {
        let names = try text.split(separator: ",", omittingEmptySubsequences: false).map { part in
            guard let name = ExperimentName(rawValue: part.trimmingCharacters(in: .whitespaces)) else {
                let known = ExperimentName.allCases.map(\.rawValue).joined(separator: ", ")
                throw ValidationError("--experiments: there is no '\(part)'; there are \(known).")
            }
            return name
        }
        return ExperimentName.allCases.filter(names.contains)
    }

    /// The command line that repeats the run, or some of its experiments in the same time each.
    func command(_ only: [ExperimentName]? = nil, seconds: Double? = nil) -> String {
        var words = ["swift run -c release --package-path Benchmarks Scaling"]
        if let only {
            words.append("--experiments \(only.map(\.rawValue).joined(separator: ","))")
        } else if experiments != ExperimentName.allCases {
            words.append("--experiments \(experiments.map(\.rawValue).joined(separator: ","))")
        }
        words.append("--threads \(threads.map(String.init).joined(separator: ","))")
        words.append("--seconds \(Self.short(seconds ?? self.seconds))")
        words.append("--repetitions \(repetitions) --seed \(seed)")
        return words.joined(separator: " ")
    }

    private static func short(_ value: Double) -> String {
        let text = String(format: "%.1f", value)
        return text.hasSuffix(".0") ? String(text.dropLast(2)) : text
    }
}
