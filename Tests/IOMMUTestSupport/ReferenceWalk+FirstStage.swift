// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The first stage, alone or on a second stage that holds its tables [A7, A9, A10].

/// Everything that decides a first-stage walk.
struct FirstStageTables {
    var root: UInt64
    var levels: Int
    /// WPE: supervisor writes honour R/W = 0.
    var protectsSupervisor: Bool
    /// NXE and SMEP, revision 3 only.
    var hasExecuteDisable: Bool
    var hasSupervisorProtection: Bool
    /// EAFE: bit 10 is set along with the accessed bit.
    var hasExtendedAccessed: Bool
    var canWriteMarks: Bool
    /// The execute right is reported.
    var reportsExecute: Bool
    /// The second stage of a nested translation.
    var second: SecondStageTables?

    init(_ entry: [UInt64], second: SecondStageTables?, canWriteMarks: Bool, reportsExecute: Bool) {
        root = pointer(entry[2])
        levels = bits(entry[2], 2...3) == 1 ? 5 : 4
        protectsSupervisor = bit(entry[2], 4)
        hasExecuteDisable = bit(entry[2], 5)
        hasSupervisorProtection = bit(entry[2], 6)
        hasExtendedAccessed = bit(entry[2], 7)
        self.canWriteMarks = canWriteMarks
        self.reportsExecute = reportsExecute
        self.second = second
    }
}

/// What the levels above, and this one, allow.
struct FirstStagePermissions {
    var isUser = true
    var isWritable = true
    var isExecuteDisabled = false
}

extension ReferenceWalk {
    func walkFirstStage(_ input: UInt64, _ tables: FirstStageTables) throws(Stop) -> MappedAnswer {
        // 1. The input must be canonical for the number of levels.
        let unused = UInt64(64 - (12 + 9 * tables.levels))
        if Int64(bitPattern: input << unused) >> Int64(unused) != Int64(bitPattern: input) { throw Stop(0x80, .first) }

        var table = tables.root
        var permissions = FirstStagePermissions()
        for level in (0..<tables.levels).reversed() {
            // 2. Where the entry lies. In nested translation the pointer is a guest-physical address.
            let isTop = level == tables.levels - 1
            let slot = table &+ 8 * ((input >> UInt64(12 + 9 * level)) & 0x1ff)
            let address = try locate(slot, tables, level: level, isTop: isTop)
            // 3.-6. Read it, check it, and mark it, again from the start if it changed in between.
            repeat {
                guard let entry = readWord(address) else { throw Stop(isTop ? 0x73 : 0x70, .first, level: level) }
                var seen = permissions
                try check(entry, tables, level: level, &seen)
                let isLeaf = level == 0 || (level <= 2 && bit(entry, 7))
                if isLeaf {
                    let place = Leaf(entry: entry, address: address, slot: slot, level: level)
                    if let answer = try finish(input, tables, place, seen) { return answer }
                } else if try mark(entry, adding: 0x20, at: address, slot: slot, tables, level: level) != nil {
                    permissions = seen
                    table = bits(entry, 12...51) << 12
                    break
                }
            } while true
        }
        preconditionFailure("level 0 is always a leaf")
    }

    /// Step 2: the output address of an entry; nested, through the second stage as a read.
    private func locate(
        _ slot: UInt64, _ tables: FirstStageTables, level: Int, isTop: Bool
    ) throws(Stop) -> UInt64 {
        guard let second = tables.second else { return slot }
        if exceedsGuest(slot) { throw Stop(0x74, .first, level: level) }
        let needs = SecondStageNeeds(read: true, write: false, setsMarks: setsMarks, isFinal: false)
        do throws(Stop) {
            return try walkSecondStage(slot, second, needs: needs).address
        } catch {
            // Only a missing right is the first stage's fault; whatever else is wrong keeps its code.
            throw error.code == 0x86 ? Stop(isTop ? 0x75 : 0x76, .first, level: level) : error
        }
    }

