// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Nested domains: a guest's first stage over a paging domain, its invalidations, and what its making refuses.

import IOMMU
import IOMMUTestSupport
import Testing

/// A device whose guest has first-stage tables over a paging domain. Guest-physical addresses of the tables are output addresses;
/// two data pages lie elsewhere.
private final class NestedBench {
    static let guestPage: UInt64 = 0x5000_0000
    static let otherGuestPage: UInt64 = 0x6000_0000
    static let input: UInt64 = 0x7fff_1234_5000

    let bench: HostBench
    let parent: PagingDomain
    let tables: PagingTables
    let page: UInt64
    let otherPage: UInt64

    init(levels: Int = 4) throws {
        bench = try HostBench()
        parent = try bench.parent()
        tables = PagingTables(.first, levels: levels, in: bench.image)
        page = bench.image.allocatePage()
        otherPage = bench.image.allocatePage()
        try bench.map(parent, GuestImage.ram, length: 512 << 12, to: GuestImage.ram)
        try bench.map(parent, Self.guestPage, length: 4096, to: page)
        try bench.map(parent, Self.otherGuestPage, length: 4096, to: otherPage)
        tables.map(Self.input, to: Self.guestPage)
    }

    func domain(_ width: Int = 48, _ options: FirstStage.Options = []) throws -> NestedDomain {
        try NestedDomain(
            parent: parent, firstStage: FirstStage(root: IOVA(tables.root), addressWidth: width, options: options))
    }

    func output(_ access: AccessRights = .read, pasid: PASID? = nil) throws -> OutputAddress? {
        try bench.output(IOVA(Self.input), access, pasid: pasid)
    }
}

@Suite struct NestedDomainTests {
    @Test(arguments: [4, 5])
    func bothStagesTranslate(levels: Int) throws {
        let nested = try NestedBench(levels: levels)
        let device = try nested.bench.device(1)
        let domain = try nested.domain(levels == 4 ? 48 : 57)
        #expect(domain.kind == .nested)
        #expect(domain.parent === nested.parent)
        #expect(domain.firstStage.root == IOVA(nested.tables.root))
        try device.attach(domain)
        try device.attach(domain, to: pasid(9))
        #expect(try nested.output() == OutputAddress(nested.page))
        #expect(try nested.output(.write, pasid: pasid(9)) == OutputAddress(nested.page))
        #expect(try nested.bench.fault(IOVA(NestedBench.input + 4096))?.device == 1)
        try device.replace(with: nested.parent)
        #expect(try nested.bench.output(IOVA(NestedBench.guestPage)) == OutputAddress(nested.page))
    }

    @Test func theGuestsChangesShowAfterItsInvalidation() throws {
        let nested = try NestedBench()
        let device = try nested.bench.device(1)
        let domain = try nested.domain()
        try device.attach(domain)
        #expect(try nested.output() == OutputAddress(nested.page))

        nested.tables.map(NestedBench.input, to: NestedBench.otherGuestPage)
        let page = IOVA(NestedBench.input)...IOVA(NestedBench.input + 4095)
        try domain.invalidate(page, leafOnly: true, port: nested.bench.port)
        #expect(try nested.output() == OutputAddress(nested.otherPage))

        nested.tables.map(NestedBench.input, to: NestedBench.guestPage)
        try domain.invalidateAll()
        #expect(try nested.output() == OutputAddress(nested.page))

        nested.tables.setEntry(NestedBench.input, level: 1, 0)
        try domain.invalidate(page)
        #expect(try nested.output() == nil)
    }

    @Test func theParentsChangesShowAtOnce() throws {
        let nested = try NestedBench()
        let device = try nested.bench.device(1)
        let domain = try nested.domain()
        try device.attach(domain)
        #expect(try nested.output() == OutputAddress(nested.page))
        try nested.bench.unmap(nested.parent, NestedBench.guestPage, length: 4096)
        let fault = try nested.bench.fault(IOVA(NestedBench.input))
        #expect(fault?.stage == .nested)
        #expect(fault?.device == 1)
        try nested.bench.map(nested.parent, NestedBench.guestPage, length: 4096, to: nested.otherPage)
        #expect(try nested.output() == OutputAddress(nested.otherPage))
    }

    @Test func aBadRootIsAFaultWhenItIsUsed() throws {
        let nested = try NestedBench()
        let device = try nested.bench.device(1)
        let domain = try NestedDomain(
            parent: nested.parent, firstStage: FirstStage(root: 0x7000_0000))
        try device.attach(domain)
        #expect(try nested.bench.fault(IOVA(NestedBench.input)) != nil)
        let wild = try NestedDomain(
            parent: nested.parent, firstStage: FirstStage(root: IOVA(UInt64.max & ~4095)))
        try device.replace(with: wild)
        #expect(try nested.bench.fault(IOVA(NestedBench.input)) != nil)
        #expect(try nested.bench.fault(IOVA(UInt64.max)) != nil)
    }

    @Test func supervisorRequestsNeedTheirOption() throws {
        let nested = try NestedBench()
        let device = try nested.bench.device(1)
        let access: AccessRights = [.read, .privileged]
        try device.attach(try nested.domain(), to: pasid(1))
        #expect(try nested.output(access, pasid: pasid(1)) == nil)
        try device.replace(with: try nested.domain(48, .supervisorRequests), at: pasid(1))
        #expect(try nested.output(access, pasid: pasid(1)) == OutputAddress(nested.page))
    }

