// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A host's unit with something of everything, all that can be seen of it, and a way to use up the pages that it has for tables.

import CIOMMUProbe
import IOMMU
import IOMMUTestSupport

/// One unit, one port, one thread.
final class HostWorld {
    static let source = SourceID(0x10)
    static let shared = SourceID(0x20)
    static let gigabyte: UInt64 = 1 << 30
    static let region: UInt64 = 2 << 20

    let image = GuestImage()
    let memory: GuestMemory
    let unit: RemappingUnit
    let port: Port
    /// Areas of output addresses, of large pages and small ones.
    let space: IOAddressSpace
    /// Both over `space`, attached to `device` and to the slice.
    let first: PagingDomain
    let second: PagingDomain
    /// Filled by the host, attached to the parent.
    let direct: PagingDomain
    let nested: NestedDomain
    let device: Device
    let parent: Device
    let slice: Device
    let namespace: PASIDNamespace
    let hostMemory = HostPages(4)
    let file = MappedFile(bytes: 3 << 12)
    /// What an operation made.
    var made: [Any] = []
    /// Another unit over the same memory, where nothing is made.
    let empty: RemappingUnit
    private let filler: PagingDomain

    init() throws {
        memory = try GuestMemory()
        try image.register(in: memory)
        unit = try RemappingUnit(capabilities: .full, memory: memory, configuration: TestBench.smallCaches)
        empty = try RemappingUnit(capabilities: .full, memory: memory, configuration: TestBench.smallCaches)
        port = try unit.makePort()
        space = try IOAddressSpace(memory: memory)
        first = try PagingDomain(unit: unit, space: space)
        second = try PagingDomain(unit: unit, space: space)
        direct = try PagingDomain(unit: unit, options: [.nestParent, .dirtyTracking])
        nested = try NestedDomain(parent: direct, firstStage: FirstStage(root: 0x20_0000, addressWidth: 48))
        device = try Device(id: 1, sourceID: Self.source, in: unit)
        parent = try Device(id: 2, sourceID: Self.shared, share: .parent, in: unit)
        slice = try Device(id: 3, sourceID: Self.shared, share: .slice(pasid(16)...pasid(31)), in: unit)
        namespace = try PASIDNamespace(unit: unit, hostPASIDs: pasid(100)...pasid(199))
        filler = try PagingDomain(unit: unit)
        try prepare()
    }

    private func prepare() throws {
        try mapHalves()
        try space.map(.output(0x60_0000), length: 0x2000, at: 0x1_0000, rights: .read)
        try mapGigabyte()
        try direct.map(0x1_0000, to: 0x3_0000, length: 0x3000, rights: .read)
        try filler.map(IOVA(511 * Self.region), to: 0x1000, length: 4096, rights: .read)
        try device.attach(first)
        try device.attach(direct, to: pasid(5))
        try parent.attach(direct)
        try slice.attach(second, to: pasid(17))
        try namespace.bind(guest: pasid(4), to: pasid(150))
    }

    /// Maps two areas of the space afresh, which domains join to one large page.
    func mapHalves() throws {
        if space.area(holding: 0x4000_0000) != nil { try space.unmap(0x4000_0000, length: Self.region) }
        for half: UInt64 in [0x4000_0000, 0x4010_0000] {
            let source = AreaSource.output(OutputAddress(half))
            try space.map(source, length: Self.region / 2, at: IOVA(half), rights: [.read, .write])
        }
    }

    /// Maps the first so many bytes of a gigabyte in the domain that the host fills, with the largest pages.
    func mapGigabyte(upTo length: UInt64 = gigabyte) throws {
        try direct.unmap(0x4000_0000, length: Self.gigabyte)
        try direct.map(0x4000_0000, to: 0x8000_0000, length: length, rights: [.read, .write])
    }

    /// Leaves the unit no more than so many pages for tables.
    ///
    /// - Returns: Whether there are so many, so that more would change nothing.
    func exhaust(leaving spare: Int) throws -> Bool {
        try relieve()
        let all = try withoutMemory { () throws(IOMMUError) -> Int in
            for number in 0..<400 {
                do throws(IOMMUError) {
                    try filler.map(IOVA(UInt64(number) * Self.region), to: 0x1000, length: 4096, rights: .read)
                } catch {
                    guard error == .noMemory else { throw error }
                    return number
                }
            }
            return 400
        }
        for number in max(0, all - spare)..<all {
            try filler.unmap(IOVA(UInt64(number) * Self.region), length: 4096)
        }
        probe_wait_for_reclamation()
        return spare <= all
    }

