// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The report: one HTML page that needs nothing besides itself.

import Foundation

/// What the page says before the plots.
struct ReportHead {
    var command: String
    var machine: String
    var date: String
    /// How it was measured, in sentences.
    var manner: [String]
    /// What to be careful about in this run.
    var warnings: [String]
    var findings: [String]
}

/// The page.
struct ReportPage {
    var head: ReportHead
    var figures: [Figure]
    /// The figures of `iommu bench`, if they were given.
    var rows: BenchRows?

    var markup: String {
        let sections = figures.enumerated().map { section($0.element, number: $0.offset + 1) } + rowSection
        return """
            <!DOCTYPE html>
            <html lang="en">
            <head>
            <meta charset="utf-8">
            <meta name="viewport" content="width=device-width, initial-scale=1">
            <title>swift-iommu: speed and scaling</title>
            <style>
            \(reportStyle)
            </style>
            </head>
            <body>
            \(opening)
            \(sections.joined(separator: "\n"))
            </body>
            </html>

            """
    }

    private var opening: String {
        let designs = Design.allCases.map { "<li><b>\(escaped($0.name))</b>: \(escaped($0.explanation))</li>" }
        let warnings = head.warnings.map { "<p><b>Take care:</b> \(escaped($0))</p>" }
        let items = head.findings.map { "<li>\(escaped($0))</li>" }
        return """
            <h1>swift-iommu: speed and scaling</h1>
            <p>A software IOMMU is asked, for every memory access of a virtual device, where the access may go. This page
            shows how many such translations per second threads get from swift-iommu and from three other common designs over
            the same page tables, what happens when mappings are invalidated or replaced meanwhile, and how long the slowest
            translations take.</p>
            <div class="summary">
            <h3>In short</h3>
            <ul>
            \(items.joined(separator: "\n"))
            </ul>
            \(warnings.joined(separator: "\n"))
            </div>
            <dl>
            <dt>Machine</dt><dd>\(escaped(head.machine))</dd>
            <dt>Measured</dt><dd>\(escaped(head.date))</dd>
            <dt>Whole run</dt><dd><code>\(Self.words(head.command))</code></dd>
            </dl>
            <p>Designs that are compared, all in one program:</p>
            <ul>\(designs.joined(separator: "\n"))</ul>
            <p class="note">\(head.manner.map(escaped).joined(separator: " "))</p>
            """
    }

    private func section(_ figure: Figure, number: Int) -> String {
        """
        <section>
        <h2>\(number). \(escaped(figure.title))</h2>
        <p>\(escaped(figure.explanation))</p>
        \(Self.legend(figure.panels))
        <div class="panels">
        \(figure.panels.map { PanelPicture($0).markup }.joined(separator: "\n"))
        </div>
        \(Self.numbers(figure.tables, command: figure.command))
        </section>
        """
    }

    private var rowSection: [String] {
        guard let rows else { return [] }
        return [
            """
            <section>
            <h2>\(figures.count + 1). \(escaped(BenchRowsPicture.title))</h2>
            <p>\(escaped(([BenchRowsPicture.explanation] + rows.remarks).joined(separator: " ")))</p>
            \(BenchRowsPicture.legend)
            <div class="wide">
            \(BenchRowsPicture(rows).markup)
            </div>
            \(Self.numbers([rows.table], command: BenchRowsPicture.command))
            </section>
            """
        ]
    }

    // MARK: Parts

    /// Every name once, in the order of the panels, with line and mark.
    static func legend(_ panels: [Panel]) -> String {
        var names: [String] = []
        var items: [String] = []
        for panel in panels {
            for series in panel.series where !names.contains(series.name) {
                names.append(series.name)
                var swatch = SVG(width: 34, height: 14)
                if panel.kind == .bars {
                    swatch.rectangle(x: 10, y: 1, width: 14, height: 12, class: "bar s\(series.style)")
                } else {
                    swatch.line(1, 7, 33, 7, class: "line s\(series.style)")
                    swatch.mark(series.style, x: 17, y: 7)
                }
                items.append(legendItem(swatch, series.name))
            }
            for name in [panel.ideal?.name, panel.axis.reference?.name].compactMap({ $0 }) where !names.contains(name) {
                names.append(name)
                var swatch = SVG(width: 34, height: 14)
                swatch.line(1, 7, 33, 7, class: "reference")
                items.append(legendItem(swatch, name))
            }
        }
        return "<ul class=\"legend\">\(items.joined())</ul>"
    }

    static func legendItem(_ swatch: SVG, _ name: String) -> String {
        "<li>\(swatch.markup(label: name)) \(escaped(name))</li>"
    }

    private static func numbers(_ tables: [DataTable], command: String) -> String {
        let markup = tables.map(table).joined(separator: "\n")
        let rows = tables.reduce(0) { $0 + $1.rows.count }
        return """
            <p class="note">The command that gives these numbers:</p>
            <pre>\(words(command))</pre>
            <details open><summary>The numbers (\(rows) rows)</summary>
            \(markup)
            </details>
            """
    }

    /// A command whose lines break between words only.
    private static func words(_ command: String) -> String {
        command.split(separator: " ").map { "<span>\(escaped(String($0)))</span>" }.joined(separator: " ")
    }

    static func table(_ table: DataTable) -> String {
        let numeric = table.columns.indices.map { column in table.rows.contains { $0[column].isNumber } }
        func cells(_ tag: String, _ texts: [String]) -> String {
            zip(texts, numeric).map { "<\(tag)\($1 ? " class=\"n\"" : "")>\(escaped($0))</\(tag)>" }.joined()
        }
        let rows = table.rows.map { "<tr>\(cells("td", $0.map(\.shown)))</tr>" }
        return """
            <div class="table"><table><caption>\(escaped(table.legend.isEmpty ? table.title : table.legend))</caption>
            <thead><tr>\(cells("th", table.columns))</tr></thead>
            <tbody>
            \(rows.joined(separator: "\n"))
            </tbody></table></div>
            """
    }
}
