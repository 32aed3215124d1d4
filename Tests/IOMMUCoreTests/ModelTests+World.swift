// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The random worlds of the model tests: devices, address spaces of every kind, and for each entry of their tables where it lies and
// what the guest must invalidate when it changes.

import IOMMUTestSupport

/// Where one paging entry lies and what it translates.
struct ModelSlot {
    let address: UInt64
    let input: UInt64
    let level: Int
    /// What stands there in sound tables.
    let sound: UInt64
    let stage: PagingTables.Stage
}

/// One address space with its tables.
struct ModelSpace {
    let mode: TableMode
    let entry: PASIDEntry
    let domain: UInt64
    let first: PagingTables?
    let second: PagingTables?
    /// Input addresses that requests like to use.
    let inputs: [UInt64]
    let slots: [ModelSlot]
}

/// One (source, PASID) pair and the address space behind it.
struct ModelBinding {
    let source: UInt16
    let pasid: UInt32
    let space: Int
}

/// A world: memory, configuration tables, address spaces.
struct ModelWorld {
    static let sources: [UInt16] = [0x0008, 0x0010, 0x0190, 0x0191]
    static let pasids: [UInt32] = [0, 5, 0x45, 0x1fff]
    static let readOnlyRegion = 1
    static let movableRegion = 2
    static let movable: UInt64 = 0x1000_0000

    let image: GuestImage
    let builder: TableBuilder
    let model: UnitModel
    private(set) var spaces: [ModelSpace] = []
    private(set) var bindings: [ModelBinding] = []
    /// Pages that only stray pointers reach, full of entries of both kinds.
    private(set) var decoys: [UInt64] = []
    /// Quadwords of the configuration tables.
    private(set) var configuration: [UInt64] = []

    init(isScalable: Bool, model: UnitModel, random: inout SeededGenerator) {
        self.model = model
        image = GuestImage(regions: [
            .init(address: GuestImage.ram, pages: 448), .init(address: GuestImage.rom, pages: 16, isWritable: false),
            .init(address: Self.movable, pages: 16),
        ])
        builder = TableBuilder(image, isScalable: isScalable)
        makeDecoys(&random)
        for number in 0..<(isScalable ? 8 : 4) {
            makeSpace(number, isScalable: isScalable, &random)
        }
        for source in Self.sources {
            if isScalable { bindScalable(source, &random) } else { bindLegacy(source, &random) }
        }
    }

    // MARK: Random values

    /// An output address: mostly nowhere, sometimes somewhere special.
    func randomOutput(level: Int, _ random: inout SeededGenerator) -> UInt64 {
        let page: UInt64 =
            switch random.below(12) {
            case 0: 0xfee0_0000 | random.next() & 0xf_f000
            case 1: GuestImage.hole
            case 2: random.pick(decoys)
            case 3: random.next() & (1 << UInt64(model.hostAddressWidth) - 1) & ~0xfff
            case 4: 0xc000_0000
            default: 0x40_0000_0000 + random.next() & 0xff_ffff_f000
            }
        // Mostly aligned to the page size.
        return random.oneIn(12) ? page : page & ~(1 << UInt64(12 + 9 * level) - 1)
    }

    /// Anything that a guest might write into a paging entry at `level`.
    func randomEntry(_ slot: ModelSlot, now: UInt64, _ random: inout SeededGenerator) -> UInt64 {
        let isFirst = slot.stage == .first
        let flags = random.next() & (isFirst ? 0x467 : 0x307)
        let mostFlags = flags | (random.oneIn(3) ? 0 : isFirst ? 7 : 3)
        switch random.below(14) {
        case 0...4: return slot.sound
        case 5: return random.oneIn(2) ? 0 : now & ~(isFirst ? 1 : 3)
        case 6: return now ^ (1 << UInt64(random.below(12)))
        // Not the low address bits: a pointer to another table of the world would need wider invalidations than a slot knows.
        case 7: return now ^ (1 << UInt64(31 + random.below(33)))
        case 8: return now & ~(isFirst ? 0x460 : 0x300)
        case 9: return random.pick(decoys) | mostFlags
        case 10 where random.oneIn(3): return random.next()
        default:
            let size: UInt64 = slot.level > 0 && slot.level < 3 ? 0x80 : 0
            return randomOutput(level: min(slot.level, 2), &random) | mostFlags | size
        }
    }

