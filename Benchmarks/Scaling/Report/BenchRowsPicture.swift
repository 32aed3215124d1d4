// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The rows of `iommu bench` as bars: how many times faster than each of the other designs.

/// One group of bars for each row that has any ratio.
struct BenchRowsPicture {
    static let title = "Single operations against the other designs"
    static let explanation =
        "Each group is an operation of iommu bench, with the time that it takes this library (median, nanoseconds; of "
        + "threads together, each thread's). A bar says how many times longer the other design takes for the same, measured "
        + "alternately in one run: 10 means a tenth of the time, left of 1 the other design is faster. Longer is "
        + "better. The table also shows each operation without a counterpart, and how many plain loads it is worth."
    static let command = "swift run -c release iommu bench --format json"

    private static let bar = 11.0
    private static let gap = 11.0
    private static let left = 505.0
    private static let right = 48.0
    private static let top = 44.0
    private static let width = 1000.0

    private let rows: [BenchRows.Row]
    private let scale: Scale

    init(_ bench: BenchRows) {
        rows = bench.rows.filter { row in Self.ratios(row).contains { $0.1 != nil } }
        let values = rows.flatMap { Self.ratios($0).compactMap(\.1) }.filter { $0 > 0 }
        scale = Scale(values: values + [1], isLogarithmic: true)
    }

    static var legend: String {
        let items = Design.allCases.dropFirst().map { design in
            var swatch = SVG(width: 34, height: 14)
            swatch.rectangle(x: 10, y: 1, width: 14, height: 12, class: "bar s\(design.rawValue)")
            return ReportPage.legendItem(swatch, "compared with \(design.name)")
        }
        return "<ul class=\"legend\">\(items.joined())</ul>"
    }

    private static func ratios(_ row: BenchRows.Row) -> [(Design, Double?)] {
        [(.mutexTable, row.ratioMutexTable), (.tree, row.ratioTree), (.rcuTable, row.ratioRCUTable)]
    }

    private func x(_ ratio: Double) -> Double {
        Self.left + scale.place(ratio) * (Self.width - Self.left - Self.right)
    }

    var markup: String {
        let step = 3 * Self.bar + Self.gap
        let bottom = Self.top + Double(rows.count) * step
        var svg = SVG(width: Self.width, height: bottom + 40)
        svg.text("operation, threads", x: 4, y: 15, class: "axis")
        svg.text("median", x: Self.left - 10, y: 15, anchor: .end, class: "axis")
        svg.text("how many times faster than the other design →", x: Self.left, y: 15, class: "axis")
        for tick in scale.ticks {
            svg.line(x(tick), Self.top - 6, x(tick), bottom, class: tick == 1 ? "base" : "grid")
            svg.text(Scale.name(tick), x: x(tick), y: Self.top - 12, anchor: .middle)
            svg.text(Scale.name(tick), x: x(tick), y: bottom + 16, anchor: .middle)
        }
        for (index, row) in rows.enumerated() {
            draw(row, top: Self.top + Double(index) * step + Self.gap / 2, &svg)
        }
        return svg.markup(label: Self.title)
    }

    private func draw(_ row: BenchRows.Row, top: Double, _ svg: inout SVG) {
        let middle = top + 1.5 * Self.bar + 4
        let name = "\(row.name), \(row.threads)"
        if let title = row.title {
            svg.text(name, x: 4, y: middle - 7, class: "row")
            svg.text(title.count > 80 ? title.prefix(78) + " …" : title, x: 4, y: middle + 7, class: "note")
        } else {
            svg.text(name, x: 4, y: middle, class: "row")
        }
        svg.text(
            "\(grouped(row.nanosecondsMedian, digits: row.nanosecondsMedian < 1000 ? 1 : 0)) ns", x: Self.left - 10,
            y: middle, anchor: .end)
        for (order, (design, ratio)) in Self.ratios(row).enumerated() {
            guard let ratio, ratio > 0 else { continue }
            let y = top + Double(order) * Self.bar
            let begin = min(x(1), x(ratio))
            svg.rectangle(
                x: begin, y: y, width: max(abs(x(ratio) - x(1)), 1), height: Self.bar - 1,
                class: "bar s\(design.rawValue)",
                title: "\(row.name), \(design.name): \(grouped(ratio, digits: 2)) times")
            svg.text(
                grouped(ratio, digits: BenchRows.digits(ratio)), x: max(x(ratio), x(1)) + 4, y: y + Self.bar - 2,
                class: "small")
        }
    }
}
