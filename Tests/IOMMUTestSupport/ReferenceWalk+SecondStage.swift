// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The second stage, alone or below a first stage [A8, A9].

/// Everything that decides a second-stage walk.
struct SecondStageTables {
    var root: UInt64
    var levels: Int
    var stage = FaultAnswer.Stage.second
    /// Legacy mode: its own fault codes, and no accessed or dirty bits.
    var isLegacy = false
    /// SSADE: accessed and dirty bits are kept.
    var hasMarks = false
    /// PWSNP on a unit that can: without it no mark can be written.
    var canWriteMarks = false
    /// SSEE: the execute bit counts.
    var hasExecute = false

    /// Of a legacy context entry.
    init(root: UInt64, width: UInt64) {
        self.root = root
        levels = Int(width) + 2
        isLegacy = true
    }

    /// Of a PASID-table entry.
    init(_ entry: [UInt64], isNested: Bool, canWriteMarks: Bool, isRevision3: Bool) {
        root = pointer(entry[0])
        levels = Int(bits(entry[0], 2...4)) + 2
        stage = isNested ? .nested : .second
        hasMarks = bit(entry[0], 9)
        self.canWriteMarks = canWriteMarks
        hasExecute = isRevision3 && bit(entry[0], 5)
    }
}

/// What a second-stage walk has to find, and whether it may mark what it used.
struct SecondStageNeeds {
    var read: Bool
    var write: Bool
    var execute = false
    var setsMarks: Bool
    /// The result is the output of the whole translation, not the place of a first-stage table.
    var isFinal: Bool
}

/// What it found.
struct SecondStageResult {
    var address: UInt64
    var sizeLog2: Int
    var read: Bool
    /// Only once the dirty bit that a write needs is set.
    var write: Bool
    var execute: Bool
}

extension ReferenceWalk {
    /// The needs of the request itself.
    var ownNeeds: SecondStageNeeds {
        SecondStageNeeds(
            read: needsRead, write: needsWrite, execute: needsExecute, setsMarks: setsMarks, isFinal: true)
    }

    func walkSecondStage(
        _ input: UInt64, _ tables: SecondStageTables, needs: SecondStageNeeds
    ) throws(Stop) -> SecondStageResult {
        func stop(_ legacy: UInt32, _ scalable: UInt32, level: Int? = nil) -> Stop {
            Stop(tables.isLegacy ? legacy : scalable, tables.stage, level: level)
        }
        // 1. The input must fit the guest address width and the width of the tables.
        let width = min(model.guestAddressWidth, 12 + 9 * tables.levels)
        if input >> UInt64(width) != 0 { throw stop(0x04, 0x84) }

        var table = tables.root
        var (canRead, canWrite, canExecute) = (true, true, true)
        for level in (0..<tables.levels).reversed() {
            // 2. Read the entry.
            let shift = UInt64(12 + 9 * level)
            let address = table &+ 8 * ((input >> shift) & 0x1ff)
            guard let entry = readWord(address) else {
                throw level == tables.levels - 1 ? stop(0x03, 0x7b, level: level) : stop(0x07, 0x78, level: level)
            }
            // 3. Presence: neither R nor W is absent, whatever else it says.
            if entry & 3 == 0 { throw stop(needs.write ? 0x05 : 0x06, 0x79, level: level) }
            // 4. Reserved bits.
            let isLeaf = level == 0 || bit(entry, 7)
            if isReservedSecondStage(entry, level: level, isLeaf: isLeaf) { throw stop(0x0c, 0x7a, level: level) }
            // 5. Permissions accumulate.
            canRead = canRead && bit(entry, 0)
            canWrite = canWrite && bit(entry, 1)
            canExecute = canExecute && bit(entry, 2)
            if !isLeaf {
                // 6. An entry above the leaf is marked as soon as it is used.
                try markSecondStage(address, entry, adding: 0x100, tables, needs, level: level)
                table = bits(entry, 12...51) << 12
                continue
            }
            // 7. The leaf decides: nothing left, then write, read, execute.
            if !canRead && !canWrite { throw stop(needs.write ? 0x05 : 0x06, 0x79, level: level) }
            if needs.write && !canWrite { throw stop(0x05, 0x85, level: level) }
            let needsRead = needs.read || (needs.execute && !tables.hasExecute)
            if needsRead && !canRead { throw stop(0x06, 0x86, level: level) }
            if needs.execute && tables.hasExecute && !canExecute { throw Stop(0x82, tables.stage, level: level) }
            // 8. The interrupt range is no memory.
            let base = (bits(entry, 12...51) << 12) & ~(1 << shift - 1)
            let output = base | input & (1 << shift - 1)
            if needs.isFinal && isInterruptAddress(output) { throw stop(0x0e, 0x87, level: level) }
            // 9. The leaf's marks.
            let wanted: UInt64 = needs.write ? 0x300 : 0x100
            let marked = try markSecondStage(address, entry, adding: wanted, tables, needs, level: level)
            let isWriteReady = !tables.hasMarks || bit(marked, 9)
            return SecondStageResult(
                address: output, sizeLog2: Int(shift), read: canRead, write: canWrite && isWriteReady,
                execute: tables.hasExecute ? canExecute : canRead)
        }
        preconditionFailure("level 0 is always a leaf")
    }

    private func isReservedSecondStage(_ entry: UInt64, level: Int, isLeaf: Bool) -> Bool {
        let address = bits(entry, 12...51) << 12
        if bit(entry, 62) || exceedsHost(address) { return true }
        if bit(entry, 11) && !(isLeaf && model.has(.snoopControl)) { return true }
        guard level > 0 && isLeaf else { return false }
        // A large page: the level must know them, the unit must offer the size, the address must be aligned.
        if level > 2 || !bit(model[.secondStageLargePages], UInt64(level) - 1) { return true }
        return address & (1 << UInt64(12 + 9 * level) - 1) != 0
    }

    /// Sets bits of an entry that was found legal, if they are missing and are to be set; returns the entry as it is now.
    @discardableResult
    private func markSecondStage(
        _ address: UInt64, _ entry: UInt64, adding marks: UInt64, _ tables: SecondStageTables,
        _ needs: SecondStageNeeds, level: Int
    ) throws(Stop) -> UInt64 {
        guard tables.hasMarks, needs.setsMarks, entry & marks != marks else { return entry }
        if !tables.canWriteMarks { throw Stop(0x7c, tables.stage, level: level) }
        if !unit.write(address, entry | marks) { throw Stop(0x7d, tables.stage, level: level) }
        return entry | marks
    }
}
