// SPDX-License-Identifier: LGPL-2.1-or-later
//
// How long single translations take, and how long the slowest ones.

import CIOMMUBench
import Foundation
import Histogram

/// The distribution of single translations of the slowest thread.
final class LatencyExperiment: Experiment {
    static let name = ExperimentName.latency
    static let pages = 4096
    static let disturbance = Rate.perSecond(100_000)
    static let percentiles: [(name: String, value: Double)] = [
        ("50 %", 50), ("90 %", 90), ("99 %", 99), ("99.9 %", 99.9), ("slowest", 100),
    ]

    private struct Condition: Hashable {
        var threads: Int
        var isDisturbed: Bool

        var name: String {
            isDisturbed
                ? "\(counted(threads, "thread")) beside 100 k invalidations/s"
                : "\(counted(threads, "thread")), nothing else"
        }
    }

    private struct Key: Hashable {
        var condition: Condition
        var design: Design
    }

    private let setting: Setting
    /// For each thread.
    private var distributions: [Key: [Histogram<UInt64>]] = [:]
    /// Invalidations a second beside the engine.
    private var reached = Samples()
    private var clock = LatencyExperiment.empty

    init(setting: Setting) {
        self.setting = setting
    }

    private static var empty: Histogram<UInt64> {
        Histogram(highestTrackableValue: UInt64(UInt32.max), numberOfSignificantValueDigits: .three)
    }

    private var conditions: [Condition] {
        let few = Condition(threads: setting.readersBesideDisturber, isDisturbed: false)
        let all = Condition(threads: setting.threads.max()!, isDisturbed: false)
        return (few == all ? [all] : [few, all]) + [Condition(threads: few.threads, isDisturbed: true)]
    }

    var slices: [Slice] {
        let world = setting.worlds.world(pages: Self.pages)
        let clockSlice = Slice(label: "the clock") { [unowned self] turn in
            for cost in world.clockCosts(count: Int(turn.nanoseconds / 100)) {
                clock.record(UInt64(cost))
            }
            return nil
        }
        return [clockSlice]
            + conditions.flatMap { condition in
                Design.allCases.map { slice(Key(condition: condition, design: $0), world) }
            }
    }

    private func slice(_ key: Key, _ world: World) -> Slice {
        let threads = key.condition.threads
        let disturbance =
            key.condition.isDisturbed
            ? setting.disturbance(.invalidatePage, Self.disturbance, readers: threads) : nil
        return Slice(label: "\(key.condition.name), \(key.design.name)") { [unowned self] turn in
            let timed = min(1 << 20, Int(turn.nanoseconds / 30))
            let outcome = ReaderTeam(threads: threads, pages: Self.pages, timed: timed).run(
                world.subject(key.design), disturbance: disturbance, nanoseconds: turn.nanoseconds, seed: turn.seed)
            if let disturbance = outcome.disturbance, key.design == .engine {
                reached.add(disturbance.rate)
            }
            var histograms = distributions[key] ?? [Histogram](repeating: Self.empty, count: threads)
            for (thread, reader) in outcome.readers.enumerated() {
                for latency in reader.latencies {
                    histograms[thread].record(UInt64(latency))
                }
            }
            distributions[key] = histograms
            return outcome
        }
    }

    private func slowest(_ key: Key) -> Histogram<UInt64> {
        (distributions[key] ?? []).max { $0.valueAtPercentile(99) < $1.valueAtPercentile(99) } ?? Self.empty
    }

    private static func values(_ histogram: Histogram<UInt64>) -> [Double] {
        guard histogram.totalCount > 0 else { return percentiles.map { _ in .nan } }
        return percentiles.map { Double(histogram.valueAtPercentile($0.value)) }
    }

    // MARK: Report

    func results(command: String) -> Results {
        let all = distributions.keys.flatMap { Self.values(slowest($0)) } + Self.values(clock)
        let panels = conditions.map { condition in
            Panel(
                title: condition.name.capitalizedFirst, categoryLabel: "so many translations are at least as fast",
                categories: Self.percentiles.map(\.name),
                axis: VerticalAxis(label: "nanoseconds, clock included", isLogarithmic: true, neighbours: all),
                series: Design.allCases.map { design in
                    Series(
                        name: design.name, style: design.rawValue,
                        values: Self.values(slowest(Key(condition: condition, design: design))))
                } + [Series(name: "the clock alone", style: 4, values: Self.values(clock))])
        }
        let readings = Self.values(clock)
        return Results(
            findings: findings,
            figures: [
                Figure(
                    title: "How long single translations take",
                    explanation: String(
                        format: "Each translation of uniformly random addresses of %@ pages is timed by itself, by "
                            + "reading the monotonic clock before and after it. That alone shows %.0f ns (median; "
                            + "99.9 %%: %.0f ns), which is in every figure. Of several threads the one with the "
                            + "highest 99th percentile is shown. Lower is better. The slowest translation is mostly "
                            + "one during which the system gave the processor to something else.",
                        pageCount(Self.pages), readings[0], readings[3]),
                    panels: panels, tables: [table], command: command)
            ])
    }

    private var table: DataTable {
        var table = DataTable(
            name: "latency", title: "Single translations of the slowest thread",
            legend: "Nanoseconds, clock included, that so many of the translations take at most.",
            columns: ["threads", "beside", "design", "translations"]
                + Self.percentiles.map { $0.name == "slowest" ? "slowest" : $0.name })
        func add(_ start: [DataCell], _ histogram: Histogram<UInt64>) {
            table.rows.append(
                start + [.number(Double(histogram.totalCount), digits: 0)]
                    + Self.values(histogram).map { .number($0, digits: 0) })
        }
        for condition in conditions {
            for design in Design.allCases {
                add(
                    [
                        .number(Double(condition.threads), digits: 0),
                        .text(condition.isDisturbed ? "100 k invalidations/s" : "nothing"), .text(design.name),
                    ], slowest(Key(condition: condition, design: design)))
            }
        }
        add([.number(1, digits: 0), .text("nothing"), .text("the clock alone")], clock)
        return table
    }

    private var findings: [String] {
        conditions.filter(\.isDisturbed).map { condition in
            func tail(_ design: Design) -> Double { Self.values(slowest(Key(condition: condition, design: design)))[3] }
            let others = Design.allCases.dropFirst().map { "\(grouped(tail($0), digits: 0)) with \($0.name)" }
            return
                "Beside \(Self.disturbance.count(reached: reached.median)) page invalidations per second, 999 of 1,000 translations take at most "
                + "\(grouped(tail(.engine), digits: 0)) ns, of which the clock is "
                + "\(grouped(Self.values(clock)[0], digits: 0)) (\(others.joined(separator: ", ")))."
        }
    }
}
