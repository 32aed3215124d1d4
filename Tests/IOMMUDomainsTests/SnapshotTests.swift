// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Snapshots: what they record, that a restored unit is the same, and that a failed restore leaves nothing.

import Foundation
import IOMMU
import IOMMUTestSupport
import Testing

@Suite struct SnapshotTests {
    private typealias Snapshot = UnitSnapshot

    // MARK: Round trips

    @Test func anEmptyUnitHasAnEmptySnapshot() throws {
        let bench = try HostBench()
        let snapshot = UnitSnapshot(of: bench.unit)
        #expect(snapshot == UnitSnapshot(description: UnitDescription(.full)))
        let restored = try snapshot.restore(into: bench.unit)
        #expect(restored.devices.isEmpty && restored.domains.isEmpty)
    }

    @Test func aRestoredUnitIsTheSame() throws {
        let bench = try HostBench()
        let world = try SnapshotWorld(bench)
        let snapshot = UnitSnapshot(of: bench.unit)
        #expect(snapshot.devices.count == world.devices.count)
        #expect(snapshot.domains.count == world.domains.count)
        #expect(snapshot.namespaces.count == world.namespaces.count)
        #expect(snapshot.spaces.count == 1)

        let other = try HostBench()
        let read = try UnitSnapshot(json: snapshot.json())
        #expect(read == snapshot)
        let restored = try read.restore(into: other.unit)
        let again = UnitSnapshot(of: other.unit)
        #expect(again == snapshot)
        #expect(try again.json() == snapshot.json())
        #expect(try other.answers() == bench.answers())
        #expect(restored.devices.count == world.devices.count)
        #expect(world.reservation == world.reservation && world.space.areaCount == restored.spaces[0].areaCount)
    }

