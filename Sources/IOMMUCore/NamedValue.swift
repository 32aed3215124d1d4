// SPDX-License-Identifier: LGPL-2.1-or-later
//
// NamedValue - what the statistics of every module can be listed as.

/// A counter or a gauge by name, for a host's metrics.
public struct NamedValue: Hashable, Sendable, Codable {
    /// Lower-case words joined by underscores; a counter's ends with `_total`.
    public let name: String
    /// The value.
    public let value: UInt64

    /// Makes a pair.
    public init(_ name: String, _ value: UInt64) {
        self.name = name
        self.value = value
    }
}