    /// Gives the pages back.
    func relieve() throws {
        try filler.unmap(0, length: 511 * Self.region)
        probe_wait_for_reclamation()
    }

    /// What a host can see, and what devices get.
    func view() throws -> HostView { try HostView(self, filler) }
}

/// Everything that can be seen of a world.
struct HostView: Equatable {
    private let snapshot: UnitSnapshot
    private let empty: UnitSnapshot
    private let alignment: UInt64
    private let mappedBytes: UInt64
    private let numbers: [PagingDomain.Statistics]
    private let outputs: [OutputAddress?]
    private let guests: [PASID?]
    private let mappings: Int
    private let descriptors: Int
    /// What devices get, question by question.
    let answers: [TranslationResult]
    /// Whose are they: `first` and `second` are domains over the space.
    static let askers: [(SourceID, PASID?)] = [
        (HostWorld.source, nil), (HostWorld.shared, pasid(17)), (HostWorld.source, pasid(5)), (HostWorld.shared, nil),
        (HostWorld.source, pasid(6)),
    ]

    fileprivate init(_ world: HostWorld, _ filler: PagingDomain) throws {
        var snapshot = UnitSnapshot(of: world.unit)
        // The filler is a tool of the tests.
        for index in snapshot.domains.indices {
            if case .paging(let record) = snapshot.domains[index], record.mappings.last?.first == 0x3fe0_0000 {
                snapshot.domains[index] = .paging(.init())
            }
        }
        self.snapshot = snapshot
        empty = UnitSnapshot(of: world.empty)
        alignment = world.space.alignment
        mappedBytes = world.space.mappedBytes
        numbers = [world.first.statistics, world.second.statistics, world.direct.statistics]
        outputs = try [0, 1, 2, 3].map { page in
            try unsafe world.memory.locate(UnsafeRawBufferPointer(world.hostMemory.bytes(page, 1)), rights: .read)
        }
        guests = (100...199).map { world.namespace.guest(for: pasid($0)) }
        mappings = MappedFile.mappings
        descriptors = Holdings.descriptors
        var answers: [TranslationResult] = []
        for (source, pasid) in Self.askers {
            for iova: IOVA in [
                0x1_0000, 0x1_1000, 0x1_2000, 0x4000_0000, 0x4010_0000, 0x401f_f000, 0x4020_0000, 0x7fff_f000,
                0x8000_0000, 0x1_8000_0000,
            ] {
                for access: AccessRights in [.read, .write] {
                    answers.append(
                        try world.port.translate(iova, access: access, source: source, pasid: pasid, options: .noFault))
                }
            }
        }
        self.answers = answers
    }

    /// The same but for domains over the space that stand empty, whose devices then get nothing.
    func isSame(as other: HostView, butForEmptied: Bool) -> Bool {
        guard butForEmptied else { return self == other }
        let perAsker = answers.count / Self.askers.count
        return snapshot == other.snapshot && outputs == other.outputs && mappings == other.mappings
            && numbers[2] == other.numbers[2]
            && answers.indices.allSatisfy { index in
                answers[index] == other.answers[index]
                    || index < 2 * perAsker && answers[index].translation == nil
            }
    }
}

/// Pages of the host's that no memory map knows.
@safe
final class HostPages {
    private let base: UnsafeMutableRawPointer
    private let count: Int

    init(_ pages: Int) {
        count = pages << 12
        unsafe base = UnsafeMutableRawPointer.allocate(byteCount: pages << 12, alignment: 4096)
    }

    deinit { unsafe base.deallocate() }

    func bytes(_ page: Int, _ pages: Int) -> UnsafeMutableRawBufferPointer {
        unsafe UnsafeMutableRawBufferPointer(start: base + page << 12, count: pages << 12)
    }
}

/// A PASID of a test.
func pasid(_ number: UInt32) -> PASID {
    guard let pasid = PASID(number) else { preconditionFailure("\(number) is no PASID") }
    return pasid
}