    @Test func everythingIsRecorded() throws {
        let bench = try HostBench()
        let world = try SnapshotWorld(bench)
        let snapshot = UnitSnapshot(of: bench.unit)
        let space = try #require(snapshot.spaces.first)
        #expect(space.granule == 4096)
        #expect(space.areas.map(\.first) == [0x20_0000, 0x60_0000, 0x9_0000_0000])
        #expect(space.areas.map(\.rights) == [[.read, .write], .write, .read])
        #expect(space.areas.map(\.output) == [0x20_0000, 0x1000, 0x40_0000])
        #expect(space.areas.map(\.backing) == [.output, .output, .output])
        #expect(space.allowed.map(\.first) == [0x1000, 0x2_0000_0000])
        #expect(space.reserved == [.init(first: 0x4_0000_0000, last: 0x4_0000_ffff, reason: "doorbells")])
        let mappings: [Snapshot.MappingRecord] = [
            .init(first: 0x1000, last: 0x3fff, output: 0x5000, rights: .read),
            .init(first: 0x4000, last: 0x4fff, output: 0x8000, rights: .write),
            .init(first: 0x4000_0000, last: 0x4020_0fff, output: 0x8000_0000, rights: [.read, .write]),
        ]
        #expect(
            snapshot.domains == [
                .paging(.init(options: [.nestParent, .dirtyTracking], space: 0, tracking: .on)),
                .nested(
                    .init(
                        parent: 0,
                        firstStage: FirstStage(
                            root: 0x20_0000, addressWidth: 57, options: [.supervisorRequests, .writeProtect]))),
                .paging(.init(addressWidth: 39, largestPage: .twoMiB, space: 0)),
                .paging(
                    .init(options: .dirtyTracking, addressWidth: 57, mappings: mappings, tracking: .splitting)),
            ])
        #expect(snapshot.devices.map(\.id) == [DeviceID(.max), 2, 7, 3, 11, 12])
        #expect(
            snapshot.devices[0].attachments == [
                .init(domain: .domain(1)), .init(pasid: pasid(3), domain: .domain(0)),
                .init(pasid: pasid(0xfffff), domain: .identity),
            ])
        #expect(snapshot.devices[1].attachments == [.init(domain: .blocked)])
        #expect(snapshot.devices[3].share == .slice(32, 63, .all))
        #expect(
            snapshot.devices[4].table
                == PASIDTable(pasidBits: 12, ridPASID: pasid(9), address: OutputAddress(GuestImage.ram)))
        #expect(
            snapshot.namespaces == [
                .init(
                    hostPASIDs: pasids(100, 199),
                    bindings: [
                        .init(guest: pasid(4), host: pasid(199)), .init(guest: pasid(5), host: pasid(150)),
                    ]),
                .init(hostPASIDs: pasids(200, 200)),
            ])
        #expect(world.devices.count == 6)
    }

    @Test func restoredObjectsAreGivenByNameAndPosition() throws {
        let bench = try HostBench()
        let snapshot = try bench.recordedWorld()
        #expect(bench.isEmpty)
        let restored = try snapshot.restore(into: bench.unit)
        #expect(restored.domains.map(\.kind) == [.paging, .nested, .paging, .paging])
        #expect((restored.domains[1] as? NestedDomain)?.parent === restored.domains[0])
        #expect((restored.domains[2] as? PagingDomain)?.space === restored.spaces[0])
        #expect((restored.domains[3] as? PagingDomain)?.dirtyTracking == .on(splittingLargePages: true))
        #expect(restored.devices[3]?.domain(at: pasid(33)) === restored.domains[3])
        #expect(restored.devices[11]?.boundTable?.pasidBits == 12)
        #expect(restored.namespaces[0].host(for: pasid(5)) == pasid(150))
        #expect(restored.reservations.map(\.count) == [1])
        try restored.spaces[0].unreserve(restored.reservations[0][0])
        #expect(restored.spaces[0].area(holding: 0x9_0000_1000)?.output == 0x40_0000)
        #expect(try bench.unit.owners(of: HostBench.otherSource, pasid: pasid(33)).devices == [7, 3])
    }

    @Test func largePagesAreRecordedAsOneRun() throws {
        let bench = try HostBench()
        let domain = try bench.plainDomain()
        try domain.map(0x4000_0000, to: 0x8000_0000, length: 0x80_4020_1000, rights: .read)
        let snapshot = UnitSnapshot(of: bench.unit)
        let run = UnitSnapshot.MappingRecord(
            first: 0x4000_0000, last: 0x80_8020_0fff, output: 0x8000_0000, rights: .read)
        #expect(snapshot.domains == [.paging(.init(mappings: [run]))])
        let other = try HostBench()
        let restored = try snapshot.restore(into: other.unit)
        let copy = try #require(restored.domains.first as? PagingDomain)
        #expect(copy.statistics.tables == domain.statistics.tables)
        #expect(copy.statistics.hugePages == 513)
    }

    @Test func whatTablesWouldTakeIsKnownBeforeTheyAreBuilt() throws {
        let bench = try HostBench()
        let domain = try bench.plainDomain()
        // Leads elsewhere modulo 2 MiB: small pages only.
        try domain.map(0x4000_0000, to: 0x8000_1000, length: 0x1000_0000, rights: .read)
        let snapshot = UnitSnapshot(of: bench.unit)
        let tables = domain.statistics.tables
        var limits = UnitSnapshot.Limits()
        limits.tables = tables - 1
        #expect(throws: IOMMUError.noSpace) { try snapshot.check(limits: limits) }
        limits.tables = tables + 8
        try snapshot.check(limits: limits)
    }

    @Test func anAreaMayBeMadeOfSomethingElse() throws {
        let bench = try HostBench()
        let space = try IOAddressSpace(memory: bench.memory)
        let host = UnsafeMutableRawBufferPointer.allocate(byteCount: 0x2000, alignment: 4096)
        defer { unsafe host.deallocate() }
        _ = try space.map(unsafe .host(host), length: 0x2000, at: 0x1_0000, rights: [.read, .write])
        _ = try space.map(.output(0x7000), length: 0x1000, at: 0x2_0000, rights: .read)
        let domain = try PagingDomain(unit: bench.unit, space: space)
        let snapshot = UnitSnapshot(of: bench.unit)
        #expect(snapshot.spaces[0].areas.map(\.backing) == [.host, .output])
        #expect(domain.kind == .paging)

        let other = try HostBench()
        var asked: [UnitSnapshot.AreaRecord] = []
        let restored = try snapshot.restore(into: other.unit) { area in
            asked.append(area)
            return area.backing == .host ? .output(0xabc_0000) : nil
        }
        #expect(asked == snapshot.spaces[0].areas)
        #expect(restored.spaces[0].area(holding: 0x1_1000)?.output == 0xabc_0000)
        #expect(restored.spaces[0].area(holding: 0x2_0000)?.output == 0x7000)
    }

    // MARK: Refusals

    @Test func onlyAnEmptyUnitIsFilled() throws {
        let bench = try HostBench()
        let snapshot = UnitSnapshot(description: bench.unit.unitDescription)
        let makers: [(HostBench) throws -> AnyObject] = [
            { try $0.device(1) }, { try $0.plainDomain() },
            { try PASIDNamespace(unit: $0.unit, hostPASIDs: pasids(1, 2)) },
        ]
        for make in makers {
            let object = try make(bench)
            let before = UnitSnapshot(of: bench.unit)
            #expect(throws: IOMMUError.inUse) { try snapshot.restore(into: bench.unit) }
            #expect(UnitSnapshot(of: bench.unit) == before)
            withExtendedLifetime(object) {}
        }
        let identity = bench.unit.identityDomain
        _ = try snapshot.restore(into: bench.unit)
        #expect(identity.kind == .identity)
    }

    @Test func aUnitMustOfferWhatTheRecordedOneDid() throws {
        let less: [(String, (inout Capabilities.Builder) -> Void)] = [
            ("bits", { $0.hostAddressWidth = 46 }), ("CAP.SAGAW", { $0.guestAddressWidths = .bits48 }),
            ("CAP.FS5LP", { $0.firstStage5Level = false }), ("ECAP.PSS", { $0.pasidBits = 12 }),
            ("ECAP.NEST", { $0.nestedTranslation = false }), ("CAP.CM", { $0.cachingMode = true }),
            ("CAP.SSLPS", { $0.secondStage1GiB = false }), ("revision", { $0.revision = .v3 }),
        ]
        let snapshot = UnitSnapshot(description: UnitDescription(.full))
        for (word, change) in less {
            let bench = try HostBench(capabilities: Capabilities(basedOn: .full, change))
            do {
                _ = try snapshot.restore(into: bench.unit)
                Issue.record("restored without \(word)")
            } catch {
                #expect(error as? IOMMUError == .unsupported)
                #expect("\(error)".contains(word), "\(error)")
            }
        }
        let small = UnitSnapshot(description: UnitDescription(try Capabilities(cap: 0x26_0200, ecap: 0)))
        _ = try small.restore(into: HostBench().unit)
    }

    @Test func anErrorOfTheSourceEndsARestore() throws {
        struct NoMore: Error {}
        let bench = try HostBench()
        let snapshot = try bench.recordedWorld()
        var count = 0
        #expect(throws: NoMore.self) {
            try snapshot.restore(into: bench.unit) { _ in
                count += 1
                if count == 3 { throw NoMore() }
                return nil
            }
        }
        #expect(bench.isEmpty)
    }

    /// A change to the snapshot of the world, the error it gets, and a word of its detail.
    private static let damages: [(IOMMUError, String, @Sendable (inout UnitSnapshot) -> Void)] = [
        // Spaces.
        (.invalidArgument, "spaces[0].granule", { $0.spaces[0].granule = 0 }),
        (.invalidArgument, "spaces[0].granule", { $0.spaces[0].granule = 1 << 31 }),
        (.invalidArgument, "firstAutomaticOutput", { $0.spaces[0].firstAutomaticOutput = OutputAddress(.max) }),
        (.invalidArgument, "allowed[1]", { $0.spaces[0].allowed[1].last = 0 }),
        (.invalidArgument, "spaces[0]", { $0.spaces[0].allowed[1].first = 0x2000 }),
        (.invalidArgument, "reserved[0]", { $0.spaces[0].reserved[0].first = .max }),
        (.inUse, "spaces[0]", { $0.spaces[0].reserved[0].first = 0x20_0000 }),
        (.invalidArgument, "areas[1]", { $0.spaces[0].areas[1].last = 0 }),
        (.overlap, "areas[1]", { $0.spaces[0].areas[1].first = 0x20_0000 }),
        (.overlap, "areas[1]", { $0.spaces[0].areas.swapAt(0, 1) }),
        (.wraps, "areas[0]", { $0.spaces[0].areas[0].output = OutputAddress(.max) }),
        (.wraps, "areas[0]", { $0.spaces[0].areas = [.init(first: 0, last: .max, output: 0, rights: .read)] }),
        (.invalidArgument, "rights", { $0.spaces[0].areas[2].rights = [] }),
        (.invalidArgument, "rights", { $0.spaces[0].areas[2].rights = .execute }),
        (.invalidArgument, "offset", { $0.spaces[0].areas[2].offset = 1 }),
        (.misaligned, "spaces[0]", { $0.spaces[0].areas[2].first = 0x9_0000_0001 }),
        // Domains.
        (.invalidArgument, "options", { $0.change(0) { $0.options = 8 } }),
        (.invalidArgument, "addressWidth", { $0.change(0) { $0.addressWidth = -1 } }),
        (.invalidArgument, "largestPage", { $0.change(0) { $0.largestPage = 13 } }),
        (.invalidArgument, "tracking", { $0.change(2) { $0.tracking = .on } }),
        (.invalidArgument, "domains[0].space", { $0.change(0) { $0.space = 1 } }),
        (.invalidArgument, "domains[0].space", { $0.change(0) { $0.space = -1 } }),
        (.invalidArgument, "mappings", { $0.change(3) { $0.space = 0 } }),
        (.misaligned, "mappings[0]", { $0.change(3) { $0.mappings[0].first = 0x1001 } }),
        (.misaligned, "mappings[0]", { $0.change(3) { $0.mappings[0].last = 0x2000 } }),
        (.misaligned, "mappings[0]", { $0.change(3) { $0.mappings[0].output = 0x7 } }),
        (.invalidArgument, "57 bits", { $0.change(3) { $0.mappings[2].last = IOVA(1 << 60 | 0xfff) } }),
        (.noSpace, "page tables", { $0.change(3) { $0.mappings[2].last = IOVA((1 << 56) - 1) } }),
        (.outOfRange, "domains[3]", { $0.change(3) { $0.mappings[1].output = OutputAddress(1 << 60) } }),
        (.invalidArgument, "parent", { $0.domains[1] = .nested(.init(parent: 1, firstStage: .init(root: 0))) }),
        (.invalidArgument, "parent", { $0.domains[1] = .nested(.init(parent: -1, firstStage: .init(root: 0))) }),
        (.invalidArgument, "parent", { $0.domains[1] = .nested(.init(parent: 2, firstStage: .init(root: 0))) }),
        (.misaligned, "domains[1]", { $0.domains[1] = .nested(.init(parent: 0, firstStage: .init(root: 1))) }),
        (.notNestParent, "domains[1]", { $0.change(0) { $0.options = 2 } }),
        // Devices.
        (.exists, "devices[1].id", { $0.devices[1].id = DeviceID(.max) }),
        (.invalidArgument, "devices[0]", { $0.devices[0].table = $0.devices[4].table }),
        (.exists, "attachments[2]", { $0.devices[0].attachments[2].pasid = pasid(3) }),
        (.invalidArgument, "no domain 4", { $0.devices[0].attachments[0].domain = .domain(4) }),
        (.invalidArgument, "no domain -1", { $0.devices[0].attachments[0].domain = .domain(-1) }),
        (.invalidArgument, "devices[0]", { $0.devices[0].source = SourceID(.max) }),
        (.overlap, "devices[3]", { $0.devices[3].share = .slice(32, 63, .refused) }),
        (.overlap, "devices[1]", { $0.devices[1].source = HostBench.source }),
        (.notOwned, "devices[2]", { $0.devices[2].attachments[0].pasid = nil }),
        (.occupied, "devices[3]", { $0.devices[3].attachments[0].domain = .identity }),
        (.outOfRange, "devices[4]", { $0.devices[4].table?.pasidBits = 40 }),
        // Namespaces.
        (.invalidArgument, "namespaces[1]", { $0.namespaces[1].first = pasid(300) }),
        (.invalidArgument, "bindings[0].host", { $0.namespaces[0].bindings[0].host = pasid(200) }),
        (.exists, "bindings[1]", { $0.namespaces[0].bindings[1].guest = pasid(4) }),
        (.exists, "bindings[1]", { $0.namespaces[0].bindings[1].host = pasid(199) }),
        (.overlap, "namespaces[1]", { $0.namespaces[1].first = pasid(150) }),
        // Too much of something.
        (.noSpace, "spaces", { $0.spaces = Array(repeating: .init(), count: 5000) }),
        (
            .noSpace, "bindings",
            { $0.namespaces[0].bindings = Array(repeating: $0.namespaces[0].bindings[0], count: 2_000_000) }
        ),
    ]

    @Test func damageIsRefusedAndLeavesTheUnitEmpty() throws {
        let bench = try HostBench()
        let good = try bench.recordedWorld()
        for (index, (error, word, damage)) in Self.damages.enumerated() {
            var snapshot = good
            damage(&snapshot)
            do {
                _ = try snapshot.restore(into: bench.unit)
                Issue.record("damage \(index) (\(word)) was restored")
            } catch let thrown {
                #expect(thrown as? IOMMUError == error, "damage \(index) (\(word)): \(thrown)")
                #expect("\(thrown)".contains(word), "damage \(index): \(thrown)")
            }
            #expect(bench.isEmpty, "damage \(index) (\(word))")
        }
        _ = try good.restore(into: bench.unit)
    }

    @Test func newerAndDamagedDataIsRefused() throws {
        let bench = try HostBench()
        let good = try bench.recordedWorld()
        let text = String(decoding: try good.json(), as: UTF8.self)
        func read(_ old: String, _ new: String) throws -> UnitSnapshot {
            #expect(text.contains(old))
            return try UnitSnapshot(json: Data(text.replacing(old, with: new).utf8))
        }
        #expect(throws: IOMMUError.unsupported) { try read(#""version":1"#, #""version":2"#) }
        #expect(throws: IOMMUError.unsupported) { try read(#""version":1"#, #""version":0"#) }
        #expect(throws: IOMMUError.unsupported) { try read(#""model":1,"properties""#, #""model":3,"properties""#) }
        #expect(throws: DecodingError.self) { try read(#""version":1"#, #""version":"1""#) }
        #expect(throws: DecodingError.self) { try read(#""identity""#, #""identical""#) }
        #expect(throws: DecodingError.self) { try read(#""pasid":1048575"#, #""pasid":1048576"#) }
        #expect(throws: DecodingError.self) { try read(#""first":16,"#, #""first":99,"#) }
        #expect(throws: DecodingError.self) { try read(#""0x200000""#, #""2097152""#) }
        #expect(throws: DecodingError.self) { try read(#""nested""#, #""nosted""#) }
        #expect(throws: DecodingError.self) { try read(#""splitting""#, #""dividing""#) }
        #expect(throws: DecodingError.self) { try UnitSnapshot(json: Data(text.utf8.dropLast(2))) }
        let more = try read(#""version":1"#, #""version":1,"weather":{"rain":true}"#)
        #expect(more == good, "what is not known is skipped")
    }
}

extension UnitSnapshot {
    /// Changes a paging domain.
    mutating func change(_ index: Int, _ body: (inout PagingRecord) -> Void) {
        guard case .paging(var record) = domains[index] else { return }
        body(&record)
        domains[index] = .paging(record)
    }
}
