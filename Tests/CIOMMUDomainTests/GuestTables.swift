// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A guest's first-stage tables in registered memory, reached through a parent domain. Built by hand.

import CIOMMU

/// Four levels for inputs below 2 MiB.
struct GuestTables {
    /// The root, as an input address of the parent.
    let root: UInt64
    private let bench: DomainBench
    private let output: UInt64
    private static let flags: UInt64 = 0x67  // P, R/W, U/S, A, D

    /// Registers memory at `output` and maps it into the parent at `root`.
    init(_ bench: DomainBench, parent: Domain, root: UInt64 = 0x70_0000_0000, output: UInt64 = 0x7_0000_0000) throws {
        self.bench = bench
        self.root = root
        self.output = output
        try bench.register(output, bytes: 4 * 4096)
        try bench.map(parent, root, to: output, 4 * pageBytes)
        for level in 0..<3 as Range<UInt64> {
            bench.poke(output + level * pageBytes, (root + (level + 1) * pageBytes) | GuestTables.flags)
        }
    }

    /// Maps an input page below 2 MiB to a parent address; with another set of flags, or none.
    func map(_ iova: UInt64, to address: UInt64, flags: UInt64 = GuestTables.flags) {
        bench.poke(output + 3 * pageBytes + (iova >> 12) * 8, address | flags)
    }
}