    // MARK: Building

    private mutating func makeDecoys(_ random: inout SeededGenerator) {
        for region in [0, 0, Self.readOnlyRegion, Self.readOnlyRegion, Self.movableRegion, Self.movableRegion] {
            decoys.append(image.allocatePage(in: region))
        }
        for page in decoys {
            for slot in 0..<512 as Range<UInt64> where !random.oneIn(3) {
                let flags = random.next() & 0x7e7 | (random.oneIn(4) ? 0 : 7)
                let size: UInt64 = random.oneIn(3) ? 0x80 : 0
                let target =
                    random.oneIn(2) ? random.pick(decoys) : 0x40_0000_0000 + random.next() & 0xff_ffe0_0000
                image[page + 8 * slot] = target | flags | size
            }
        }
    }

    private mutating func makeSpace(_ number: Int, isScalable: Bool, _ random: inout SeededGenerator) {
        let modes: [TableMode] =
            isScalable
            ? [
                .first(4), .first(5), .scalableSecond(3), .scalableSecond(5), .nested(first: 4, second: 4),
                .nested(first: 5, second: 3), .nested(first: 4, second: 5), .scalablePassThrough,
            ] : [.legacySecond(3), .legacySecond(4), .legacySecond(5), .legacyPassThrough]
        let mode = modes[number]
        let second = mode.secondLevels.map { PagingTables(.second, levels: $0, in: image) }
        let first = mode.firstLevels.map { levels in
            second.map { PagingTables(nestedOn: $0, levels: levels, in: image) }
                ?? PagingTables(.first, levels: levels, in: image)
        }
        let places = (0..<8).map { 0x2_0000_0000 + UInt64($0 % 2) << 32 + Self.scatter[$0] }
        let inputs = Self.inputs(mode, &random)
        if let second {
            for input in first == nil ? inputs : places {
                second.map(input, to: randomOutput(level: 0, &random))
            }
            // Stray first-stage pointers find decoys at their own addresses.
            for page in decoys where first != nil { second.map(page, to: page) }
        }
        if let first {
            for input in inputs {
                first.map(input, to: second == nil ? randomOutput(level: 0, &random) : random.pick(places))
            }
        }
        var entry = PASIDEntry()
        entry.domain = UInt64(number) + 2
        entry.firstRoot = first?.root ?? 0
        entry.secondRoot = second?.root ?? 0
        entry.hasFiveLevels = first?.levels == 5
        entry.addressWidth = UInt64((second?.levels ?? 4) - 2)
        entry.type = first != nil ? (second != nil ? .nested : .first) : second != nil ? .second : .passThrough
        var slots = Self.slots(first, inputs: inputs, image)
        slots += Self.slots(second, inputs: first == nil ? inputs : places, image)
        if let first, let second {
            // The second-stage entries that hold the first-stage tables.
            let tables = inputs.flatMap { input in
                (0..<first.levels).map { first.entryPointer(input, level: $0) & ~0xfff }
            }
            slots += Self.slots(second, inputs: Array(Set(tables)).sorted(), image)
        }
        spaces.append(
            ModelSpace(
                mode: mode, entry: entry, domain: entry.domain, first: first, second: second,
                inputs: inputs + [0xfee0_0000, 0, 1 << 39, 1 << 47, 1 << 48, 1 << 56, .max - 0xfff], slots: slots))
    }

