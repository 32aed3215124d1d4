// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Guest tables whose cached translations show what was dropped: warm a page, change its table, apply a batch, and see whether the
// page answers new or still old.

import CIOMMU
import CIOMMUProbe
import IOMMUTestSupport

/// Address spaces with the same input pages, each with tables of its own. Outputs are not backed by memory.
final class CacheWorld {
    enum Kind: Hashable, Sendable {
        /// Legacy mode: a source id and a domain per space.
        case legacy
        /// Scalable mode: a PASID and a domain per space, first and second stages in turn.
        case scalable
        /// A nested domain of the host: one space, one source id.
        case nested(levels: Int)
    }

    struct Space {
        var source: UInt16
        var pasid: UInt32?
        var domain: UInt64
        var tables: PagingTables
        /// Where the leaf entries are.
        var slots: [UInt64] = []
        var versions: [UInt64]
    }

    enum View: Hashable {
        case new, old, other
    }

    let kind: Kind
    let pages: [UInt64]
    let bench: BatchBench
    private(set) var spaces: [Space] = []
    /// The nested domain of the host, if there is one.
    private(set) var domain: BenchDomain?
    private let image: GuestImage

    static let source: UInt16 = 0x0110
    /// First page of the image that holds no table.
    static let firstPage: UInt64 = 0x10_0000

    init(
        _ kind: Kind, spaces count: Int = 1, pages: [UInt64], imagePages: Int = 1024,
        configuration: ciommu_unit_config = BatchBench.configuration { $0.iotlb_entries = 1 << 16 }
    ) {
        self.kind = kind
        self.pages = pages
        image = GuestImage(regions: [GuestImage.Region(address: Self.firstPage, pages: imagePages)])
        let isLegacy = kind == .legacy
        let builder = TableBuilder(image, isScalable: !isLegacy)
        for index in 0..<count { spaces.append(Self.space(index, kind, pages.count, builder)) }
        bench = BatchBench(image, root: builder.rootRegister, configuration: configuration)
        if case .nested(let levels) = kind {
            let parent = bench.makeParent()
            bench.map(parent, 0x10_0000_0000, length: 1 << 38)
            domain = bench.makeNested(over: parent, root: spaces[0].tables.root, levels: levels, source: Self.source)
        }
        for space in spaces.indices {
            spaces[space].slots = pages.map { spaces[space].tables.entryAddress($0, level: 0) }
            for page in pages.indices { store(space, page) }
        }
    }

    private static func space(_ index: Int, _ kind: Kind, _ pages: Int, _ builder: TableBuilder) -> Space {
        let domain = UInt64(index + 1)
        let versions = [UInt64](repeating: 0, count: pages)
        if case .nested(let levels) = kind {
            let tables = PagingTables(.first, levels: levels, in: builder.image)
            return Space(source: source, domain: domain, tables: tables, versions: versions)
        }
        let isFirst = kind == .scalable && index % 2 == 0
        let tables = PagingTables(isFirst ? .first : .second, levels: 4, in: builder.image)
        let place = kind == .legacy ? source + UInt16(index) : source
        if kind == .legacy {
            var context = LegacyContext()
            context.root = tables.root
            context.domain = domain
            builder.setContext(place, context)
            return Space(source: place, domain: domain, tables: tables, versions: versions)
        }
        if index == 0 { builder.setContext(place, ScalableContext()) }
        var entry = PASIDEntry()
        entry.type = isFirst ? .first : .second
        if isFirst { entry.firstRoot = tables.root } else { entry.secondRoot = tables.root }
        entry.domain = domain
        let pasid = UInt32(index + 1)
        builder.setPASID(place, pasid: pasid, entry)
        return Space(source: place, pasid: pasid, domain: domain, tables: tables, versions: versions)
    }

    var isWide: Bool { kind == .scalable }

    // MARK: Pages

    private func output(_ space: Int, _ page: Int, _ version: UInt64) -> UInt64 {
        0x10_0000_0000 + UInt64(space) << 30 + (version & 15) << 26 + UInt64(page) << 12
    }

    private func store(_ space: Int, _ page: Int) {
        let output = output(space, page, spaces[space].versions[page])
        // Accessed and dirty already, so that no walk writes.
        image[spaces[space].slots[page]] = output | (spaces[space].tables.stage == .first ? 0x67 : 3)
    }

    private func address(_ space: Int, _ page: Int) -> UInt64? {
        bench.address(pages[page], source: spaces[space].source, pasid: spaces[space].pasid)
    }

