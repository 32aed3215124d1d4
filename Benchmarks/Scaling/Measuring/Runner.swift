// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Runs the slices of all experiments in turn, over and over, and says on standard error how far it is.

import Foundation

/// Alternates between everything that is measured: whatever else the machine does meets all of it alike.
struct Runner {
    var repetitions: Int
    /// How long one slice measures, nanoseconds.
    var sliceNanoseconds: UInt64
    var seed: UInt64

    func run(_ experiments: [any Experiment]) -> Attendance {
        var attendance = Attendance()
        let slices = experiments.flatMap { experiment in
            experiment.slices.map { (name: type(of: experiment).name.rawValue, slice: $0) }
        }
        let progress = ProgressLine(total: repetitions * slices.count)
        for repetition in 0..<repetitions {
            let turn = Turn(
                nanoseconds: sliceNanoseconds, seed: seed &+ UInt64(repetition) &* 0xD134_2543_DE82_EF95)
            for (name, slice) in slices {
                progress.show("repetition \(repetition + 1) of \(repetitions): \(name), \(slice.label)")
                attendance.add(slice.run(turn))
                progress.advance()
            }
        }
        progress.finish()
        return attendance
    }
}

/// Whether readers had the processors that they need.
struct Attendance {
    private var parts = Samples()
    /// All threads were tied to processors.
    private(set) var allPinned = true

    mutating func add(_ outcome: SliceOutcome?) {
        for reader in outcome?.readers ?? [] {
            parts.add(reader.attendance)
            allPinned = allPinned && reader.isPinned
        }
    }

    /// The part of the time in which nothing else had a reader's processor, 0...1, on average.
    var mean: Double { parts.values.isEmpty ? 1 : parts.values.reduce(0, +) / Double(parts.values.count) }
}

/// One line on standard error that is written over; a line every tenth of the way if that is no terminal.
final class ProgressLine {
    private let total: Int
    private let isTerminal = isatty(FileHandle.standardError.fileDescriptor) == 1
    private var done = 0

    init(total: Int) {
        self.total = max(total, 1)
    }

    func show(_ text: String) {
        let head = "[\(done * 100 / total) %] "
        if isTerminal {
            write("\r\u{1b}[K" + head + text.prefix(70))
        } else if done == 0 || done * 10 / total != (done - 1) * 10 / total {
            write(head + text + "\n")
        }
    }

    func advance() { done += 1 }

    func finish() { write(isTerminal ? "\r\u{1b}[K" : "[100 %]\n") }

    private func write(_ text: String) { FileHandle.standardError.write(Data(text.utf8)) }
}
