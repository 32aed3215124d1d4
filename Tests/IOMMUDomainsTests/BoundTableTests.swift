// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A guest's own PASID table behind a device: it answers as it would behind the guest's root table, and it is refused for what can
// be checked at bind time [B-B2].

import IOMMU
import IOMMUTestSupport
import Testing

/// A guest with a PASID directory for source 0x0110, and first-stage, second-stage and pass-through entries in it.
private final class BoundBench {
    static let guestSource: UInt16 = 0x0110
    static let input: UInt64 = 0x12_3456_7000
    static let firstStage: UInt32 = 3
    static let secondStage: UInt32 = 70
    static let passThrough: UInt32 = 200
    static let garbage: UInt32 = 201

    let bench: HostBench
    let builder: TableBuilder
    let first: PagingTables
    let second: PagingTables
    let page: UInt64
    let otherPage: UInt64

    var table: PASIDTable {
        PASIDTable(
            pasidBits: 15, ridPASID: pasid(Self.secondStage),
            address: OutputAddress(builder.directory(Self.guestSource)))
    }

    init() throws {
        let image = GuestImage()
        builder = TableBuilder(image, isScalable: true)
        first = PagingTables(.first, levels: 4, in: image)
        second = PagingTables(.second, levels: 4, in: image)
        page = image.allocatePage()
        otherPage = image.allocatePage()
        first.map(Self.input, to: page)
        second.map(Self.input, to: otherPage)
        var context = ScalableContext()
        context.requestPASID = UInt64(Self.secondStage)
        context.directorySize = 2
        builder.setContext(Self.guestSource, context)
        bench = try HostBench(image)
        set(Self.firstStage) {
            $0.type = .first
            $0.firstRoot = first.root
        }
        set(Self.secondStage) {
            $0.type = .second
            $0.secondRoot = second.root
        }
        set(Self.passThrough) { $0.type = .passThrough }
        set(Self.garbage) { $0.raw = [UInt64](repeating: 0xdead_beef_dead_beef, count: 8) }
    }

    func set(_ pasid: UInt32, _ change: (inout PASIDEntry) -> Void) {
        var entry = PASIDEntry()
        entry.domain = 9
        change(&entry)
        builder.setPASID(Self.guestSource, pasid: pasid, entry)
    }
}

@Suite struct BoundTableTests {
    @Test func aBoundTableAnswersAsItDoesBehindTheRootTable() throws {
        let guest = try BoundBench()
        let bench = guest.bench
        let host = SourceID(0x0733)
        try bench.unit.setRootTable(guest.builder.rootRegister)
        try bench.unit.setTranslation(enabled: true)
        let device = try bench.device(5, at: host)
        try device.bind(guest.table)
        #expect(device.boundTable == guest.table)
        let pasids = [nil] + [0, 3, 4, 70, 200, 201, 300, 0x7fff].map { PASID($0) }
        for pasid in pasids {
            for access: AccessRights in [.read, .write, []] {
                for iova: IOVA in [IOVA(BoundBench.input), IOVA(BoundBench.input + 4096), 0, .max] {
                    let behindRoot = try bench.translate(
                        iova, access, source: SourceID(UInt32(BoundBench.guestSource)), pasid: pasid)
                    let bound = try bench.translate(iova, access, source: host, pasid: pasid)
                    #expect(Answer(behindRoot) == Answer(bound), "\(iova) \(access) PASID \(pasid as Any)")
                    #expect(behindRoot.fault?.device == nil)
                    #expect(bound.fault == nil || bound.fault?.device == 5)
                }
            }
        }
        #expect(try bench.output(IOVA(BoundBench.input), source: host, pasid: pasid(3)) == OutputAddress(guest.page))
        #expect(try bench.output(IOVA(BoundBench.input), source: host) == OutputAddress(guest.otherPage))
    }

