// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Readers of a device whose domain is replaced by another one, over and over.

/// What replacing costs the readers, and how long it takes.
final class ReplacementsExperiment: Experiment {
    static let name = ExperimentName.replacements
    static let pages = 4096
    static let rates: [Rate] = [.none, .perSecond(1000), .perSecond(10_000), .backToBack]

    private let setting: Setting
    private let swap: Swap
    private let disturbed = DisturbedReaders(rates: rates)

    init(setting: Setting) {
        self.setting = setting
        swap = Swap(pages: Self.pages, lanes: setting.threads.max()!)
    }

    var slices: [Slice] {
        Self.rates.flatMap { rate in Design.allCases.map { slice(rate, $0) } }
    }

    private func slice(_ rate: Rate, _ design: Design) -> Slice {
        let world = setting.worlds.world(pages: Self.pages)
        let team = ReaderTeam(threads: setting.readersBesideDisturber, pages: Self.pages)
        let act = design == .engine ? DisturbingAct.replaceDomain : .invalidateDomain
        let disturbance = setting.disturbance(act, rate, readers: team.threads)
        return Slice(label: "\(rate.name), \(design.name)") { [unowned self] turn in
            let subject = design == .engine ? swap.subject : world.subject(design)
            let outcome = team.run(
                subject, disturbance: disturbance, nanoseconds: turn.nanoseconds, seed: turn.seed)
            disturbed.add(outcome, design, rate)
            return outcome
        }
    }

    func results(command: String) -> Results {
        let readers = counted(setting.readersBesideDisturber, "reader").capitalizedFirst
        let title = "\(readers) of a device whose domain is replaced"
        let rate = Rate.perSecond(1000)
        return Results(
            findings: [
                "While a device's domain is replaced \(disturbed.count(rate)) times per second, its readers' throughput changes by "
                    + "\(InvalidationsExperiment.change(disturbed.kept(.engine, rate).median)) per cent "
                    + "(\(InvalidationsExperiment.change(disturbed.bestKept(.engine, rate))) between the best "
                    + "repetitions)."
            ],
            figures: [
                Figure(
                    title: title,
                    explanation: "Uniformly random addresses of \(pageCount(Self.pages)) pages, one at a time, while "
                        + "one more thread replaces the device's domain by another one with the same pages elsewhere. "
                        + "Every answer is checked: after a replacement has returned, none comes from the old domain. "
                        + "The other designs know no domains; the least that a replacement costs them is done "
                        + "instead: everything that they hold of the device is dropped.",
                    panels: disturbed.panels(act: "replacements", one: "a replacement"),
                    tables: [disturbed.table(name: "replacements", title: title)], command: command)
            ])
    }
}
