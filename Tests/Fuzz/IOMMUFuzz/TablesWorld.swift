// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Tables out of bytes: sound paths of every mode, and changes of their entries and of any others. There are few pages, so
// paths share them: loops, tables that are their own parents, and entries that are read as something else come by themselves.

import IOMMUTestSupport

struct TablesWorld {
    static let ram: UInt64 = 0x10_0000
    /// The root table; paths take the pages behind it in turn.
    private static let pathPages = 23

    private let image: GuardedImage
    private var nextPage = 0
    /// Entries of paths.
    private var slots: [UInt64] = []
    private var sources: [UInt16] = [0x0008]
    private var pasids: [UInt32] = [0]
    private var inputs: [UInt64] = [0x1000]

    init(_ image: GuardedImage) { self.image = image }

    // MARK: Paths

    /// A path from the root table to a page, for a request that goes to the end if nothing is changed.
    mutating func addPath(_ input: inout FuzzInput) {
        let kind = input.byte()
        let shape = input.byte()
        let source: UInt16 = input.pick([0x0008, 0x0009, 0x0080, 0x00ff, 0x0108, 0xff88])
        let pasid: UInt32 = input.pick([0, 5, 0x45, 0x1fff, 0xf_ffff])
        let iova = Self.inputs[input.below(Self.inputs.count)] | UInt64(input.byte() & 15) << 12
        sources.append(source)
        pasids.append(pasid)
        inputs.append(iova)
        let tables = Shape(kind: kind, bits: shape, flags: input.number(2))
        if kind & 7 < 2 {
            addLegacy(source, iova, tables)
        } else {
            addScalable(source, pasid, iova, tables)
        }
    }

    /// What a path is like.
    private struct Shape {
        let kind: UInt8
        let firstLevels: Int
        let secondLevels: Int
        let leafLevel: Int
        let hasSmallIdentity: Bool
        /// Which memory small leaves lead to; 0: none.
        let target: Int
        /// Bits of configuration entries that are turned over.
        let flags: UInt64

        init(kind: UInt8, bits: UInt8, flags: UInt64) {
            self.kind = kind
            firstLevels = bits & 1 == 0 ? 4 : 5
            secondLevels = 3 + Int(bits >> 1) % 3
            leafLevel = Int(bits >> 3 & 3) % 3
            hasSmallIdentity = bits & 0x20 != 0
            target = Int(bits >> 6)
            self.flags = flags
        }

        var width: UInt64 { UInt64(secondLevels - 2) }
    }

    private static let inputs: [UInt64] = [
        0, 0x4000_0000, 0x7f_ffff_0000, 0xfee0_0000, 0x7fff_ffff_0000, 0xffff_8000_0000_0000, 0xffff_ffff_ffff_0000,
        1 << 56 - 0x1_0000, 0x4010_0000,
    ]

    private mutating func addLegacy(_ source: UInt16, _ iova: UInt64, _ shape: Shape) {
        let context = takePage()
        set(Self.ram + 16 * UInt64(source >> 8), context | 1)
        var entry = LegacyContext()
        entry.translationType = UInt64(shape.kind >> 3 & 3)
        entry.addressWidth = shape.width
        entry.domain = UInt64(shape.kind >> 5) + 1
        entry.root = chain(iova, levels: shape.secondLevels, leaf: shape.leafLevel, to: output(shape), flags: 3)
        entry.disablesFaults = shape.flags & 1 != 0
        store(entry.words, at: context + 16 * UInt64(source & 0xff))
    }

    private mutating func addScalable(_ source: UInt16, _ pasid: UInt32, _ iova: UInt64, _ shape: Shape) {
        let function = UInt64(source & 0xff)
        let (contextTable, directory, table) = (takePage(), takePage(), takePage())
        set(Self.ram + 16 * UInt64(source >> 8) + (function >= 128 ? 8 : 0), contextTable | 1)
        var context = ScalableContext()
        context.directory = directory
        context.directorySize = shape.flags >> 14
        context.requestPASID = shape.flags & 0x2000 == 0 ? UInt64(pasid) : 0
        context.allowsDeviceTLB = shape.flags & 0x1000 == 0
        context.isRequestPrivileged = shape.flags & 0x800 != 0
        store(context.words, at: contextTable + 32 * (function & 127))
        // A directory takes one page here: PASIDs beyond it lie in pages that follow, whatever they hold.
        set(directory + 8 * UInt64(pasid >> 6), table | 1)
        store(pasidEntry(iova, shape).words, at: table + 64 * UInt64(pasid & 63))
    }