    @Test func aPASIDBeyondTheTableIsAFault() throws {
        let guest = try BoundBench()
        let device = try guest.bench.device(5)
        var small = guest.table
        small.pasidBits = 7
        try device.bind(small)
        #expect(try guest.bench.passes(pasid: pasid(BoundBench.passThrough)) == false)
        #expect(
            try guest.bench.output(IOVA(BoundBench.input), pasid: pasid(BoundBench.firstStage)) != nil)
        try device.unbind()
        try device.bind(guest.table)
        #expect(try guest.bench.passes(pasid: pasid(BoundBench.passThrough)))
        #expect(try guest.bench.fault(pasid: pasid(1 << 15))?.device == 5)
    }

    @Test func theGuestsInvalidationsReachABoundTable() throws {
        let guest = try BoundBench()
        let bench = guest.bench
        let device = try bench.device(5)
        // Legality of descriptors follows the mode of the root table, which is the guest's.
        try bench.unit.setRootTable(guest.builder.rootRegister)
        try device.bind(guest.table)
        let own = pasid(BoundBench.firstStage)
        #expect(try bench.output(IOVA(BoundBench.input), pasid: own) == OutputAddress(guest.page))
        guest.first.map(BoundBench.input, to: guest.otherPage)
        try bench.unit.invalidate(
            Invalidation(.translations, domain: 9, pasid: own))
        #expect(try bench.output(IOVA(BoundBench.input), pasid: own) == OutputAddress(guest.otherPage))
        guest.set(BoundBench.firstStage) { $0.isPresent = false }
        try bench.unit.invalidate(Invalidation(.pasid, domain: 9, pasid: own))
        #expect(try bench.fault(IOVA(BoundBench.input), pasid: own)?.device == 5)
    }

    @Test func unbindingBlocksTheDevice() throws {
        let guest = try BoundBench()
        let device = try guest.bench.device(5)
        try device.bind(guest.table)
        #expect(try guest.bench.passes(pasid: pasid(BoundBench.passThrough)))
        try device.unbind()
        #expect(device.boundTable == nil)
        #expect(try guest.bench.fault(pasid: pasid(BoundBench.passThrough)) != nil)
        try device.attach(guest.bench.unit.identityDomain)
        #expect(try guest.bench.passes())
        try device.detach()
        try device.bind(guest.table)
        try device.reset()
        #expect(device.boundTable == nil)
        #expect(try guest.bench.fault(pasid: pasid(BoundBench.passThrough)) != nil)
    }

    @Test func slicesOfOneSourceHaveTablesOfTheirOwn() throws {
        let guest = try BoundBench()
        let bench = guest.bench
        let low = try bench.device(1, .slice(0, 63))
        let high = try bench.device(2, .slice(64, 255))
        try low.bind(guest.table)
        #expect(
            try bench.output(IOVA(BoundBench.input), pasid: pasid(BoundBench.firstStage)) == OutputAddress(guest.page))
        #expect(try bench.fault(IOVA(BoundBench.input), pasid: pasid(BoundBench.secondStage))?.device == 2)
        try high.attach(bench.unit.identityDomain, to: pasid(100))
        #expect(try bench.passes(pasid: pasid(100)))
        try high.reset()
        try high.bind(guest.table)
        #expect(try bench.passes(pasid: pasid(BoundBench.passThrough)))
        try low.reset()
        #expect(try bench.fault(IOVA(BoundBench.input), pasid: pasid(BoundBench.firstStage))?.device == 1)
        #expect(try bench.passes(pasid: pasid(BoundBench.passThrough)))
    }

    @Test func guestTablesAttachedAndBoundDevicesLiveSideBySide() throws {
        let guest = try BoundBench()
        let bench = guest.bench
        try bench.unit.setRootTable(guest.builder.rootRegister)
        try bench.unit.setTranslation(enabled: true)
        let attached = try bench.device(1, at: SourceID(0x0200))
        let bound = try bench.device(2, at: SourceID(0x0300))
        let domain = try bench.parent()
        try bench.map(domain, BoundBench.input, length: 4096, to: 0xabc_d000)
        try attached.attach(domain)
        try bound.bind(guest.table)
        let guestSource = SourceID(UInt32(BoundBench.guestSource))
        for _ in 0..<2 {
            #expect(
                try bench.output(IOVA(BoundBench.input), source: guestSource, pasid: pasid(3))
                    == OutputAddress(guest.page))
            #expect(try bench.output(IOVA(BoundBench.input), source: SourceID(0x0200)) == 0xabc_d000)
            #expect(
                try bench.output(IOVA(BoundBench.input), source: SourceID(0x0300), pasid: pasid(3))
                    == OutputAddress(guest.page))
        }
        try attached.reset()
        #expect(try bench.fault(IOVA(BoundBench.input), source: SourceID(0x0200))?.device == 1)
        #expect(try bench.output(IOVA(BoundBench.input), source: SourceID(0x0300), pasid: pasid(3)) != nil)
        try bound.reset()
        #expect(try bench.fault(IOVA(BoundBench.input), source: SourceID(0x0300), pasid: pasid(3))?.device == 2)
        #expect(try bench.output(IOVA(BoundBench.input), source: guestSource, pasid: pasid(3)) != nil)
        try bound.bind(guest.table)
        try attached.attach(domain)
        try bench.unit.reset()
        #expect(bound.boundTable == nil && attached.attachments.isEmpty)
        #expect(try bench.fault(IOVA(BoundBench.input), source: SourceID(0x0200)) != nil)
        #expect(try bench.fault(IOVA(BoundBench.input), source: SourceID(0x0300), pasid: pasid(3)) != nil)
        #expect(try bench.passes(source: guestSource), "the reset switched translation off")
    }

    // MARK: Refusals

    @Test func aTableAndAttachmentsExcludeEachOther() throws {
        let guest = try BoundBench()
        let bench = guest.bench
        let device = try bench.device(1)
        try device.attach(bench.unit.identityDomain, to: pasid(16))
        try expectRefusal(.inUse, of: device, in: bench) { try device.bind(guest.table) }
        try device.detach(from: pasid(16))
        try device.bind(guest.table)
        try expectRefusal(.inUse, of: device, in: bench) { try device.bind(guest.table) }
        try expectRefusal(.inUse, of: device, in: bench) { try device.attach(bench.unit.identityDomain) }
        try expectRefusal(.inUse, of: device, in: bench) {
            try device.attach(bench.unit.identityDomain, to: pasid(16))
        }
        try expectRefusal(.notAttached, of: device, in: bench) {
            try device.replace(with: bench.unit.identityDomain, at: pasid(16))
        }
        try expectRefusal(.notAttached, of: device, in: bench) { try device.detach(from: pasid(16)) }
    }

    /// A change to a good table, and what it is refused with.
    static let badTables: [(IOMMUError, String, @Sendable (inout PASIDTable) -> Void)] = [
        (.unsupported, "SMMUv3", { $0.model = .smmuV3 }),
        (.unsupported, "model 77", { $0.model = .init(rawValue: 77) }),
        (.unsupported, "format 1", { $0.format = 1 }),
        (.unsupported, "1 levels", { $0.levels = 1 }),
        (.unsupported, "-1 levels", { $0.levels = -1 }),
        (.unsupported, "levels", { $0.levels = .max }),
        (.outOfRange, "5 PASID bits", { $0.pasidBits = 5 }),
        (.outOfRange, "-3 PASID bits", { $0.pasidBits = -3 }),
        (.outOfRange, "21 PASID bits", { $0.pasidBits = 21 }),
        (.outOfRange, "PASID 256", { ($0.pasidBits, $0.ridPASID) = (8, pasid(256)) }),
        (.misaligned, "0x1800", { $0.address = 0x1800 }),
        (.outOfRange, "52 bits", { $0.address = OutputAddress(1 << 52) }),
    ]

    @Test(arguments: badTables)
    func aTableThatCannotBeIsRefused(
        _ error: IOMMUError, _ word: String, _ change: @Sendable (inout PASIDTable) -> Void
    ) throws {
        let guest = try BoundBench()
        let device = try guest.bench.device(1)
        var table = guest.table
        change(&table)
        try expectRefusal(error, of: device, in: guest.bench) {
            do {
                try device.bind(table)
            } catch {
                #expect("\(error)".contains(word), "\(error)")
                throw error
            }
        }
        try device.bind(guest.table)
    }

    @Test func whatTheUnitLacksDecidesToo() throws {
        let legacy = try HostBench(
            capabilities: Capabilities(
                cap: Capabilities.full.cap, ecap: 0x5f, revision: .v4, hostAddressWidth: 46))
        let device = try legacy.device(1)
        let table = PASIDTable(pasidBits: 6, address: OutputAddress(legacy.image.allocatePage()))
        try expectRefusal(.unsupported, of: device, in: legacy) { try device.bind(table) }

        let narrow = try HostBench(
            capabilities: Capabilities(basedOn: .full) {
                $0.pasidBits = 10
                $0.ridPASID = false
                $0.ridPrivilege = false
                $0.hostAddressWidth = 46
            })
        let other = try narrow.device(1)
        let address = OutputAddress(narrow.image.allocatePage())
        try expectRefusal(.outOfRange, of: other, in: narrow) {
            try other.bind(PASIDTable(pasidBits: 11, address: address))
        }
        try expectRefusal(.unsupported, of: other, in: narrow) {
            try other.bind(PASIDTable(pasidBits: 10, ridPASID: pasid(1), address: address))
        }
        try expectRefusal(.outOfRange, of: other, in: narrow) {
            try other.bind(PASIDTable(pasidBits: 10, address: OutputAddress(1 << 46)))
        }
        try other.bind(PASIDTable(pasidBits: 10, address: address))
    }

    @Test func noTableHasMoreThanTwentyPASIDBits() throws {
        let bench = try HostBench(capabilities: Capabilities(basedOn: .full) { $0.pasidBits = 32 })
        let device = try bench.device(1)
        let address = OutputAddress(bench.image.allocatePage())
        for bits in [21, 31, 32, 33] {
            try expectRefusal(.outOfRange, of: device, in: bench) {
                try device.bind(PASIDTable(pasidBits: bits, address: address))
            }
        }
        try device.bind(PASIDTable(pasidBits: 20, address: address))
    }

    @Test func whatIsInATableIsNotLookedAt() throws {
        let bench = try HostBench()
        let device = try bench.device(1)
        try device.bind(PASIDTable(address: OutputAddress(GuestImage.hole)))
        #expect(try bench.fault(pasid: pasid(1))?.reason == .tableAccess)
        #expect(try bench.fault()?.device == 1)
    }
}