    /// Offsets that share tables with each other at different levels.
    private static let scatter: [UInt64] = [
        0, 0x1000, 0x2000, 0x1f_f000, 0x20_0000, 0x20_1000, 0x3fff_f000, 0x4000_0000,
    ]

    private static func inputs(_ mode: TableMode, _ random: inout SeededGenerator) -> [UInt64] {
        var width = UInt64(12 + 9 * (mode.firstLevels ?? mode.secondLevels ?? 4))
        if mode.firstLevels != nil { width -= 1 }
        return (0..<2).flatMap { half in
            let base = random.next() & (1 << width - 1) & ~0x7fff_ffff
            let isHigh = half == 1 && mode.firstLevels != nil
            return scatter.map { isHigh ? ~(1 << width - 1) | (base + $0) : base + $0 }
        }
    }

    /// Every entry on the paths to some inputs.
    private static func slots(_ tables: PagingTables?, inputs: [UInt64], _ image: GuestImage) -> [ModelSlot] {
        guard let tables else { return [] }
        var known: Set<UInt64> = []
        var slots: [ModelSlot] = []
        for input in inputs {
            for level in 0..<tables.levels {
                let address = tables.entryAddress(input, level: level)
                guard known.insert(address).inserted else { continue }
                slots.append(
                    ModelSlot(address: address, input: input, level: level, sound: image[address], stage: tables.stage))
            }
        }
        return slots
    }

    private mutating func bindScalable(_ source: UInt16, _ random: inout SeededGenerator) {
        var context = ScalableContext()
        context.isRequestPrivileged = random.oneIn(3)
        context.disablesFaults = random.oneIn(6)
        builder.setContext(source, context)
        let address = builder.contextEntryAddress(source)
        configuration += [builder.rootEntryAddress(source)] + (0..<4).map { address + 8 * $0 }
        for pasid in Self.pasids {
            let space = random.below(spaces.count)
            var entry = spaces[space].entry
            vary(&entry, &random)
            builder.setPASID(source, pasid: pasid, entry)
            bindings.append(ModelBinding(source: source, pasid: pasid, space: space))
            let address = builder.pasidEntryAddress(source, pasid: pasid)
            configuration.append(builder.directoryEntryAddress(source, pasid: pasid))
            configuration += (0..<4).map { address + 8 * $0 }
        }
    }

    private mutating func bindLegacy(_ source: UInt16, _ random: inout SeededGenerator) {
        let space = random.below(spaces.count)
        var context = LegacyContext()
        context.domain = spaces[space].domain
        context.root = spaces[space].entry.secondRoot
        context.addressWidth = spaces[space].entry.addressWidth
        context.translationType = spaces[space].entry.type == .passThrough ? 2 : random.oneIn(2) ? 1 : 0
        context.disablesFaults = random.oneIn(6)
        builder.setContext(source, context)
        bindings.append(ModelBinding(source: source, pasid: 0, space: space))
        let address = builder.contextEntryAddress(source)
        configuration += [builder.rootEntryAddress(source), address, address + 8]
    }

    /// Switches that change how the same tables are walked.
    func vary(_ entry: inout PASIDEntry, _ random: inout SeededGenerator) {
        let isRevision3 = model.revision == 3
        entry.disablesFaults = random.oneIn(6)
        entry.enablesSecondMarks = random.oneIn(2) && entry.secondRoot != 0
        entry.enablesSecondExecute = isRevision3 && random.oneIn(2) && entry.secondRoot != 0
        entry.allowsSupervisor = !random.oneIn(4)
        entry.allowsExecute = isRevision3 && !random.oneIn(4)
        entry.protectsSupervisor = random.oneIn(2)
        entry.hasExecuteDisable = !random.oneIn(4)
        entry.hasSupervisorProtection = random.oneIn(3)
        entry.hasExtendedAccessed = random.oneIn(2)
        entry.snoopsWalks = !random.oneIn(10)
    }
}
