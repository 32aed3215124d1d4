// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Draws one panel: title, axes with units, lines with marks or groups of bars.

/// The picture of a panel.
struct PanelPicture {
    private static let size = (width: 340.0, height: 262.0)
    private static let left = 50.0
    private static let right = 14.0
    private static let top = 50.0
    private static let bottom = 44.0

    private let panel: Panel
    private let scale: Scale

    init(_ panel: Panel) {
        self.panel = panel
        var values = panel.series.flatMap(\.values) + (panel.ideal?.values ?? []) + panel.axis.neighbours
        if let reference = panel.axis.reference {
            values.append(reference.value)
        }
        scale = Scale(values: values, isLogarithmic: panel.axis.isLogarithmic)
    }

    var markup: String {
        var svg = SVG(width: Self.size.width, height: Self.size.height)
        svg.text(panel.title, x: 4, y: 15, class: "title")
        svg.text("↑ " + panel.axis.label, x: 4, y: 34, class: "axis")
        drawGrid(&svg)
        drawCategories(&svg)
        switch panel.kind {
        case .lines: drawLines(&svg)
        case .bars: drawBars(&svg)
        }
        let series = panel.series.map(\.name).joined(separator: ", ")
        return svg.markup(label: "\(panel.title); \(panel.axis.label) by \(panel.categoryLabel), for \(series)")
    }

    // MARK: Places

    private var plotWidth: Double { Self.size.width - Self.left - Self.right }
    private var plotHeight: Double { Self.size.height - Self.top - Self.bottom }
    private var categoryWidth: Double { plotWidth / Double(panel.categories.count) }

    private func x(_ category: Int) -> Double { Self.left + (Double(category) + 0.5) * categoryWidth }
    private func y(_ value: Double) -> Double { Self.top + (1 - scale.place(value)) * plotHeight }

    private func isDrawn(_ value: Double) -> Bool { value.isFinite && (!scale.isLogarithmic || value > 0) }

    // MARK: Parts

    private func drawGrid(_ svg: inout SVG) {
        let end = Self.size.width - Self.right
        for tick in scale.ticks {
            svg.line(Self.left, y(tick), end, y(tick), class: "grid")
            svg.text(Scale.name(tick), x: Self.left - 6, y: y(tick) + 4, anchor: .end)
        }
        svg.line(Self.left, y(scale.low), end, y(scale.low), class: "base")
        if let reference = panel.axis.reference {
            svg.line(
                Self.left, y(reference.value), Self.size.width - Self.right, y(reference.value), class: "reference")
        }
    }

    private func drawCategories(_ svg: inout SVG) {
        // Names of many categories would meet: then only some are written.
        let widest = zip(panel.categories, panel.categories.dropFirst()).map { $0.count + $1.count }.max() ?? 0
        let each = max(1, Int(((Double(widest) / 2 * 6.3 + 5) / categoryWidth).rounded(.up)))
        for (index, name) in panel.categories.enumerated() {
            svg.line(
                x(index), Self.size.height - Self.bottom, x(index), Self.size.height - Self.bottom + 4, class: "base")
            if index.isMultiple(of: each) {
                svg.text(name, x: x(index), y: Self.size.height - Self.bottom + 17, anchor: .middle)
            }
        }
        svg.text(
            panel.categoryLabel + " →", x: Self.left + plotWidth / 2, y: Self.size.height - 8, anchor: .middle,
            class: "axis")
    }

    private func drawLines(_ svg: inout SVG) {
        if let ideal = panel.ideal {
            svg.polyline(points(ideal), class: "reference")
        }
        // The first series comes last, so that it lies above the others.
        for series in panel.series.reversed() {
            svg.polyline(points(series), class: "line s\(series.style)")
            for (index, value) in series.values.enumerated() where isDrawn(value) {
                svg.mark(
                    series.style, x: x(index), y: y(value),
                    title: "\(series.name), \(panel.categories[index]): \(grouped(value, digits: value < 10 ? 3 : 1))")
            }
        }
    }

    private func points(_ series: Series) -> [(x: Double, y: Double)] {
        series.values.enumerated().filter { isDrawn($0.element) }.map { (x($0.offset), y($0.element)) }
    }

    private func drawBars(_ svg: inout SVG) {
        let width = min(28, categoryWidth * 0.8 / Double(panel.series.count))
        let base = y(scale.low)
        for (order, series) in panel.series.enumerated() {
            let offset = (Double(order) - Double(panel.series.count) / 2) * width
            for (index, value) in series.values.enumerated() where isDrawn(value) {
                svg.rectangle(
                    x: x(index) + offset + 1, y: y(value), width: width - 2, height: max(base - y(value), 0.5),
                    class: "bar s\(series.style)",
                    title: "\(series.name), \(panel.categories[index]): \(grouped(value, digits: 3))")
            }
        }
    }
}