    /// Steps 3-5: presence, permissions of this level, reserved bits.
    private func check(
        _ entry: UInt64, _ tables: FirstStageTables, level: Int, _ permissions: inout FirstStagePermissions
    ) throws(Stop) {
        // 3. Presence: nothing else of an absent entry is looked at.
        if !bit(entry, 0) { throw Stop(0x71, .first, level: level) }
        // 4. User requests need U/S; writes need R/W, unless a supervisor may ignore it.
        permissions.isUser = permissions.isUser && bit(entry, 2)
        permissions.isWritable = permissions.isWritable && bit(entry, 1)
        if !isPrivileged && !bit(entry, 2) { throw Stop(0x81, .first, level: level) }
        if needsWrite && !bit(entry, 1) && (!isPrivileged || tables.protectsSupervisor) {
            throw Stop(0x85, .first, level: level)
        }
        // 5. Reserved bits.
        let address = bits(entry, 12...51) << 12
        let isLarge = level > 0 && bit(entry, 7)
        if isLarge {
            if level > 2 || (level == 2 && !model.has(.firstStage1GiB)) { throw Stop(0x72, .first, level: level) }
            // Bit 12 is PAT in a large page; the address bits below its size are reserved.
            if address & (1 << UInt64(12 + 9 * level) - 1) & ~0x1000 != 0 { throw Stop(0x72, .first, level: level) }
        }
        if isRevision3 && bit(entry, 63) && !tables.hasExecuteDisable { throw Stop(0x72, .first, level: level) }
        if tables.second == nil {
            if exceedsHost(address) { throw Stop(0x72, .first, level: level) }
        } else if exceedsGuest(address) {
            throw Stop(0x74, .first, level: level)
        }
        permissions.isExecuteDisabled = permissions.isExecuteDisabled || bit(entry, 63)
    }

    private struct Leaf {
        var entry: UInt64
        var address: UInt64
        var slot: UInt64
        var level: Int
    }

    /// Step 6 for a leaf: execute permission, result, marks. nil if the entry changed meanwhile.
    private func finish(
        _ input: UInt64, _ tables: FirstStageTables, _ leaf: Leaf, _ permissions: FirstStagePermissions
    ) throws(Stop) -> MappedAnswer? {
        // 6a. Execute: not disabled on the way, and no user page for a supervisor under SMEP.
        let isShielded = isPrivileged && tables.hasSupervisorProtection && permissions.isUser
        let isExecutable = isRevision3 && !permissions.isExecuteDisabled && !isShielded
        if needsExecute && !isExecutable { throw Stop(0x82, .first, level: leaf.level) }
        // 6b. The result; nested, through the second stage with the access itself.
        let shift = UInt64(12 + 9 * leaf.level)
        let page = (bits(leaf.entry, 12...51) << 12) & ~(1 << shift - 1)
        let output = page | input & (1 << shift - 1)
        var result = SecondStageResult(
            address: output, sizeLog2: Int(shift), read: true, write: true, execute: true)
        if let second = tables.second {
            result = try walkSecondStage(output, second, needs: ownNeeds)
        } else if isInterruptAddress(output) {
            throw Stop(0x87, .first, level: leaf.level)
        }
        // 6c. The leaf's marks, once everything else granted the access.
        let marks: UInt64 = needsWrite ? 0x60 : 0x20
        guard
            let marked = try mark(
                leaf.entry, adding: marks, at: leaf.address, slot: leaf.slot, tables, level: leaf.level)
        else { return nil }
        let mayWrite = permissions.isWritable || (isPrivileged && !tables.protectsSupervisor)
        return MappedAnswer(
            address: result.address, pageSizeLog2: min(result.sizeLog2, Int(shift)),
            rights: rights(
                read: result.read, write: mayWrite && bit(marked, 6) && result.write,
                execute: tables.reportsExecute && isExecutable && result.execute))
    }

    /// Sets the bits that are missing and returns the entry as it is then; nil if it no longer is what was checked.
    private func mark(
        _ entry: UInt64, adding wanted: UInt64, at address: UInt64, slot: UInt64, _ tables: FirstStageTables, level: Int
    ) throws(Stop) -> UInt64? {
        let marks = wanted | (tables.hasExtendedAccessed ? 0x400 : 0)
        guard setsMarks, entry & marks != marks else { return entry }
        // A mark needs a snooped walk, in nested translation the second stage's permission to write, and writable memory.
        if !tables.canWriteMarks { throw Stop(0x90, .first, level: level) }
        if let second = tables.second {
            let needs = SecondStageNeeds(read: false, write: true, setsMarks: true, isFinal: false)
            do throws(Stop) {
                _ = try walkSecondStage(slot, second, needs: needs)
            } catch {
                throw error.code == 0x85 ? Stop(0x77, .first, level: level) : error
            }
        }
        guard readWord(address) == entry else { return nil }
        if !unit.write(address, entry | marks) { throw Stop(0x91, .first, level: level) }
        return entry | marks
    }
}