    @Test func writeProtectionHoldsForTheSupervisorToo() throws {
        let nested = try NestedBench()
        nested.tables.map(NestedBench.input, to: NestedBench.guestPage, flags: 1)
        let device = try nested.bench.device(1)
        let access: AccessRights = [.write, .privileged]
        try device.attach(try nested.domain(48, .supervisorRequests), to: pasid(1))
        #expect(try nested.output(access, pasid: pasid(1)) == OutputAddress(nested.page))
        try device.replace(with: try nested.domain(48, [.supervisorRequests, .writeProtect]), at: pasid(1))
        #expect(try nested.output(access, pasid: pasid(1)) == nil)
    }

    @Test func extendedAccessedFlagsAreSetWhereAskedFor() throws {
        let nested = try NestedBench()
        let device = try nested.bench.device(1)
        try device.attach(try nested.domain())
        _ = try nested.output()
        #expect(nested.tables.entry(NestedBench.input, level: 0) & 1 << 10 == 0)
        try device.replace(with: try nested.domain(48, .extendedAccessed))
        _ = try nested.output()
        #expect(nested.tables.entry(NestedBench.input, level: 0) & 1 << 10 != 0)
    }

    // MARK: Life

    @Test func theParentLivesAsLongAsAChild() throws {
        let bench = try HostBench()
        weak var parent: PagingDomain?
        weak var child: NestedDomain?
        let device = try bench.device(1)
        do {
            let made = try bench.parent()
            let nested = try NestedDomain(parent: made, firstStage: FirstStage(root: 0))
            parent = made
            child = nested
            try device.attach(nested)
        }
        #expect(parent != nil && child != nil)
        try device.detach()
        #expect(parent == nil && child == nil)
    }

    // MARK: Refusals

    @Test func onlyANestParentMayBeAParent() throws {
        let bench = try HostBench()
        let nested = try NestedDomain(parent: bench.parent(), firstStage: FirstStage(root: 0))
        let plain = try bench.plainDomain()
        #expect(throws: IOMMUError.notNestParent) { try NestedDomain(parent: plain, firstStage: FirstStage(root: 0)) }
        #expect(nested.parent.kind == .paging)
    }

    @Test func whatIsWrongWithAFirstStageIsSaid() throws {
        let bench = try HostBench()
        let parent = try bench.parent()
        func refusal(_ firstStage: FirstStage) -> IOMMUError? {
            do throws(IOMMUError) {
                _ = try NestedDomain(parent: parent, firstStage: firstStage)
                return nil
            } catch {
                return error
            }
        }
        for width in [39, 0, -1, 64, 49, Int.max] {
            let error = refusal(FirstStage(root: 0, addressWidth: width))
            #expect(error == .invalidArgument)
            #expect(error?.detail?.contains("\(width)") == true)
        }
        #expect(refusal(FirstStage(root: 0, options: .init(rawValue: 8))) == .invalidArgument)
        #expect(refusal(FirstStage(root: 0, options: .init(rawValue: 1 << 63))) == .invalidArgument)
        #expect(refusal(FirstStage(root: 0x800)) == .misaligned)
        #expect(refusal(FirstStage(root: 0x1000)) == nil)
    }

    @Test(arguments: [
        ("CAP.FS5LP", 57, FirstStage.Options()), ("ECAP.SRS", 48, .supervisorRequests),
        ("ECAP.EAFS", 48, .extendedAccessed),
    ])
    func aFeatureThatTheUnitLacksIsNamed(_ field: String, _ width: Int, _ options: FirstStage.Options) throws {
        let bench = try HostBench(
            capabilities: Capabilities(basedOn: .full) {
                $0.firstStage5Level = field != "CAP.FS5LP"
                $0.supervisorRequests = field != "ECAP.SRS"
                $0.extendedAccessedFlag = field != "ECAP.EAFS"
            })
        let parent = try bench.parent()
        let firstStage = FirstStage(root: 0, addressWidth: width, options: options)
        do throws(IOMMUError) {
            _ = try NestedDomain(parent: parent, firstStage: firstStage)
            Issue.record("made without \(field)")
        } catch {
            #expect(error == .unsupported)
            #expect(error.detail?.contains(field) == true)
        }
        _ = try NestedDomain(parent: parent, firstStage: FirstStage(root: 0))
    }

    @Test func theUnitsDomainsMayRunOut() throws {
        var configuration = TestBench.smallCaches
        configuration.domains = 2
        let bench = try HostBench(configuration: configuration)
        let parent = try bench.parent()
        var nested: NestedDomain? = try NestedDomain(parent: parent, firstStage: FirstStage(root: 0))
        #expect(throws: IOMMUError.noSpace) { try NestedDomain(parent: parent, firstStage: FirstStage(root: 0)) }
        #expect(throws: IOMMUError.noSpace) { try bench.parent() }
        #expect(nested != nil)
        nested = nil
        _ = try NestedDomain(parent: parent, firstStage: FirstStage(root: 0))
    }

    @Test func invalidationsFromInsideASectionAreRefused() throws {
        let nested = try NestedBench()
        let other = try HostBench()
        let domain = try nested.domain()
        try nested.bench.port.withSection { () throws in
            let port = nested.bench.port
            #expect(throws: IOMMUError.inSection) { try domain.invalidateAll(port: port) }
        }
        #expect(throws: IOMMUError.invalidArgument) { try domain.invalidateAll(port: other.port) }
        try domain.invalidateAll(port: nested.bench.port)
    }
}
