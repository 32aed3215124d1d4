// SPDX-License-Identifier: LGPL-2.1-or-later
//
// One run: experiments are set up, checked, measured, checked again, and described.

import Foundation

/// A run with checked options.
final class ScalingRun {
    private static let shortestSlice: UInt64 = 4_000_000

    private let options: Options
    private let machine: Machine
    private var sliceNanoseconds: UInt64 = 0
    private var attendance = Attendance()
    private let begun = Date()

    init(options: Options, machine: Machine) {
        self.options = options
        self.machine = machine
    }

    func measure() -> [Results] {
        note("seed \(options.seed); \(machine.description)")
        for warning in warnings {
            note("take care: \(warning)")
        }
        note("setting up")
        let setting = Setting(threads: options.threads, processors: machine.processors)
        let experiments = options.experiments.map { make($0, setting) }
        let counts = experiments.map(\.slices.count)
        let total = max(counts.reduce(0, +), 1)
        let each = options.seconds * 1e9 / Double(total * options.repetitions)
        sliceNanoseconds = max(Self.shortestSlice, UInt64(each))
        setting.worlds.check(seed: options.seed)
        attendance = Runner(
            repetitions: options.repetitions, sliceNanoseconds: sliceNanoseconds, seed: options.seed
        ).run(experiments)
        setting.worlds.check(seed: ~options.seed)
        return zip(experiments, counts).map { experiment, count in
            let seconds = Double(sliceNanoseconds) * Double(count * options.repetitions) / 1e9
            return experiment.results(command: options.command([type(of: experiment).name], seconds: seconds))
        }
    }

    private func make(_ name: ExperimentName, _ setting: Setting) -> any Experiment {
        switch name {
        case .readers: ReadersExperiment(setting: setting)
        case .fairness: FairnessExperiment(setting: setting)
        case .invalidations: InvalidationsExperiment(setting: setting)
        case .replacements: ReplacementsExperiment(setting: setting)
        case .latency: LatencyExperiment(setting: setting)
        }
    }

    /// What to be careful about; some of it is known only after the run.
    var warnings: [String] {
        var warnings: [String] = []
        if options.repetitions < 9 {
            warnings.append("with few repetitions (\(options.repetitions)) figures are rough.")
        }
        if options.threads.max()! > machine.processors {
            warnings.append(
                "there are more threads than processors (\(machine.processors)), so some share one.")
        }
        if machine.processors == 1 {
            warnings.append("there is one processor, which readers share with the thread that disturbs them.")
        }
        let absent = (1 - attendance.mean) * 100
        if absent > 5 {
            warnings.append(
                String(
                    format:
                        "the machine was busy with other things, which had the readers' processors for %.0f per cent "
                        + "of the time. That time is not counted, but caches were shared and threads met each other "
                        + "less often. ", absent)
                    + (absent > 20
                        ? "Do not quote these figures; measure again on a quiet machine."
                        : "A quiet machine gives better figures."))
        }
        if !attendance.allPinned {
            warnings.append("the system did not allow threads to be tied to processors.")
        }
        return warnings
    }

    func head(_ results: [Results]) -> ReportHead {
        let format = DateFormatter()
        format.locale = Locale(identifier: "en_US_POSIX")
        format.timeZone = TimeZone(identifier: "UTC")
        format.dateFormat = "d MMMM yyyy, HH:mm 'UTC'"
        return ReportHead(
            command: options.command(), machine: machine.description, date: format.string(from: begun),
            manner: [
                "Each thread is tied to a processor of its own where the system allows it.",
                String(
                    format: "Everything alternates in slices of %.0f ms, %d times over, each time with fresh random "
                        + "addresses (the same for all designs);", Double(sliceNanoseconds) / 1e6, options.repetitions),
                "plots show medians, tables minimum and median; ratios are between slices of the same repetition.",
                "While the system runs something else on a reader's processor, the clock of that reader stands still.",
                "Every answer is checked; a wrong one ends the run.",
            ], warnings: warnings, findings: results.flatMap(\.findings))
    }

    private func note(_ text: String) { FileHandle.standardError.write(Data(("Scaling: " + text + "\n").utf8)) }
}
