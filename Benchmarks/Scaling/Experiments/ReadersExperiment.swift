// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Readers alone: how much do more threads do?

/// Throughput for each number of threads, working set, kind of addresses and manner of asking.
final class ReadersExperiment: Experiment {
    static let name = ExperimentName.readers
    static let pages = [64, 4096, 65536]

    private struct Key: Hashable {
        var pages: Int
        var addresses: Addresses
        var manner: Manner
        var design: Design
        var threads: Int
    }

    private let setting: Setting
    /// Nanoseconds that a translation takes a thread.
    private var times: [Key: Samples] = [:]

    init(setting: Setting) {
        self.setting = setting
    }

    var slices: [Slice] {
        keys.map { key in
            let world = setting.worlds.world(pages: key.pages)
            let label =
                "\(pageCount(key.pages)) pages, \(key.addresses.name), \(key.manner.name), \(key.design.name), "
                + counted(key.threads, "thread")
            return Slice(label: label) { [unowned self] turn in
                let team = ReaderTeam(
                    threads: key.threads, manner: key.manner, addresses: key.addresses, pages: key.pages)
                let outcome = team.run(world.subject(key.design), nanoseconds: turn.nanoseconds, seed: turn.seed)
                times[key, default: Samples()].add(outcome.nanoseconds)
                return outcome
            }
        }
    }

    /// The numbers of threads are neighbours, since they are compared most closely.
    private var keys: [Key] {
        var keys: [Key] = []
        for pages in Self.pages {
            for addresses in Addresses.allCases {
                for manner in Manner.allCases {
                    for design in Design.allCases {
                        keys += setting.threads.map {
                            Key(pages: pages, addresses: addresses, manner: manner, design: design, threads: $0)
                        }
                    }
                }
            }
        }
        return keys
    }

    private func time(_ key: Key) -> Samples { times[key] ?? Samples() }

    /// The work of `key.threads` threads against that of one, from the same repetition.
    private func speedUps(_ key: Key) -> Samples {
        var one = key
        one.threads = 1
        let ratios = time(one).divided(by: time(key))
        return Samples(ratios.values.map { $0 * Double(key.threads) })
    }

    /// The same from the best repetition of each.
    private func bestSpeedUp(_ key: Key) -> Double {
        var one = key
        one.threads = 1
        return time(one).minimum / time(key).minimum * Double(key.threads)
    }

    // MARK: Report

    func results(command: String) -> Results {
        var figures: [Figure] = []
        for manner in Manner.allCases {
            for addresses in Addresses.allCases {
                figures.append(figure(manner, addresses, command: command))
            }
        }
        return Results(findings: findings, figures: figures)
    }

    private func figure(_ manner: Manner, _ addresses: Addresses, command: String) -> Figure {
        let threads = setting.threads
        func panel(_ pages: Int, _ title: String, _ axis: VerticalAxis, _ value: (Key) -> Double) -> Panel {
            let series = Design.allCases.map { design in
                Series(
                    name: design.name, style: design.rawValue,
                    values: threads.map {
                        value(Key(pages: pages, addresses: addresses, manner: manner, design: design, threads: $0))
                    })
            }
            return Panel(
                title: title, categoryLabel: "threads", categories: threads.map(String.init), axis: axis, series: series
            )
        }
        let row = keys.filter { $0.manner == manner && $0.addresses == addresses }
        let throughput = { [self] (key: Key) in Double(key.threads) * 1000 / time(key).median }
        let speedUp = { [self] (key: Key) in speedUps(key).median }
        var panels = Self.pages.map { pages in
            panel(
                pages, "Throughput, \(pageCount(pages)) pages",
                VerticalAxis(
                    label: "million translations per second", isLogarithmic: true, neighbours: row.map(throughput)),
                throughput)
        }
        if threads.first == 1 && threads.count > 1 {
            panels += Self.pages.map { pages in
                var panel = panel(
                    pages, "Speed-up, \(pageCount(pages)) pages",
                    VerticalAxis(label: "times the work of one thread", neighbours: row.map(speedUp)), speedUp)
                panel.ideal = Series(
                    name: "ideal: as many times as threads", style: 0, values: threads.map(Double.init))
                return panel
            }
        }
        let asked =
            addresses == .uniform
            ? "every page is as likely as any other"
            : "90 per cent of the requests go to one per cent of the pages (at least one page)"
        return Figure(
            title: "Readers alone, \(manner.name), \(addresses.name) addresses",
            explanation: "Threads translate random addresses and nothing else happens; \(asked). "
                + (manner == .single
                    ? "Each translation has an access section, or takes the lock, of its own. "
                    : "32 translations share an access section, or a taking of the lock. ")
                + "Higher is better. A vertical step of the upper plots is a factor, not a difference.",
            panels: panels, tables: [table(manner, addresses)], command: command)
    }

    private func table(_ manner: Manner, _ addresses: Addresses) -> DataTable {
        var table = DataTable(
            name: "readers-\(manner == .single ? "single" : "batch")-\(addresses.name)",
            title: "Readers alone, \(manner.name), \(addresses.name) addresses",
            legend: "ns: nanoseconds that a translation takes a thread; M/s: million translations per second, all "
                + "threads together; speed-up: times the work of one thread; best: the best repetition.",
            columns: [
                "pages", "design", "threads", "ns minimum", "ns median", "M/s best", "M/s median", "speed-up best",
                "speed-up median",
            ])
        for key in keys where key.manner == manner && key.addresses == addresses {
            let samples = time(key)
            let millions = Double(key.threads) * 1000
            table.rows.append([
                .pages(key.pages), .text(key.design.name), .number(Double(key.threads), digits: 0),
                .number(samples.minimum, digits: 2), .number(samples.median, digits: 2),
                .number(millions / samples.minimum, digits: 2), .number(millions / samples.median, digits: 2),
                .number(bestSpeedUp(key), digits: 2), .number(speedUps(key).median, digits: 2),
            ])
        }
        return table
    }

    private var findings: [String] {
        guard let most = setting.threads.last, most > 1, setting.threads.first == 1 else {
            return [costs]
        }
        let mine = keys.filter { $0.threads == most && $0.design == .engine }.map { speedUps($0).median }
        let typical = Samples(mine).median
        let others = Design.allCases.dropFirst().map { design in
            let theirs = keys.filter { $0.threads == most && $0.design == design }.map { speedUps($0).median }
            return String(format: "%.2f", Samples(theirs).median) + " with \(design.name)"
        }
        return [
            costs,
            String(
                format: "%@ do %.2f times the work of one (between %.2f and %.2f in the %d settings measured).",
                counted(most, "thread").capitalizedFirst, typical, Samples(mine).minimum, Samples(mine).maximum,
                mine.count)
                + " For the other designs that figure is " + others.joined(separator: ", ") + ".",
        ]
    }

    private var costs: String {
        let threads = setting.threads[0]
        func cost(_ design: Design) -> Samples {
            time(Key(pages: 4096, addresses: .uniform, manner: .single, design: design, threads: threads))
        }
        let others = Design.allCases.dropFirst().map { design in
            String(format: "%.1f (%.1f)", cost(design).median, cost(design).minimum) + " with \(design.name)"
        }
        return String(
            format:
                "A translation takes %@ %.1f ns (%.1f at best; 4 Ki pages, uniform addresses, one at a time), against ",
            threads == 1 ? "one thread" : "each of \(threads) threads", cost(.engine).median, cost(.engine).minimum)
            + others.joined(separator: ", ") + "."
    }
}
