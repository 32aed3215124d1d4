// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Readers beside a thread that invalidates single pages: of the space that they use, or of another one.

import Foundation

/// What page invalidations cost the readers, and how long they take.
final class InvalidationsExperiment: Experiment {
    static let name = ExperimentName.invalidations
    static let pages = 4096
    static let rates: [Rate] = [.none, .perSecond(1000), .perSecond(10_000), .perSecond(100_000), .backToBack]

    private enum Space: CaseIterable {
        case same
        case other

        var name: String { self == .same ? "the readers' own space" : "another space" }
    }

    private let setting: Setting
    private let figures: [Space: DisturbedReaders]

    init(setting: Setting) {
        self.setting = setting
        figures = Dictionary(
            uniqueKeysWithValues: Space.allCases.map { ($0, DisturbedReaders(rates: Self.rates)) })
    }

    var slices: [Slice] {
        Space.allCases.flatMap { space in
            Self.rates.flatMap { rate in Design.allCases.map { slice(space, rate, $0) } }
        }
    }

    private func slice(_ space: Space, _ rate: Rate, _ design: Design) -> Slice {
        let world = setting.worlds.world(pages: Self.pages, sources: space == .same ? 1 : 2)
        let team = ReaderTeam(
            threads: setting.readersBesideDisturber, pages: Self.pages, others: space == .other)
        let disturbance = setting.disturbance(.invalidatePage, rate, readers: team.threads)
        return Slice(label: "\(space.name), \(rate.name), \(design.name)") { [unowned self] turn in
            let outcome = team.run(
                world.subject(design), disturbance: disturbance, nanoseconds: turn.nanoseconds, seed: turn.seed)
            figures[space]!.add(outcome, design, rate)
            return outcome
        }
    }

    func results(command: String) -> Results {
        let readers = counted(setting.readersBesideDisturber, "reader")
        return Results(
            findings: Space.allCases.map(finding),
            figures: Space.allCases.map { space in
                let title = "\(readers.capitalizedFirst) beside page invalidations of \(space.name)"
                return Figure(
                    title: title,
                    explanation: "Uniformly random addresses of \(pageCount(Self.pages)) pages, one at a time, while "
                        + "one more thread drops random single pages of \(space.name) at the rate asked for, and each "
                        + "time waits until nobody uses the page any more. Throughput is compared with that of the "
                        + "same repetition in which that thread only keeps time: higher is better. In the second plot "
                        + "lower is better. A design that cannot keep up with the rate invalidates less often, as the "
                        + "third plot shows.",
                    panels: figures[space]!.panels(act: "page invalidations", one: "a page invalidation"),
                    tables: [
                        figures[space]!.table(
                            name: "invalidations-\(space == .same ? "same" : "other")-space", title: title)
                    ], command: command)
            })
    }

    private func finding(_ space: Space) -> String {
        let rate = Rate.perSecond(100_000)
        let mine = figures[space]!
        let others = Design.allCases.dropFirst().map { design in
            "\(Self.change(mine.kept(design, rate).median)) with \(design.name)"
        }
        return
            "While \(space.name) takes \(mine.count(rate)) page invalidations per second, readers' throughput changes by "
            + "\(Self.change(mine.kept(.engine, rate).median)) per cent "
            + "(\(Self.change(mine.bestKept(.engine, rate))) between the best repetitions), against "
            + others.joined(separator: ", ") + "; one of them takes "
            + String(format: "%.2f µs.", mine.latency(.engine, rate).median / 1000)
    }

    /// 0.9 of what was: −10.
    static func change(_ part: Double) -> String {
        guard part.isFinite else { return "?" }
        let change = ((part - 1) * 100).rounded()
        return change == 0 ? "0" : change < 0 ? "−\(grouped(-change, digits: 0))" : "+\(grouped(change, digits: 0))"
    }
}