    /// Puts the page's translation into the caches; it must be the current one.
    func warm(_ space: Int, _ page: Int) {
        let found = address(space, page)
        precondition(found == output(space, page, spaces[space].versions[page]), "cold page \(space) \(page)")
    }

    /// Leads the page elsewhere; says nothing to the unit.
    func change(_ space: Int, _ page: Int) {
        spaces[space].versions[page] += 1
        store(space, page)
    }

    /// The same through a new leaf table: the old one goes on saying what it said.
    func changeTable(_ space: Int, _ page: Int) {
        let old = spaces[space].slots[page] & ~0xfff
        let new = image.allocatePage()
        for offset in stride(from: UInt64(0), to: 0x1000, by: 8) { image[new + offset] = image[old + offset] }
        spaces[space].tables.link(pages[page], level: 1, to: new)
        for other in pages.indices where spaces[space].slots[other] & ~0xfff == old {
            spaces[space].slots[other] = new | spaces[space].slots[other] & 0xfff
        }
        change(space, page)
    }

    /// Warms and changes.
    func makeStale(_ space: Int, _ page: Int) {
        warm(space, page)
        change(space, page)
    }

    /// Makes every page of every space stale, after dropping everything.
    func makeAllStale() {
        bench.setRoot(bench.root)
        probe_wait_for_reclamation()
        if let domain { precondition(bench.apply([.everything], to: domain).isOK) }
        for space in spaces.indices {
            for page in pages.indices { warm(space, page) }
        }
        for space in spaces.indices {
            for page in pages.indices { change(space, page) }
        }
    }

    func view(_ space: Int, _ page: Int) -> View {
        let version = spaces[space].versions[page]
        guard let found = address(space, page) else { return .other }
        if found == output(space, page, version) { return .new }
        return version > 0 && found == output(space, page, version - 1) ? .old : .other
    }

    /// Which pages of every space answer new. A page that answers anything but new or old is a failure.
    ///
    /// Waits for reclamation first: it takes the lock without which an answer is not cached, and a page would look fresh.
    func freshPages() -> [[Bool]] {
        probe_wait_for_reclamation()
        return spaces.indices.map { space in
            pages.indices.map { page in
                let view = view(space, page)
                precondition(view != .other, "page \(page) of space \(space) leads nowhere")
                return view == .new
            }
        }
    }

    // MARK: Batches

    func apply(_ descriptors: [Descriptor], port: PortChoice = .own) -> BatchResult {
        bench.apply(descriptors, isWide: isWide, port: port)
    }

    func apply(_ entries: [Stage1Entry]) -> BatchResult {
        bench.apply(entries, to: domain!)
    }

    /// The descriptor of one page of a space.
    func pageDescriptor(_ space: Int, _ page: Int, mask: UInt64 = 0, isLeafOnly: Bool = true) -> Descriptor {
        let space = spaces[space]
        if let pasid = space.pasid, space.tables.stage == .first {
            return .pasidIOTLBPages(
                space.domain, pasid: pasid, at: pages[page], mask: mask, isLeafOnly: isLeafOnly)
        }
        return .iotlbPages(space.domain, at: pages[page], mask: mask, isLeafOnly: isLeafOnly)
    }

    func pageEntry(_ page: Int, count: UInt64 = 1, isLeafOnly: Bool = true) -> Stage1Entry {
        Stage1Entry(address: pages[page], pages: count, flags: isLeafOnly ? 1 : 0)
    }

    /// The descriptor of all of a space.
    func spaceDescriptor(_ space: Int) -> Descriptor {
        if let pasid = spaces[space].pasid, spaces[space].tables.stage == .first {
            return .pasidIOTLB(spaces[space].domain, pasid: pasid)
        }
        return .iotlbDomain(spaces[space].domain)
    }
}

extension BatchBench {
    /// Maps a run of input addresses of a paging domain to the same output addresses.
    func map(_ domain: BenchDomain, _ address: UInt64, length: UInt64) {
        var mapping = ciommu_mapping()
        mapping.size = UInt32(MemoryLayout<ciommu_mapping>.size)
        mapping.rights = CIOMMU_READ | CIOMMU_WRITE
        mapping.iova = address
        mapping.length = length
        mapping.address = address
        precondition(unsafe ciommu_domain_map(domain.handle, &mapping) == CIOMMU_OK)
    }
}
