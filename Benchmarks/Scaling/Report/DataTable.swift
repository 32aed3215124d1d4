// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A table of figures: printed on the terminal, written as CSV, and shown on the page.

import Foundation

/// One place of a table.
enum DataCell {
    case text(String)
    /// With so many digits after the point where people read it. Not finite: there is no such figure.
    case number(Double, digits: Int)
    /// 65,536 as 64 Ki where people read it.
    case pages(Int)

    /// For people.
    var shown: String {
        switch self {
        case .text(let text): text
        case .number(let value, let digits): value.isFinite ? grouped(value, digits: digits) : "–"
        case .pages(let pages): pageCount(pages)
        }
    }

    /// For programs; empty where there is no figure.
    var plain: String {
        switch self {
        case .text(let text): text
        case .number(let value, let digits):
            value.isFinite ? String(format: "%.\(digits == 0 ? 0 : max(digits, 4))f", value) : ""
        case .pages(let pages): "\(pages)"
        }
    }

    var isNumber: Bool {
        if case .number = self { true } else { false }
    }
}

/// Columns with names (units included) and rows of as many places.
struct DataTable {
    /// For the name of its file: lower case, no blanks.
    var name: String
    var title: String
    /// What the columns' names mean, where they do not say it.
    var legend = ""
    /// No two alike.
    var columns: [String]
    var rows: [[DataCell]] = []

    /// Aligned text, numbers to the right.
    var text: String {
        let widths = columns.indices.map { column in
            ([columns[column].count] + rows.map { $0[column].shown.count }).max()!
        }
        var lines = [title] + (legend.isEmpty ? [] : [legend])
        lines.append(zip(columns, widths).map { pad($0, to: $1, right: false) }.joined(separator: "  "))
        lines.append(widths.map { String(repeating: "-", count: $0) }.joined(separator: "  "))
        for row in rows {
            lines.append(
                zip(row, widths).map { pad($0.shown, to: $1, right: $0.isNumber) }.joined(separator: "  "))
        }
        return lines.joined(separator: "\n")
    }

    private func pad(_ text: String, to width: Int, right: Bool) -> String {
        let blanks = String(repeating: " ", count: max(0, width - text.count))
        return right ? blanks + text : text + blanks
    }
}

/// A number with commas between thousands.
func grouped(_ value: Double, digits: Int) -> String {
    let plain = String(format: "%.\(digits)f", abs(value))
    let parts = plain.split(separator: ".")
    var whole = ""
    for (index, digit) in parts[0].enumerated() {
        if index > 0 && (parts[0].count - index).isMultiple(of: 3) {
            whole.append(",")
        }
        whole.append(digit)
    }
    let sign = value < 0 && plain.contains(where: { $0 != "0" && $0 != "." }) ? "-" : ""
    return sign + whole + (parts.count > 1 ? "." + parts[1] : "")
}

/// 64, 4 Ki, 64 Ki.
func pageCount(_ pages: Int) -> String {
    pages.isMultiple(of: 1024) ? "\(pages / 1024) Ki" : "\(pages)"
}
