// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Readers beside a thread that disturbs them at several rates: the figures, and how they are shown. Each figure is
// compared with that of the same repetition in which the disturbing thread only kept time.

/// Figures of one kind of disturbance for every design and rate.
final class DisturbedReaders {
    private struct Key: Hashable {
        var design: Design
        var rate: Rate
    }

    /// The first one is `.none`.
    let rates: [Rate]
    private var times: [Key: Samples] = [:]
    private var reached: [Key: Samples] = [:]
    private var medians: [Key: Samples] = [:]
    private var tails: [Key: Samples] = [:]

    init(rates: [Rate]) {
        self.rates = rates
    }

    func add(_ outcome: SliceOutcome, _ design: Design, _ rate: Rate) {
        let key = Key(design: design, rate: rate)
        times[key, default: Samples()].add(outcome.nanoseconds)
        guard rate != .none, let disturbance = outcome.disturbance, !disturbance.latencies.isEmpty else { return }
        let sorted = disturbance.latencies.sorted()
        reached[key, default: Samples()].add(disturbance.rate)
        medians[key, default: Samples()].add(Double(sorted[sorted.count / 2]))
        tails[key, default: Samples()].add(Double(sorted[min(sorted.count - 1, sorted.count * 99 / 100)]))
    }

    /// The readers' throughput as a part of that without disturbance, in each repetition.
    func kept(_ design: Design, _ rate: Rate) -> Samples {
        samples(times, design, .none).divided(by: samples(times, design, rate))
    }

    /// The same from the best repetition of each.
    func bestKept(_ design: Design, _ rate: Rate) -> Double {
        samples(times, design, .none).minimum / samples(times, design, rate).minimum
    }

    /// Nanoseconds that an act takes: the median of each repetition.
    func latency(_ design: Design, _ rate: Rate) -> Samples { samples(medians, design, rate) }

    /// How many acts the engine had in a second, of those asked for.
    func count(_ rate: Rate) -> String { rate.count(reached: samples(reached, .engine, rate).median) }

    private func samples(_ all: [Key: Samples], _ design: Design, _ rate: Rate) -> Samples {
        all[Key(design: design, rate: rate)] ?? Samples()
    }

    // MARK: Shown

    /// `act`: "page invalidations"; `one`: "a page invalidation".
    func panels(act: String, one: String) -> [Panel] {
        let disturbed = Array(rates.dropFirst())
        func series(_ rates: [Rate], _ value: (Design, Rate) -> Double) -> [Series] {
            Design.allCases.map { design in
                Series(name: design.name, style: design.rawValue, values: rates.map { value(design, $0) })
            }
        }
        return [
            Panel(
                title: "What readers keep of their throughput", categoryLabel: "\(act) asked for",
                categories: rates.map(\.name),
                axis: VerticalAxis(label: "throughput, 1 = undisturbed", reference: (1, "undisturbed")),
                series: series(rates) { $1 == .none ? 1 : kept($0, $1).median }),
            Panel(
                title: "How long \(one) takes", categoryLabel: "\(act) asked for",
                categories: disturbed.map(\.name),
                axis: VerticalAxis(label: "median, microseconds", isLogarithmic: true),
                series: series(disturbed) { latency($0, $1).median / 1000 }),
            Panel(
                title: "How many there were", categoryLabel: "\(act) asked for",
                categories: disturbed.map(\.name),
                axis: VerticalAxis(label: "thousands per second", isLogarithmic: true),
                series: series(disturbed) { samples(reached, $0, $1).median / 1000 }),
        ]
    }

    func table(name: String, title: String) -> DataTable {
        var table = DataTable(
            name: name, title: title,
            legend: "reached: how many there were per second; ns: nanoseconds that a translation takes a reader; kept: "
                + "the part of the undisturbed throughput; best: the best repetitions; µs: microseconds until one is "
                + "complete.",
            columns: [
                "design", "asked for", "reached", "ns minimum", "ns median", "kept best", "kept median", "µs minimum",
                "µs median", "µs 99 %",
            ])
        for design in Design.allCases {
            for rate in rates {
                table.rows.append([
                    .text(design.name), .text(rate.name), .number(samples(reached, design, rate).median, digits: 0),
                    .number(samples(times, design, rate).minimum, digits: 2),
                    .number(samples(times, design, rate).median, digits: 2),
                    .number(bestKept(design, rate), digits: 3), .number(kept(design, rate).median, digits: 3),
                    .number(latency(design, rate).minimum / 1000, digits: 2),
                    .number(latency(design, rate).median / 1000, digits: 2),
                    .number(samples(tails, design, rate).median / 1000, digits: 2),
                ])
            }
        }
        return table
    }
}
