// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Paging domains: filled directly, and as mirrors of a space.

import IOMMU
import IOMMUTestSupport
import Testing

@Suite struct PagingDomainTests {
    let memory: GuestMemory
    let unit: RemappingUnit

    init() throws {
        memory = try GuestMemory()
        unit = try RemappingUnit(
            capabilities: .full, memory: memory, configuration: TestBench.smallCaches)
    }

    /// The mappings joined to runs of equal rights: input, output, length.
    struct Run: Hashable {
        var iova: UInt64
        var output: UInt64
        var length: UInt64
        var rights: AccessRights
    }

    func runs(_ domain: PagingDomain) -> [Run] {
        var runs: [Run] = []
        for mapping in domain.mappings {
            let next = Run(
                iova: mapping.iova.rawValue, output: mapping.output.rawValue, length: mapping.length,
                rights: mapping.rights)
            if let last = runs.last, last.iova + last.length == next.iova, last.output + last.length == next.output,
                last.rights == next.rights
            {
                runs[runs.count - 1].length += next.length
            } else {
                runs.append(next)
            }
        }
        return runs
    }

    func runs(_ space: IOAddressSpace) -> [Run] {
        var runs: [Run] = []
        for area in space.areas {
            let next = Run(
                iova: area.first.rawValue, output: area.output.rawValue, length: area.length, rights: area.rights)
            if let last = runs.last, last.iova + last.length == next.iova, last.output + last.length == next.output,
                last.rights == next.rights
            {
                runs[runs.count - 1].length += next.length
            } else {
                runs.append(next)
            }
        }
        return runs
    }

    // MARK: Filled directly

    @Test func mappingIsWhatWasMapped() throws {
        let domain = try PagingDomain(unit: unit)
        #expect(domain.kind == .paging && domain.unit === unit && domain.space == nil)
        #expect(domain.addressWidth == 48 && domain.options.isEmpty)
        #expect(Array(domain.mappings).isEmpty)
        try domain.map(0x1000, to: 0x8000, length: 0x2000, rights: .read)
        try domain.map(0x20_0000, to: 0x4020_0000, length: 0x20_0000, rights: [.read, .write])
        let mappings = Array(domain.mappings)
        #expect(mappings.map(\.iova) == [0x1000, 0x2000, 0x20_0000])
        #expect(mappings.map(\.output) == [0x8000, 0x9000, 0x4020_0000])
        #expect(mappings.map(\.page) == [.fourKiB, .fourKiB, .twoMiB])
        #expect(mappings.map(\.length) == [0x1000, 0x1000, 0x20_0000])
        #expect(mappings.map(\.rights) == [.read, .read, [.read, .write]])
        #expect(domain.firstMapping(endingAbove: 0x2fff)?.iova == 0x2000)
        #expect(domain.firstMapping(endingAbove: 0x3000)?.iova == 0x20_0000)
        #expect(domain.firstMapping(endingAbove: 0x40_0000) == nil)
        let statistics = domain.statistics
        #expect(statistics.mappedBytes == 0x20_2000 && statistics.attachments == 0 && statistics.children == 0)
        #expect(statistics.smallPages == 2 && statistics.largePages == 1 && statistics.hugePages == 0)
        #expect(statistics.tables > 0)
    }

