// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Does every thread get its share?

/// The slowest thread's throughput as a part of the fastest one's.
final class FairnessExperiment: Experiment {
    static let name = ExperimentName.fairness

    private struct Key: Hashable {
        var pages: Int
        var design: Design
    }

    private let setting: Setting
    private var parts: [Key: Samples] = [:]

    init(setting: Setting) {
        self.setting = setting
    }

    private var threads: Int { setting.threads.last! }

    private var keys: [Key] {
        ReadersExperiment.pages.flatMap { pages in Design.allCases.map { Key(pages: pages, design: $0) } }
    }

    var slices: [Slice] {
        guard threads > 1 else { return [] }
        return keys.map { key in
            let world = setting.worlds.world(pages: key.pages)
            return Slice(label: "\(pageCount(key.pages)) pages, \(key.design.name)") { [unowned self] turn in
                let outcome = ReaderTeam(threads: threads, pages: key.pages)
                    .run(world.subject(key.design), nanoseconds: turn.nanoseconds, seed: turn.seed)
                parts[key, default: Samples()].add(outcome.fairness)
                return outcome
            }
        }
    }

    func results(command: String) -> Results {
        guard threads > 1 else {
            return Results(findings: ["Fairness needs two threads or more, and was not measured."], figures: [])
        }
        var table = DataTable(
            name: "fairness", title: "Fairness between \(counted(threads, "thread"))",
            legend: "Throughput of the slowest thread as a part of that of the fastest one.",
            columns: ["pages", "design", "minimum", "median"])
        for key in keys {
            let samples = parts[key] ?? Samples()
            table.rows.append([
                .pages(key.pages), .text(key.design.name), .number(samples.minimum, digits: 3),
                .number(samples.median, digits: 3),
            ])
        }
        let series = Design.allCases.map { design in
            Series(
                name: design.name, style: design.rawValue,
                values: ReadersExperiment.pages.map { (parts[Key(pages: $0, design: design)] ?? Samples()).median })
        }
        let panel = Panel(
            title: "Fairness, \(counted(threads, "thread"))", kind: .bars,
            categoryLabel: "pages in use", categories: ReadersExperiment.pages.map(pageCount),
            axis: VerticalAxis(label: "throughput of slowest / fastest thread", reference: (1, "perfectly fair")),
            series: series)
        let mine = Samples(ReadersExperiment.pages.map { (parts[Key(pages: $0, design: .engine)] ?? Samples()).median })
        return Results(
            findings: [
                String(
                    format: "Of %@ that ask at once, the slowest gets %.0f per cent of what the fastest gets.",
                    counted(threads, "thread"), mine.median * 100)
            ],
            figures: [
                Figure(
                    title: "Fairness between threads",
                    explanation: "Threads translate uniformly random addresses, one at a time. 1 means that each does "
                        + "as much as the others; what another program takes from one processor shows here too. "
                        + "Higher is better.",
                    panels: [panel], tables: [table], command: command)
            ])
    }
}
