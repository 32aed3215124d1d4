// SPDX-License-Identifier: LGPL-2.1-or-later
//
// FirstStageTables - a guest's four-level first stage, and the scalable-mode tables that lead to it [FORMATS-VTD A].

import IOMMU

/// Tables in a memory that begins at output address 0. The memory exists as long as the process.
struct FirstStageTables {
    let memory: UnsafeMutableRawBufferPointer
    private var next: UInt64 = 4096

    init(bytes: Int) {
        memory = mapMemory((bytes + 0xfff) & ~0xfff)
    }

    private mutating func makeTable() -> UInt64 {
        defer { next += 4096 }
        precondition(Int(next) + 4096 <= memory.count, "the guest's memory is full")
        return next
    }

    private func store(_ word: UInt64, at address: UInt64) {
        memory.storeBytes(of: word, toByteOffset: Int(address), as: UInt64.self)
    }

    private func load(_ address: UInt64) -> UInt64 {
        memory.load(fromByteOffset: Int(address), as: UInt64.self)
    }

    /// Maps the pages of one space, every accessed and dirty bit set; the address of the root.
    mutating func build(_ shape: Shape, space: Int, onto output: UInt64) -> UInt64 {
        let bits: UInt64 = 0x67  // P, R/W, U/S, A, D
        let leaf = (shape.pageLog2 - 12) / 9
        let root = makeTable()
        for page in 0..<shape.pages {
            let input = shape.firstInput + UInt64(page) * shape.distance
            var table = root
            for level in stride(from: 3, to: leaf, by: -1) {
                let entry = table + (input >> UInt64(12 + 9 * level) & 511) * 8
                if load(entry) == 0 {
                    store(makeTable() | bits, at: entry)
                }
                table = load(entry) & ~0xfff
            }
            store(
                shape.output(space: space, page: page) - Shape.output + output | bits | (leaf == 0 ? 0 : 0x80),
                at: table + (input >> UInt64(12 + 9 * leaf) & 511) * 8)
        }
        return root
    }

    /// Root, context and PASID tables of one source without PASIDs; the address of the root table.
    mutating func buildScalable(_ source: SourceID, firstStage: UInt64) -> UInt64 {
        let root = makeTable()
        let contexts = makeTable()
        let directory = makeTable()
        let pasids = makeTable()
        store(contexts | 1, at: root)
        store(directory | 1, at: contexts + UInt64(source.rawValue) * 32)
        store(pasids | 1, at: directory)
        store(1 << 6 | 2 << 2 | 1, at: pasids)  // first stage only, four levels
        store(1, at: pasids + 8)  // domain 1
        store(firstStage, at: pasids + 16)
        return root
    }
}
