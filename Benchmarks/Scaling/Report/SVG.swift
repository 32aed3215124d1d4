// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The few elements of SVG that plots are made of. Colours come from the page's style sheet by class.

import Foundation

/// Collects elements of one picture.
struct SVG {
    let width: Double
    let height: Double
    private var elements: [String] = []

    enum Anchor: String { case start, middle, end }

    init(width: Double, height: Double) {
        self.width = width
        self.height = height
    }

    mutating func line(_ x1: Double, _ y1: Double, _ x2: Double, _ y2: Double, class style: String) {
        elements.append(
            "<line x1=\"\(Self.short(x1))\" y1=\"\(Self.short(y1))\" x2=\"\(Self.short(x2))\" y2=\"\(Self.short(y2))\" "
                + "class=\"\(style)\"/>")
    }

    mutating func polyline(_ points: [(x: Double, y: Double)], class style: String) {
        let list = points.map { "\(Self.short($0.x)),\(Self.short($0.y))" }.joined(separator: " ")
        elements.append("<polyline points=\"\(list)\" class=\"\(style)\"/>")
    }

    mutating func rectangle(
        x: Double, y: Double, width: Double, height: Double, class style: String, title: String? = nil
    ) {
        elements.append(
            "<rect x=\"\(Self.short(x))\" y=\"\(Self.short(y))\" width=\"\(Self.short(width))\" "
                + "height=\"\(Self.short(height))\" class=\"\(style)\">\(Self.tip(title))</rect>")
    }

    mutating func text(_ text: String, x: Double, y: Double, anchor: Anchor = .start, class style: String = "label") {
        elements.append(
            "<text x=\"\(Self.short(x))\" y=\"\(Self.short(y))\" text-anchor=\"\(anchor.rawValue)\" class=\"\(style)\">"
                + "\(escaped(text))</text>")
    }

    /// The mark of a style: circle, square, triangle, diamond, cross.
    mutating func mark(_ style: Int, x: Double, y: Double, title: String? = nil) {
        let paths = [
            "M-4.5 0a4.5 4.5 0 1 0 9 0a4.5 4.5 0 1 0 -9 0z", "M-4 -4h8v8h-8z", "M0 -5.2l5 8.7h-10z",
            "M0 -5.5l5.5 5.5l-5.5 5.5l-5.5 -5.5z",
            "M-4 -4l8 8M-4 4l8 -8",
        ]
        elements.append(
            "<path d=\"\(paths[style % paths.count])\" transform=\"translate(\(Self.short(x)) \(Self.short(y)))\" "
                + "class=\"mark s\(style)\">\(Self.tip(title))</path>")
    }

    /// The picture; `label` is for those who cannot see it.
    func markup(label: String) -> String {
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 \(Self.short(width)) \(Self.short(height))\" role=\"img\" "
            + "aria-label=\"\(escaped(label))\">\n" + elements.joined(separator: "\n") + "\n</svg>"
    }

    private static func tip(_ title: String?) -> String { title.map { "<title>\(escaped($0))</title>" } ?? "" }

    private static func short(_ value: Double) -> String {
        let text = String(format: "%.1f", value)
        return text.hasSuffix(".0") ? String(text.dropLast(2)) : text
    }
}

/// Text as HTML and SVG carry it.
func escaped(_ text: String) -> String {
    text.replacingOccurrences(of: "&", with: "&amp;").replacingOccurrences(of: "<", with: "&lt;")
        .replacingOccurrences(of: ">", with: "&gt;").replacingOccurrences(of: "\"", with: "&quot;")
}
