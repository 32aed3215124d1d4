// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A description for people to read.

extension CaptureDescription {
    /// The description as text.
    public var text: String {
        var lines = [capture, ""]
        lines += unit.map { "  \(Self.pad($0.name, 14))\($0.value)" }
        lines += ["", "Capabilities"]
        lines += capabilities.map { "  \(Self.pad($0.name, 14))\($0.value)" }
        lines += ["", "Devices"]
        for entry in entries {
            let name = entry.pasid.map { "\(entry.source)/\($0)" } ?? entry.source
            let space = entry.space.map { " -> space \($0 + 1)" } ?? ""
            lines.append("  \(name)\(space)")
            lines.append("    " + entry.fields.map { "\($0.name)=\($0.value)" }.joined(separator: " "))
            if let fault = entry.fault { lines.append("    every request: \(fault)") }
        }
        for (index, space) in spaces.enumerated() {
            lines += ["", Self.title(index, space)]
            lines += space.ranges.map(Self.line)
            if !space.isComplete { lines.append("  ... and more") }
        }
        if !isComplete { lines += ["", "Not everything is shown: the tables refer to themselves or are very large."] }
        return lines.joined(separator: "\n")
    }

    private static func title(_ index: Int, _ space: Space) -> String {
        let mapped = "\(space.pages) pages in \(space.ranges.count) ranges"
        let what = space.kind == "pass-through" ? "output = input" : mapped
        let sources = space.sources.joined(separator: " ")
        return "Space \(index + 1): domain \(space.domain), \(space.kind), \(what); \(sources)"
    }

    private static func line(_ range: Range) -> String {
        let size = WalkText.size(range.pageSize)
        return "  \(range.iova)...\(range.last) -> \(range.output)  \(range.pages) x \(size) \(range.rights)"
    }

    private static func pad(_ text: String, _ width: Int) -> String {
        text + String(repeating: " ", count: max(1, width - text.count))
    }
}
