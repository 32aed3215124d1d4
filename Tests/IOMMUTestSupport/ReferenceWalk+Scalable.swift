// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Scalable mode (TTM 1): root half, context entry, PASID directory, PASID table, and the dispatch by PGTT [A2, A4-A6, A9b].

extension ReferenceWalk {
    mutating func translateScalable() throws(Stop) -> Answer {
        let context = try scalableContext()
        // Translated requests go no further: the PASID table is not read.
        let pasid = try selectPASID(context)
        if request.kind == .translated { return try unchangedInRange(tooWide: 0x83, interruptRange: 0x87) }
        let entry = try pasidEntry(pasid, directory: pointer(context[0]))
        if asksForInterrupts { return message() }
        return try dispatch(entry, context: context)
    }

    /// Steps 1-3: the context entry, legal in itself.
    private mutating func scalableContext() throws(Stop) -> [UInt64] {
        // 1. The half of the root entry for this function: access, presence, reserved bits.
        let bus = UInt64(request.source >> 8)
        let function = UInt64(request.source & 0xff)
        let rootAddress = pointer(unit.rootRegister) &+ 16 * bus + (function >= 128 ? 8 : 0)
        guard let root = readWord(rootAddress) else { throw Stop(0x38) }
        if !bit(root, 0) { throw Stop(0x39) }
        if bits(root, 1...11) != 0 || exceedsHost(pointer(root)) { throw Stop(0x3a) }
        // 2. Context entry: access, FPD, presence.
        guard let context = readEntry(pointer(root) + 32 * (function & 0x7f), words: 4) else { throw Stop(0x40) }
        isSilenced = bit(context[0], 1)
        if !bit(context[0], 0) { throw Stop(0x41) }
        // 3. Reserved bits, among them what the capabilities do not offer; then fields that contradict each other.
        let isReserved =
            bits(context[0], 5...8) != 0 || exceedsHost(pointer(context[0]))
            || (bit(context[0], 2) && !model.has(.deviceTLB))
            || (bit(context[0], 4) && !model.has(.pageRequests))
            || (bits(context[1], 0...19) != 0 && !model.has(.requestPASID))
            || (bit(context[1], 20) && !model.has(.requestPrivilege))
            || bits(context[1], 21...63) != 0 || context[2] != 0 || context[3] != 0
        if isReserved { throw Stop(0x42) }
        if bit(context[0], 3) && !model.has(.pasid) { throw Stop(0x43) }
        if bit(context[0], 4) && !bit(context[0], 2) { throw Stop(0x43) }
        return context
    }

    /// Steps 4-6: which PASID, and whether this kind of request is allowed.
    private mutating func selectPASID(_ context: [UInt64]) throws(Stop) -> UInt32 {
        let bound = UInt64(1) << (bits(context[0], 9...11) + 13)
        let ridPASID = bits(context[1], 0...19)
        // 4. RID_PASID must lie in the directory, if it is used.
        if request.pasid == nil && ridPASID >= bound { throw Stop(0x48) }
        // 5. ATS needs DTE.
        if request.kind != .untranslated && !bit(context[0], 2) { throw Stop(0x44) }
        // 6. An explicit PASID needs PASIDE; any PASID must lie in the directory.
        if request.explicitPASID != nil && !bit(context[0], 3) { throw Stop(0x45) }
        if let pasid = request.pasid, UInt64(pasid) >= bound { throw Stop(0x46) }
        // A request without PASID takes its privilege from the context entry.
        isPrivileged = request.explicitPASID == nil ? bit(context[1], 20) : request.access.contains(.privileged)
        return request.pasid ?? UInt32(ridPASID)
    }

    /// Steps 7-8: directory and table.
    private mutating func pasidEntry(_ pasid: UInt32, directory: UInt64) throws(Stop) -> [UInt64] {
        // 7. Directory entry: access, FPD, presence, reserved bits.
        guard let link = readWord(directory &+ 8 * UInt64(pasid >> 6)) else { throw Stop(0x50) }
        isSilenced = isSilenced || bit(link, 1)
        if !bit(link, 0) { throw Stop(0x51) }
        if bits(link, 2...11) != 0 || exceedsHost(pointer(link)) { throw Stop(0x52) }
        // 8. PASID entry: access, FPD, presence, reserved bits, legality.
        guard let entry = readEntry(pointer(link) + 64 * UInt64(pasid & 63), words: 8) else { throw Stop(0x58) }
        isSilenced = isSilenced || bit(entry[0], 1)
        if !bit(entry[0], 0) { throw Stop(0x59) }
        if isReservedSecondStagePart(entry) || isReservedAttributePart(entry[1]) || isReservedFirstStagePart(entry)
            || entry[3...].contains(where: { $0 != 0 })
        {
            throw Stop(0x5a)
        }
        if !isLegal(entry) { throw Stop(0x5b) }
        return entry
    }

