// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A unit whose caches are full of translations that a guest has just changed, for arrays of queue descriptors.

import IOMMU
import IOMMUTestSupport

final class QueueWorld {
    /// Input addresses of every space, and where they led and lead.
    static let base: UInt64 = 0x1000_0000
    private static let old: UInt64 = 0x2_0000_0000
    private static let new: UInt64 = 0x3_0000_0000
    private static let offsets: [UInt64] = [0, 0x1000, 0x2000, 0x1f_f000]
    private static let large: UInt64 = 0x40_0000
    private static let status: UInt64 = 0x1000_0000

    /// A cached translation and what its change is tagged with.
    private struct Place {
        let request: DMARequest
        let domain: UInt64
        let pasid: UInt64?
        let isFirstStage: Bool
        let pages: ClosedRange<UInt64>
    }

    private struct Leaf {
        let tables: PagingTables
        let input: UInt64
        let level: Int
        let offset: UInt64
    }

    private let bench: TestBench
    private let check: ReferenceDescriptorCheck
    private let rootRegister: UInt64
    private let isScalable: Bool
    private let devices: QueueDevices
    private var places: [Place] = []
    private var leaves: [Leaf] = []

    init(_ model: UnitModel, isScalable: Bool) throws {
        self.isScalable = isScalable
        let image = GuestImage(regions: [
            .init(address: GuestImage.ram, pages: 96), .init(address: GuestImage.rom, pages: 1, isWritable: false),
            .init(address: Self.status, pages: 1),
        ])
        _ = image.allocatePage(in: 1)
        _ = image.allocatePage(in: 2)
        let builder = TableBuilder(image, isScalable: isScalable)
        rootRegister = builder.rootRegister
        bench = try TestBench(image, model: model, rootRegister: rootRegister)
        check = ReferenceDescriptorCheck(model: model, tableMode: isScalable ? 1 : 0)
        devices = try QueueDevices(bench.unit, model, isScalable: isScalable)
        if isScalable { addScalable(builder) } else { addLegacy(builder) }
    }

    // MARK: Spaces

    private func addLegacy(_ builder: TableBuilder) {
        let spaces = [4, 3].map { PagingTables(.second, levels: $0, in: bench.image) }
        for (source, space) in [(0x10, 0), (0x11, 1), (0x18, 0)] as [(UInt16, Int)] {
            var context = LegacyContext()
            context.root = spaces[space].root
            context.addressWidth = UInt64(spaces[space].levels - 2)
            context.domain = UInt64(space + 2)
            builder.setContext(source, context)
            addPlaces(source, nil, context.domain, pasid: nil, isFirstStage: false)
        }
        for space in spaces { addLeaves(space) }
    }

    private func addScalable(_ builder: TableBuilder) {
        let second = tables(.second)
        let firsts = [tables(.first), tables(.first)]
        let parent = tables(.second)
        let nested = PagingTables(nestedOn: parent, levels: 4, in: bench.image)
        nested.tableFlags = 0x427
        for gigabyte in [Self.old, Self.new] {
            for page in 0..<2 as Range<UInt64> {
                parent.map(gigabyte + page << 30, to: 0x40_0000_0000 + gigabyte + page << 30, level: 2, flags: 0x307)
            }
        }
        for (source, pasid) in [(0x10, 0), (0x18, 1)] as [(UInt16, UInt32)] {
            bind(builder, source, pasid, domain: 2, .second) { $0.secondRoot = second.root }
        }
        for (index, source) in [0x10, 0x18].enumerated() as EnumeratedSequence<[UInt16]> {
            bind(builder, source, 5, domain: 3 + UInt64(index), .first) { $0.firstRoot = firsts[index].root }
        }
        bind(builder, 0x11, 5, domain: 3, .nested) {
            $0.firstRoot = nested.root
            $0.secondRoot = parent.root
        }
        for tables in [second, nested] + firsts { addLeaves(tables) }
    }

    private func tables(_ stage: PagingTables.Stage) -> PagingTables {
        let tables = PagingTables(stage, levels: 4, in: bench.image)
        // Marked already: walks write nothing.
        tables.tableFlags = stage == .first ? 0x427 : 0x307
        return tables
    }

    private func bind(
        _ builder: TableBuilder, _ source: UInt16, _ pasid: UInt32, domain: UInt64, _ type: PASIDEntry.TranslationType,
        _ change: (inout PASIDEntry) -> Void
    ) {
        var context = ScalableContext()
        context.allowsDeviceTLB = bench.model.has(.deviceTLB)
        context.allowsPASID = bench.model.has(.pasid)
        context.allowsPageRequests = bench.model.has(.pageRequests) && bench.model.has(.deviceTLB)
        builder.setContext(source, context)
        var entry = PASIDEntry()
        entry.domain = domain
        entry.type = type
        entry.snoopsWalks = bench.model.has(.snoopedWalks)
        change(&entry)
        builder.setPASID(source, pasid: pasid, entry)
        addPlaces(source, pasid, domain, pasid: UInt64(pasid), isFirstStage: type != .second)
    }

    private func addPlaces(
        _ source: UInt16, _ requestPASID: UInt32?, _ domain: UInt64, pasid: UInt64?, isFirstStage: Bool
    ) {
        let explicit = requestPASID == 0 ? nil : requestPASID
        for offset in Self.offsets + [Self.large] {
            let input = Self.base + offset
            let low: UInt64 = offset == Self.large ? 0x1f_ffff : 0xfff
            for inside: UInt64 in Set([0, low - 0xfff]) {
                places.append(
                    Place(
                        request: DMARequest(source: source, pasid: explicit, iova: input + inside, access: .read),
                        domain: domain, pasid: pasid, isFirstStage: isFirstStage, pages: input...input | low))
            }
        }
    }

