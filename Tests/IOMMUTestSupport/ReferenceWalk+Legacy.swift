// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Legacy mode (TTM 0): root entry, context entry, second stage or pass-through [A2, A3, A9b].

extension ReferenceWalk {
    mutating func translateLegacy() throws(Stop) -> Answer {
        // 1. Requests with PASID are blocked before anything is read.
        if request.explicitPASID != nil { throw Stop(0x31) }
        // 2. Root entry: access, presence, reserved bits. No FPD has been read, so none of these is qualified.
        let bus = UInt64(request.source >> 8)
        guard let root = readEntry(pointer(unit.rootRegister) &+ 16 * bus, words: 2) else { throw Stop(0x08) }
        if !bit(root[0], 0) { throw Stop(0x01) }
        if bits(root[0], 1...11) != 0 || exceedsHost(pointer(root[0])) || root[1] != 0 { throw Stop(0x0a) }
        // 3. Context entry: access.
        let function = UInt64(request.source & 0xff)
        guard let context = readEntry(pointer(root[0]) + 16 * function, words: 2) else { throw Stop(0x09) }
        // 4. FPD counts from here on, even if the entry is absent.
        isSilenced = bit(context[0], 1)
        if !bit(context[0], 0) { throw Stop(0x02) }
        // 5. Reserved bits.
        if isReservedLegacy(context) { throw Stop(0x0b) }
        // 6. Translation type, then width.
        let type = bits(context[0], 2...3)
        if type == 3 || (type == 1 && !model.has(.deviceTLB)) || (type == 2 && !model.has(.passThrough)) {
            throw Stop(0x03)
        }
        let width = bits(context[1], 0...2)
        if !model.supports(addressWidth: width) { throw Stop(0x03) }
        // 7. The kind of request.
        if request.kind != .untranslated && type != 1 { throw Stop(0x0d) }
        if asksForInterrupts { return message() }
        // 8. Translated requests and pass-through.
        if request.kind == .translated || type == 2 {
            return try unchangedInRange(tooWide: 0x04, interruptRange: 0x0e)
        }
        // 9. Second stage.
        let tables = SecondStageTables(root: pointer(context[0]), width: width)
        let result = try walkSecondStage(request.iova, tables, needs: ownNeeds)
        return .mapped(
            MappedAnswer(
                address: result.address, pageSizeLog2: result.sizeLog2,
                rights: rights(read: result.read, write: result.write, execute: false)))
    }

    private func isReservedLegacy(_ context: [UInt64]) -> Bool {
        let domain = bits(context[1], 8...23)
        return bits(context[0], 4...11) != 0
            || (bits(context[0], 2...3) != 2 && exceedsHost(pointer(context[0])))
            || bit(context[1], 7) || bits(context[1], 24...63) != 0
            || domain >> UInt64(model.domainWidth) != 0
            || (domain == 0 && model.has(.cachingMode))
    }

    func rights(read: Bool, write: Bool, execute: Bool) -> Access {
        var rights: Access = []
        if read { rights.insert(.read) }
        if write { rights.insert(.write) }
        if execute { rights.insert(.execute) }
        return rights
    }
}