    private func isReservedSecondStagePart(_ entry: [UInt64]) -> Bool {
        let isPassThrough = bits(entry[0], 6...8) == 4
        let table = pointer(entry[0])
        let hasMarks = bit(entry[0], 9)
        return bits(entry[0], 10...11) != 0
            || (bit(entry[0], 5) && !isRevision3)
            || (hasMarks && !model.has(.secondStageMarks) && !isPassThrough)
            || exceedsHost(table)
            || ((table != 0 || hasMarks) && !model.has(.secondStage))
    }

    private func isReservedAttributePart(_ word: UInt64) -> Bool {
        let hasTypes = model.has(.memoryTypes)
        return bits(word, 16...22) != 0
            || bits(word, 0...15) >> UInt64(model.domainWidth) != 0
            || (bit(word, 23) && !model.has(.snoopedWalks))
            || (bit(word, 24) && !model.has(.snoopControl))
            || ((bit(word, 25) || bit(word, 26) || bits(word, 32...63) != 0) && !hasTypes)
            || (bits(word, 27...29) != 0 && !(isRevision3 && hasTypes))
            || (bits(word, 30...31) != 0 && !isRevision3)
    }

    private func isReservedFirstStagePart(_ entry: [UInt64]) -> Bool {
        let word = entry[2]
        // NXE and SMEP are ignored without a first stage; everything else is reserved then.
        if !model.has(.firstStage) { return word & ~0x60 != 0 }
        return (bit(word, 0) && !model.has(.supervisorRequests))
            || (bit(word, 1) && !(isRevision3 && model.has(.executeRequests)))
            || (bit(word, 7) && !model.has(.extendedAccessed))
            || bits(word, 8...11) != 0
            || (bits(entry[0], 6...8) == 1 && exceedsHost(pointer(word)))
    }

    private func isLegal(_ entry: [UInt64]) -> Bool {
        let type = bits(entry[0], 6...8)
        let hasFirst = model.has(.firstStage)
        let hasSecond = model.has(.secondStage)
        let isOffered =
            switch type {
            case 1: hasFirst
            case 2: hasSecond
            case 3: hasFirst && hasSecond && model.has(.nesting)
            case 4: model.has(.passThrough)
            default: false
            }
        if !isOffered { return false }
        if type == 2 || type == 3, !model.supports(addressWidth: bits(entry[0], 2...4)) { return false }
        let pagingMode = bits(entry[2], 2...3)
        if type == 1 || type == 3, pagingMode > 1 || (pagingMode == 1 && !model.has(.firstStage5Level)) { return false }
        return true
    }

    /// Steps 9-10: the request against the entry, and the walk that the entry asks for.
    private mutating func dispatch(_ entry: [UInt64], context: [UInt64]) throws(Stop) -> Answer {
        let type = bits(entry[0], 6...8)
        // 9. Supervisor and execute requests must be enabled.
        let isSupervisorEnabled = bit(entry[2], 0)
        let isExecuteEnabled = isRevision3 && bit(entry[2], 1)
        // Choice: the right to execute is reported to requests that can carry the attribute, those with PASID.
        let reportsExecute = isExecuteEnabled && request.explicitPASID != nil
        if type == 1 || type == 3, isPrivileged && !isSupervisorEnabled { throw Stop(0x5d) }
        if type != 4, needsExecute && !isExecuteEnabled { throw Stop(0x5c) }
        // 10. By translation type.
        if type == 4 { return try unchangedInRange(tooWide: 0x83, interruptRange: 0x87) }
        let canWriteMarks = bit(entry[1], 23) && model.has(.snoopedWalks)
        let second = SecondStageTables(
            entry, isNested: type == 3, canWriteMarks: canWriteMarks, isRevision3: isRevision3)
        if type == 2 {
            let result = try walkSecondStage(request.iova, second, needs: ownNeeds)
            let isExecutable = reportsExecute && result.execute
            return .mapped(
                MappedAnswer(
                    address: result.address, pageSizeLog2: result.sizeLog2,
                    rights: rights(read: result.read, write: result.write, execute: isExecutable)))
        }
        let first = FirstStageTables(
            entry, second: type == 3 ? second : nil, canWriteMarks: canWriteMarks, reportsExecute: reportsExecute)
        return .mapped(try walkFirstStage(request.iova, first))
    }
}
