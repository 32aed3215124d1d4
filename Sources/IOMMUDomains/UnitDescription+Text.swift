// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A description for people to read.

extension UnitDescription {
    /// The description as text: model, properties, and every capability field by its mnemonic.
    public var text: String {
        var lines = ["Unit of model \(model)", "", "Properties"]
        lines += properties.map { "  \(Self.pad($0.name, 20))\($0.value)" }
        lines += ["", "Capabilities"]
        lines += capabilities.properties.map { "  \(Self.pad($0.name, 20))\($0.value)" }
        return lines.joined(separator: "\n")
    }

    private static func pad(_ text: String, _ width: Int) -> String {
        text + String(repeating: " ", count: max(1, width - text.count))
    }
}