    private mutating func pasidEntry(_ iova: UInt64, _ shape: Shape) -> PASIDEntry {
        var entry = PASIDEntry()
        entry.domain = UInt64(shape.kind >> 5) + 1
        entry.type = [.first, .second, .nested, .nested, .passThrough, .first][Int(shape.kind & 7) - 2]
        entry.disablesFaults = shape.flags & 1 != 0
        entry.enablesSecondMarks = shape.flags & 2 != 0 && entry.type != .first
        entry.enablesSecondExecute = shape.flags & 4 != 0
        entry.allowsSupervisor = shape.flags & 8 == 0
        entry.allowsExecute = shape.flags & 16 != 0
        entry.protectsSupervisor = shape.flags & 32 != 0
        entry.hasExecuteDisable = shape.flags & 64 != 0
        entry.hasSupervisorProtection = shape.flags & 128 != 0
        entry.hasExtendedAccessed = shape.flags & 256 != 0
        entry.snoopsWalks = shape.flags & 512 == 0
        let target = output(shape)
        switch entry.type {
        case .first, .nested:
            entry.hasFiveLevels = shape.firstLevels == 5
            entry.firstRoot = chain(
                iova, levels: shape.firstLevels, leaf: shape.leafLevel, to: target, flags: 7
            )
        case .second:
            entry.secondRoot = chain(iova, levels: shape.secondLevels, leaf: shape.leafLevel, to: target, flags: 7)
        case .passThrough: break
        }
        if entry.type == .nested { entry.secondRoot = identity(shape) }
        entry.addressWidth = shape.width
        return entry
    }

    /// Large leaves lead to memory where their inputs do.
    private func output(_ shape: Shape) -> UInt64 {
        let isSmall = shape.leafLevel == 0 && shape.target > 0
        if isSmall { return [Self.ram + 20 << 12, Self.ram + 24 << 12, 0x80_0000][shape.target - 1] }
        return shape.flags & 0x400 == 0 ? 0 : 0x4000_0000
    }

    /// Second-stage tables that map the first pages of memory to themselves: large, or page by page.
    private mutating func identity(_ shape: Shape) -> UInt64 {
        if !shape.hasSmallIdentity { return chain(Self.ram, levels: shape.secondLevels, leaf: 1, to: 0, flags: 7) }
        let root = chain(Self.ram, levels: shape.secondLevels, leaf: 0, to: Self.ram, flags: 7)
        guard let leaf = slots.last else { return root }
        for page in 0..<25 as Range<UInt64> {
            set(leaf & ~0xfff | (Self.ram >> 12 + page) << 3, Self.ram + page << 12 | 7)
        }
        return root
    }

    /// Tables down to an entry that maps `input`; returns the root.
    private mutating func chain(_ input: UInt64, levels: Int, leaf: Int, to output: UInt64, flags: UInt64) -> UInt64 {
        let root = takePage()
        var table = root
        for level in (leaf + 1..<levels).reversed() {
            let next = takePage()
            set(table + index(input, level), next | flags)
            table = next
        }
        set(table + index(input, leaf), output | flags | (leaf > 0 ? 0x80 : 0))
        return root
    }

    private func index(_ input: UInt64, _ level: Int) -> UInt64 { (input >> UInt64(12 + 9 * level) & 0x1ff) << 3 }

    private mutating func takePage() -> UInt64 {
        nextPage += 1
        return Self.ram + UInt64(1 + nextPage % Self.pathPages) << 12
    }

    private mutating func set(_ address: UInt64, _ value: UInt64) {
        image.store(value, at: address)
        slots.append(address)
    }

    private mutating func store(_ words: [UInt64], at address: UInt64) {
        for (index, word) in words.enumerated() { set(address + UInt64(index * 8), word) }
    }

    // MARK: Changes

    mutating func changeSlot(_ input: inout FuzzInput) {
        let number = Int(input.byte())
        guard !slots.isEmpty else { return }
        // The newest first: the same byte stays near the same part of a path.
        change(slots[slots.count - 1 - number % slots.count], &input)
    }

    mutating func changeAny(_ input: inout FuzzInput) {
        let page = input.pick(image.pages)
        let slot = input.byte()
        change(page | (slot < 0xf0 ? UInt64(slot & 0x7f) : 512 - UInt64(slot & 15) - 1) << 3, &input)
    }

    private func change(_ address: UInt64, _ input: inout FuzzInput) {
        let kind = input.byte()
        let now = image.load(address)
        switch kind & 3 {
        case 0: image.store(now ^ 1 << UInt64(kind >> 2), at: address)
        case 1: image.store(now & 0xfff | input.pick(image.pages + [0x200_0000, 0xfee0_0000, 0]), at: address)
        case 2: image.store(now & ~0xfff | input.number(2) & 0xfff, at: address)
        default: image.store(input.number(8), at: address)
        }
    }

    // MARK: Requests

    func request(_ input: inout FuzzInput) -> DMARequest {
        let choice = input.byte()
        let bits = input.byte()
        var request = DMARequest(
            source: sources[sources.count - 1 - Int(choice & 3) % sources.count],
            iova: inputs[inputs.count - 1 - Int(choice >> 2 & 3) % inputs.count],
            access: Access(rawValue: UInt32(bits & 15)))
        switch choice >> 4 & 3 {
        case 0: break
        case 1: request.pasid = pasids[pasids.count - 1 - Int(choice & 3) % pasids.count]
        case 2: request.pasid = UInt32(input.number(3) & 0xf_ffff)
        default:
            request.pasid = pasids[pasids.count - 1]
            request.isPASIDImplied = true
        }
        request.kind = [.untranslated, .untranslated, .translationRequest, .translated][Int(bits >> 4 & 3)]
        request.leavesMarks = bits & 0x40 != 0
        request.isQuiet = bits & 0x80 != 0
        switch choice >> 6 {
        case 0: request.iova |= 0xabc
        case 1: request.iova ^= 1 << UInt64(input.byte() & 63)
        case 2: request.iova = input.number(8)
        default: request.source = UInt16(input.number(2))
        }
        return request
    }
}