    private func addLeaves(_ tables: PagingTables) {
        for offset in Self.offsets {
            leaves.append(Leaf(tables: tables, input: Self.base + offset, level: 0, offset: offset))
        }
        leaves.append(Leaf(tables: tables, input: Self.base + Self.large, level: 1, offset: Self.large))
    }

    private func point(to place: UInt64) {
        for leaf in leaves {
            let flags: UInt64 = leaf.tables.stage == .first ? 0x467 : 0x307
            leaf.tables.map(leaf.input, to: place + leaf.offset, level: leaf.level, flags: flags)
        }
    }

    // MARK: Running

    /// False if the world is of no more use.
    func run(_ input: inout FuzzInput, isWide: Bool, extra: Int, _ way: Way) throws -> Bool {
        let mode = input.byte()
        point(to: Self.old)
        try bench.setRoot(rootRegister)
        try bench.setTranslation(true)
        try devices.ask()
        if mode >= 0xf0 { try bench.setRoot(rootRegister & ~0xc00 | UInt64(mode & 3) << 10) }
        var check = check
        check.tableMode = bench.reference.rootRegister >> 10 & 3
        let before = places.map { bench.expected($0.request) }
        for (place, wanted) in zip(places, before) {
            for _ in 0..<2 { expect(try bench.answer(place.request), wanted, "\(place.request) before") }
        }
        point(to: Self.new)
        var reader = DescriptorReader(isWide: isWide, extra: extra, status: Self.status)
        while !input.isAtEnd && reader.descriptors.count < 200 { reader.take(&input) }
        let devices = devices
        let heard = Heard { devices.respond($0) }
        let format: InvalidationBatch.Format = isWide ? .vtdQueue256 : .vtdQueue128
        let result = try way.apply(
            reader.bytes, format, entryLength: reader.entryLength, to: bench.unit, bench.port, heard.host())
        return compare(result, reader, check, heard.events.value, before)
    }

    private func compare(
        _ result: InvalidationResult, _ reader: DescriptorReader, _ check: ReferenceDescriptorCheck,
        _ heard: [Heard.Event], _ before: [Answer]
    ) -> Bool {
        let context = { "\(self.bench.model), mode \(check.tableMode): \(reader.descriptors)" }
        var refused: (index: Int, code: Int)?
        for (index, descriptor) in reader.descriptors.enumerated() where refused == nil {
            if let code = reader.dirty.contains(index) ? 4 : check.refusal(descriptor) { refused = (index, code) }
        }
        result.check(count: reader.descriptors.count, refused: refused, .iqei, context)
        let effects = reader.descriptors.prefix(result.handled).map { check.effect($0) }
        var wanted: [Heard.Event] = []
        var touchesTables = false
        for (index, effect) in effects.enumerated() {
            switch effect {
            case .interrupts(let first, let last): wanted.append(.interrupts(index, Int(first)...Int(last)))
            case .pageResponse: wanted.append(.response(index, reader.descriptors[index].native.widened))
            case .wait(let interrupt, let status):
                wanted.append(.waited(index, interrupt))
                guard let status else { continue }
                store(status)
                touchesTables = touchesTables || bench.image.contains(status.address) && status.address < Self.status
            case .contexts, .pasids, .translations, .deviceTLB: break
            }
        }
        expect(heard, wanted, "\(context()) heard")
        expect(bench.differences.map { text($0) }, [], "\(context()) memory")
        devices.check(reader.descriptors.prefix(result.handled), effects, context)
        if touchesTables { return false }
        comparePlaces(effects, before, context)
        return true
    }

    private func store(_ status: DescriptorStatus) {
        guard let word = bench.twin.read(status.address & ~7) else { return }
        let shift = (status.address & 4) * 8
        _ = bench.twin.writeAsWalker(status.address & ~7, word & ~(0xffff_ffff << shift) | status.data << shift)
    }

    private func comparePlaces(_ effects: [DescriptorEffect], _ before: [Answer], _ context: () -> String) {
        for (place, old) in zip(places, before) {
            let wanted = bench.expected(place.request)
            guard let found = try? bench.answer(place.request) else { finding("\(context()): no answer") }
            if found == wanted { continue }
            let isCovered = effects.contains { effect in
                if case .translations(let pages) = effect { Self.covers(pages, place) } else { false }
            }
            if isCovered || found != old {
                finding(
                    "\(context())\n  \(place.request), covered: \(isCovered)\n  found: \(found)\n  wanted: \(wanted)")
            }
        }
    }

    private static func covers(_ pages: DescriptorPages, _ place: Place) -> Bool {
        (pages.domain == nil || pages.domain == place.domain) && (pages.pasid == nil || pages.pasid == place.pasid)
            && (place.isFirstStage ? pages.isFirstStage : pages.isSecondStage)
            && pages.first <= place.pages.upperBound && pages.last >= place.pages.lowerBound
    }
}

/// What a host heard of a batch, in order.
final class Heard: Sendable {
    enum Event: Hashable, Sendable {
        case interrupts(Int, ClosedRange<Int>)
        case response(Int, InvalidationDescriptor)
        case waited(Int, Bool)
    }

    let events = Box<[Event]>([])
    private let respond: Box<(InvalidationDescriptor) -> Void>

    init(respond: @escaping (InvalidationDescriptor) -> Void) { self.respond = Box(respond) }

    func host() -> InvalidationHost {
        InvalidationHost(
            interruptCache: { [events] in events.value.append(.interrupts($0, $1)) },
            pageResponse: { [events, respond] in
                events.value.append(.response($0, $1))
                respond.value($1)
            },
            waited: { [events] in events.value.append(.waited($0, $1)) })
    }
}
