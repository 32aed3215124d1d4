// SPDX-License-Identifier: LGPL-2.1-or-later
//
// What a plot shows, apart from how it is drawn.

/// One line or one colour of bars.
struct Series {
    var name: String
    /// Chooses colour and mark; the same thing has the same style on the whole page.
    var style: Int
    /// One for each category of the panel; `nan` = no point.
    var values: [Double]
}

/// How a vertical axis runs.
struct VerticalAxis {
    /// With the unit.
    var label: String
    var isLogarithmic = false
    /// Values of neighbouring panels: all of them then have the same scale and can be compared.
    var neighbours: [Double] = []
    /// A dashed line across, and what it means.
    var reference: (value: Double, name: String)?
}

/// One coordinate system.
struct Panel {
    enum Kind { case lines, bars }

    var title: String
    var kind = Kind.lines
    /// With the unit.
    var categoryLabel: String
    var categories: [String]
    var axis: VerticalAxis
    var series: [Series]
    /// A dashed line without marks, such as the ideal; not in every panel.
    var ideal: Series?
}

/// A plot with its explanation, its numbers and the command that gives them.
struct Figure {
    var title: String
    /// Plain words: what is shown, and which direction is good.
    var explanation: String
    var panels: [Panel]
    var tables: [DataTable]
    var command: String
}
