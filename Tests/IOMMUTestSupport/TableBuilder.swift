// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Builds root, context and PASID tables in a guest image [FORMATS-VTD A2-A6]. Tables appear where they are first needed; every
// entry can be overwritten raw.

/// The configuration tables of one unit.
package final class TableBuilder {
    package let image: GuestImage
    package let isScalable: Bool
    package let rootTable: UInt64
    private var contextTables: [UInt64: UInt64] = [:]
    private var directories: [UInt16: UInt64] = [:]
    private var pasidTables: [UInt64: UInt64] = [:]

    package init(_ image: GuestImage, isScalable: Bool) {
        self.image = image
        self.isScalable = isScalable
        rootTable = image.allocatePage()
    }

    /// RTADDR for these tables.
    package var rootRegister: UInt64 { rootTable | (isScalable ? 1 << 10 : 0) }

    // MARK: Root and context

    /// Address of the root entry for a source: the half for it, in scalable mode.
    package func rootEntryAddress(_ source: UInt16) -> UInt64 {
        rootTable + 16 * UInt64(source >> 8) + (isScalable && source & 0x80 != 0 ? 8 : 0)
    }

    /// Address of the context entry for a source.
    package func contextEntryAddress(_ source: UInt16) -> UInt64 {
        let slot = rootEntryAddress(source)
        let table: UInt64
        if let known = contextTables[slot] {
            table = known
        } else {
            table = image.allocatePage()
            contextTables[slot] = table
            image[slot] = table | 1
        }
        let function = UInt64(source & 0xff)
        return table + (isScalable ? 32 * (function & 0x7f) : 16 * function)
    }

    /// Writes a legacy context entry.
    package func setContext(_ source: UInt16, _ context: LegacyContext) {
        store(context.words, at: contextEntryAddress(source))
    }

    /// Writes a scalable-mode context entry; a directory of zero becomes the source's own.
    package func setContext(_ source: UInt16, _ context: ScalableContext) {
        var context = context
        if context.directory == 0 { context.directory = directory(source) }
        store(context.words, at: contextEntryAddress(source))
    }

    // MARK: PASID directory and table

    /// The PASID directory of a source: large enough for every PASID that tests use (below 2^14).
    package func directory(_ source: UInt16) -> UInt64 {
        if let known = directories[source] { return known }
        let table = image.allocatePage()
        directories[source] = table
        return table
    }

    /// Address of the directory entry for a PASID.
    package func directoryEntryAddress(_ source: UInt16, pasid: UInt32) -> UInt64 {
        directory(source) + 8 * UInt64(pasid >> 6)
    }

    /// Address of the table entry for a PASID.
    package func pasidEntryAddress(_ source: UInt16, pasid: UInt32) -> UInt64 {
        let slot = directoryEntryAddress(source, pasid: pasid)
        let table: UInt64
        if let known = pasidTables[slot] {
            table = known
        } else {
            table = image.allocatePage()
            pasidTables[slot] = table
            image[slot] = table | 1
        }
        return table + 64 * UInt64(pasid & 63)
    }

    /// Writes a PASID-table entry.
    package func setPASID(_ source: UInt16, pasid: UInt32, _ entry: PASIDEntry) {
        store(entry.words, at: pasidEntryAddress(source, pasid: pasid))
    }

    private func store(_ words: [UInt64], at address: UInt64) {
        for (index, word) in words.enumerated() { image[address + UInt64(8 * index)] = word }
    }
}
