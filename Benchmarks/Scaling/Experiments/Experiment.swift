// SPDX-License-Identifier: LGPL-2.1-or-later
//
// An experiment is a list of short slices that alternate, once in every repetition, and what to say about them.

import ArgumentParser

/// As it is written in `--experiments`. The order is that of the report.
enum ExperimentName: String, CaseIterable, ExpressibleByArgument {
    case readers
    case fairness
    case invalidations
    case replacements
    case latency
}

/// When and with which requests a slice runs.
struct Turn {
    /// How long to measure.
    var nanoseconds: UInt64
    /// The same for every slice of a repetition, so that all designs are asked the same.
    var seed: UInt64
}

/// One measurement that is done in every repetition.
struct Slice {
    /// For the progress line.
    var label: String
    /// `nil`: no readers took part.
    var run: (Turn) -> SliceOutcome?
}

/// What an experiment found.
struct Results {
    /// Sentences for people who read no tables.
    var findings: [String]
    var figures: [Figure]

    var tables: [DataTable] { figures.flatMap(\.tables) }
}

/// Something to find out.
protocol Experiment: AnyObject {
    static var name: ExperimentName { get }
    /// In the order in which they run in each repetition.
    var slices: [Slice] { get }
    /// After the last repetition; `command` repeats this experiment.
    func results(command: String) -> Results
}

/// What experiments need to know of this run.
struct Setting {
    /// Numbers of reader threads, ascending, without repetition.
    var threads: [Int]
    var processors: Int
    let worlds: Worlds

    init(threads: [Int], processors: Int) {
        self.threads = threads
        self.processors = processors
        worlds = Worlds(lanes: threads.max()!)
    }

    /// Readers beside a thread that disturbs them: as many as leave it a processor.
    var readersBesideDisturber: Int { max(1, min(threads.max()!, processors - 1)) }

    /// A disturbing thread on the processor after the readers'.
    func disturbance(_ act: DisturbingAct, _ rate: Rate, readers: Int) -> Disturbance {
        Disturbance(act: act, rate: rate, processor: readers, yields: readers + 1 > processors)
    }
}

/// Worlds that experiments share, made when first asked for.
final class Worlds {
    private let lanes: Int
    private var made: [[Int]: World] = [:]

    init(lanes: Int) {
        self.lanes = lanes
    }

    func world(pages: Int, sources: Int = 1) -> World {
        if let world = made[[pages, sources]] {
            return world
        }
        let world = World(pages: pages, sources: sources, lanes: lanes)
        made[[pages, sources]] = world
        return world
    }

    /// Asks all of them, and ends the process if an answer is wrong.
    func check(seed: UInt64) {
        for world in made.values {
            world.check(seed: seed)
        }
    }
}

/// "one thread", "two threads", "12 readers".
func counted(_ count: Int, _ noun: String) -> String {
    let words = ["no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
    return (count < words.count ? words[count] : "\(count)") + " " + noun + (count == 1 ? "" : "s")
}

extension String {
    /// For the beginning of a sentence.
    var capitalizedFirst: String { prefix(1).uppercased() + dropFirst() }
}