    @Test func unmapAndProtectSplitLargePages() throws {
        let domain = try PagingDomain(unit: unit)
        try domain.map(0x20_0000, to: 0x20_0000, length: 0x20_0000, rights: [.read, .write])
        #expect(try domain.unmap(0x20_3000, length: 0x1000) == 0x1000)
        #expect(try domain.unmap(0x20_3000, length: 0x1000) == 0)
        try domain.protect(0x20_0000, length: 0x1000, rights: .read)
        #expect(domain.statistics.smallPages == 511)
        #expect(domain.firstMapping(endingAbove: 0x20_0000)?.rights == .read)
        let error = #expect(throws: IOMMUError.notFound) {
            try domain.protect(0x20_2000, length: 0x2000, rights: .read)
        }
        #expect(error != nil)
        #expect(try domain.unmapAll() == 0x1f_f000)
        #expect(Array(domain.mappings).isEmpty)
    }

    @Test func badRequestsAreRefused() throws {
        let domain = try PagingDomain(unit: unit)
        try domain.map(0x1000, to: 0, length: 0x1000, rights: .read)
        func refuse(
            _ error: IOMMUError, _ iova: IOVA, _ output: OutputAddress = 0, _ length: UInt64 = 0x1000,
            _ rights: AccessRights = .read, line: SourceLocation = #_sourceLocation
        ) {
            #expect(throws: error, sourceLocation: line) {
                try domain.map(iova, to: output, length: length, rights: rights)
            }
        }
        refuse(.overlap, 0x0, 0, 0x3000)
        refuse(.misaligned, 0x800)
        refuse(.misaligned, 0x2000, 0x800)
        refuse(.misaligned, 0x2000, 0, 0x800)
        refuse(.outOfRange, 0x1_0000_0000_0000)
        refuse(.outOfRange, 0x2000, 0x10_0000_0000_0000)
        refuse(.invalidArgument, 0x2000, 0, 0x1000, [])
        refuse(.invalidArgument, 0x2000, 0, 0x1000, .execute)
        refuse(.wraps, IOVA(UInt64.max - 0xfff), 0, 0x2000)
        #expect(domain.statistics.mappedBytes == 0x1000)
        let stranger = try RemappingUnit(
            capabilities: .full, memory: memory, configuration: TestBench.smallCaches
        ).makePort()
        #expect(throws: IOMMUError.invalidArgument) { try domain.unmap(0x1000, length: 0x1000, port: stranger) }
        let port = try unit.makePort()
        port.withSection {
            _ = #expect(throws: IOMMUError.inSection) { try domain.unmap(0x1000, length: 0x1000, port: port) }
        }
        #expect(try domain.unmap(0x1000, length: 0x1000, port: port) == 0x1000)
    }

    @Test func whatTheUnitDoesNotOfferIsRefused() throws {
        for width in [0, 40, -1, 64, 1 << 40] {
            #expect(throws: IOMMUError.invalidArgument) { try PagingDomain(unit: unit, addressWidth: width) }
        }
        let poor = try RemappingUnit(
            capabilities: Capabilities { builder in
                try? builder.set("CAP.SSLPS", to: 1)
                try? builder.set("ECAP.SSADS", to: 0)
            }, memory: memory, configuration: TestBench.smallCaches)
        #expect(throws: IOMMUError.unsupported) { try PagingDomain(unit: poor, largestPage: .oneGiB) }
        #expect(throws: IOMMUError.unsupported) { try PagingDomain(unit: poor, options: .dirtyTracking) }
        #expect(throws: IOMMUError.invalidArgument) { try PagingDomain(unit: unit, options: [.init(rawValue: 4)]) }
        var configuration = TestBench.smallCaches
        configuration.domains = 1
        let small = try RemappingUnit(
            capabilities: .full, memory: memory, configuration: configuration)
        let only = try PagingDomain(unit: small)
        #expect(throws: IOMMUError.noSpace) { try PagingDomain(unit: small) }
        extendLifetime(only)
    }

    @Test func largestPageLimitsThePages() throws {
        let domain = try PagingDomain(unit: unit, largestPage: .twoMiB)
        try domain.map(0x4000_0000, to: 0x4000_0000, length: 0x4000_0000, rights: .read)
        #expect(domain.statistics.largePages == 512 && domain.statistics.hugePages == 0)
        let other = try PagingDomain(unit: unit)
        try other.map(0x4000_0000, to: 0x4000_0000, length: 0x4000_0000, rights: .read)
        #expect(other.statistics.hugePages == 1)
    }

    // MARK: As a mirror

    @Test func domainHasTheMappingsOfItsSpaceFromTheStart() throws {
        let space = try IOAddressSpace(memory: memory)
        _ = try space.map(.output(0x10_0000), length: 0x3000, at: 0x1000, rights: .read)
        let domain = try PagingDomain(unit: unit, space: space)
        #expect(domain.space === space)
        #expect(space.reservedRanges == [0xfee0_0000...0xfeef_ffff, 0x1_0000_0000_0000...IOVA.max])
        #expect(runs(domain) == runs(space))
        _ = try space.map(.output(0x20_0000), length: 0x40_0000, rights: [.read, .write])
        try space.protect(0x2000, length: 0x1000, rights: .write)
        #expect(runs(domain) == runs(space) && runs(domain).count == 4)
        try space.unmap(0x1000, length: 0x1000)
        #expect(runs(domain) == runs(space))
        try space.unmapAll()
        #expect(Array(domain.mappings).isEmpty)
    }

    @Test func domainOverASpaceIsNotFilledDirectly() throws {
        let space = try IOAddressSpace(memory: memory)
        let domain = try PagingDomain(unit: unit, space: space)
        let error = #expect(throws: IOMMUError.inUse) { try domain.map(0, to: 0, length: 0x1000, rights: .read) }
        #expect(error?.detail?.contains("follows its space") == true)
        #expect(throws: IOMMUError.inUse) { try domain.unmap(0, length: 0x1000) }
        #expect(throws: IOMMUError.inUse) { try domain.unmapAll() }
        #expect(throws: IOMMUError.inUse) { try domain.protect(0, length: 0x1000, rights: .read) }
    }

    @Test func spaceThatDoesNotFitIsRefusedAndUntouched() throws {
        let stranger = try IOAddressSpace(memory: GuestMemory())
        expectRefusal(.otherUnit, naming: "memory map", in: stranger) {
            _ = try PagingDomain(unit: unit, space: stranger)
        }
        let space = try IOAddressSpace(memory: memory)
        _ = try space.map(.output(0), length: 0x1000, at: 0xfee0_1000, rights: .read)
        expectRefusal(.inUse, naming: "0xfee01000", in: space) { _ = try PagingDomain(unit: unit, space: space) }
        try space.unmapAll()
        _ = try space.map(.output(0), length: 0x1000, at: 0x80_0000_0000, rights: .read)
        expectRefusal(.inUse, naming: "39 address bits", in: space) {
            _ = try PagingDomain(unit: unit, space: space, addressWidth: 39)
        }
        try space.unmapAll()
        _ = try space.map(.output(0x10_0000_0000_0000), length: 0x1000, at: 0, rights: .read)
        expectRefusal(.outOfRange, in: space) { _ = try PagingDomain(unit: unit, space: space) }
        try space.unmapAll()
        let small = try IOAddressSpace(memory: memory, granule: 2048)
        _ = try small.map(.output(0), length: 2048, at: 0, rights: .read)
        expectRefusal(.misaligned, in: small) { _ = try PagingDomain(unit: unit, space: small) }
    }

    @Test func reservationsGoWithTheDomain() throws {
        let space = try IOAddressSpace(memory: memory)
        do {
            let domain = try PagingDomain(unit: unit, space: space, addressWidth: 39)
            extendLifetime(domain)
        }
        #expect(space.reservedRanges.isEmpty && space.alignment == 4096)
        _ = try space.map(.output(0), length: 0x1000, at: 0xfee0_0000, rights: .read)
    }

    @Test func domainsOfTwoUnitsFollowOneSpaceOrNeither() throws {
        var configuration = TestBench.smallCaches
        configuration.ports = 2
        let narrow = try RemappingUnit(
            capabilities: Capabilities { $0.hostAddressWidth = 46 }, memory: memory, configuration: configuration)
        let space = try IOAddressSpace(memory: memory)
        let domains = try [PagingDomain(unit: unit, space: space), PagingDomain(unit: narrow, space: space)]
        _ = try space.map(.output(0x1000), length: 0x3000, at: 0x1000, rights: .read)
        #expect(domains.allSatisfy { runs($0) == runs(space) })
        expectRefusal(.outOfRange, in: space) {
            _ = try space.map(.output(0x4000_0000_0000), length: 0x1000, at: 0x10_0000, rights: .read)
        }
        #expect(domains.allSatisfy { runs($0) == runs(space) })
    }

    @Test func domainAgreesWithItsSpaceThroughRandomChanges() throws {
        var random = SeededGenerator.forTest()
        let space = try IOAddressSpace(memory: memory)
        let domain = try PagingDomain(unit: unit, space: space)
        for step in 0..<300 {
            let iova = IOVA(UInt64(random.below(2048)) << 12)
            let length = UInt64(1 + random.below(random.oneIn(3) ? 1024 : 8)) << 12
            let rights: AccessRights = random.pick([.read, .write, [.read, .write]])
            switch random.below(4) {
            // Equal output addresses make large pages, which later operations cut.
            case 0...1:
                _ = try? space.map(.output(OutputAddress(iova.rawValue)), length: length, at: iova, rights: rights)
            case 2: _ = try? space.protect(iova, length: length, rights: rights)
            default: _ = try? space.unmap(iova, length: length)
            }
            #expect(runs(domain) == runs(space), "seed \(random.seed), step \(step)")
            #expect(domain.statistics.mappedBytes == space.mappedBytes, "seed \(random.seed), step \(step)")
        }
    }

    // MARK: Dirty tracking

    @Test func dirtyTrackingNeedsItsOptionAndItsStart() throws {
        let plain = try PagingDomain(unit: unit)
        #expect(throws: IOMMUError.unsupported) { try plain.startDirtyTracking() }
        #expect(throws: IOMMUError.notTracking) { try plain.readDirty(0, length: 0x1000) }
        let domain = try PagingDomain(unit: unit, options: .dirtyTracking)
        #expect(throws: IOMMUError.notTracking) { try domain.readDirty(0, length: 0x1000) }
        try domain.stopDirtyTracking()
        try domain.map(0x20_0000, to: 0x20_0000, length: 0x20_0000, rights: [.read, .write])
        try domain.startDirtyTracking()
        #expect(domain.statistics.smallPages == 512)
        let bitmap = try domain.readDirty(0, length: 0x40_0000)
        #expect(bitmap.isEmpty && bitmap.pageCount == 1024 && bitmap.isSettled)
        #expect(domain.mappings.allSatisfy { !$0.isDirty })
        #expect(throws: IOMMUError.outOfRange) { try domain.readDirty(0, length: 1 << 49) }
        #expect(throws: IOMMUError.misaligned) { try domain.readDirty(0x1000, length: 0x2000, pageSize: 0x2000) }
        try domain.stopDirtyTracking()
        #expect(domain.statistics.largePages == 1)
        #expect(domain.mappings.allSatisfy { $0.isDirty })
    }

    @Test func readKeepsTheBitsThatAreThere() throws {
        let domain = try PagingDomain(unit: unit, options: .dirtyTracking)
        try domain.map(0, to: 0, length: 0x4000, rights: [.read, .write])
        try domain.startDirtyTracking(splittingLargePages: false)
        var bitmap = try DirtyBitmap(base: 0, length: 0x4000)
        bitmap.insert(0x2000)
        try domain.readDirty(into: &bitmap, clear: false)
        #expect(Array(bitmap.dirtyPages) == [0x2000])
    }
}
