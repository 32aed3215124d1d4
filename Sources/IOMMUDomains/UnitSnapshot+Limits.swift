// SPDX-License-Identifier: LGPL-2.1-or-later
//
// How large a snapshot may be: a few damaged bytes must not make a host build terabytes of page tables.

extension UnitSnapshot {
    /// What a restore will build at most.
    public struct Limits: Hashable, Sendable {
        /// Spaces.
        public var spaces = 4096
        /// Allowed and reserved ranges of a space, each.
        public var ranges = 8192
        /// Areas of all spaces together.
        public var areas = 4_194_304
        /// Paging and nested domains. The unit has a limit too: ``RemappingUnit/Configuration/domains``.
        public var domains = 65_536
        /// Runs that are mapped in domains without a space, all together.
        public var mappings = 4_194_304
        /// Pages of page tables of all domains together, 4096 bytes each.
        public var tables = 262_144
        /// Devices.
        public var devices = 65_536
        /// Attachments of all devices together.
        public var attachments = 4_194_304
        /// PASID namespaces.
        public var namespaces = 65_536
        /// Bindings of all namespaces together.
        public var bindings = 1_048_576

        /// The limits above.
        public init() {}
    }
}

/// Counts the tables that ranges in ascending order need: an upper bound, near the truth.
struct TableCount {
    /// Counted up to here: more than any memory holds.
    private static let most: UInt64 = 1 << 40

    private var last: UInt64?
    private(set) var tables: UInt64 = 4

    /// Adds a range that leads from first...last to `output`, with pages of 2^`pageLog2` at most. Not before what was added before.
    mutating func add(_ first: UInt64, _ last: UInt64, output: UInt64, pageLog2: UInt32) {
        let large: [UInt64] = [30, 21]
        let page = large.first { $0 <= UInt64(pageLog2) && (first ^ output) & ((1 << $0) - 1) == 0 } ?? 12
        // A table of 512 entries covers 2^21, 2^30, 2^39 and 2^48 bytes.
        for covered: UInt64 in [21, 30, 39, 48] {
            let known = self.last.map { $0 >> covered == first >> covered } == true
            let touched = last >> covered - first >> covered + (known ? 0 : 1)
            // Where the page is as large as the table, only the ends need one.
            let needed = covered <= page ? min(touched, 2) : touched
            tables = min(tables + min(needed, Self.most), Self.most)
        }
        self.last = last
    }
}
