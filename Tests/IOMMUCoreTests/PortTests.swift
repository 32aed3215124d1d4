// SPDX-License-Identifier: LGPL-2.1-or-later
//
// What a device model does through a port: translate, access, copy. The guest is a legacy-mode one of a few pages.

import IOMMU
import Testing

/// A guest whose device 00:07.0 sees 512 pages from input address 0 on, through one leaf table at 0x5000.
@safe final class PortTestGuest {
    static let source = SourceID(bus: 0, device: 7, function: 0)
    /// Output addresses: memory from 0 on, one read-only page, and nothing.
    static let size = 0x20_0000
    static let readOnlyPage: UInt64 = 0x40_0000
    static let missingPage: UInt64 = 0x80_0000

    let memory: GuestMemory
    let unit: RemappingUnit
    let ram: UnsafeMutableRawBufferPointer
    let rom: UnsafeMutableRawBufferPointer

    init(_ configuration: RemappingUnit.Configuration = .init()) throws {
        unsafe ram = .allocate(byteCount: Self.size, alignment: 4096)
        unsafe rom = .allocate(byteCount: 4096, alignment: 4096)
        for byte in unsafe ram.indices { unsafe ram[byte] = 0 }
        for byte in unsafe rom.indices { unsafe rom[byte] = 0x5a }
        memory = try GuestMemory()
        unit = try RemappingUnit(capabilities: .full, memory: memory, configuration: configuration)
        try unsafe memory.add(ram, at: 0)
        try unsafe memory.add(rom, at: OutputAddress(Self.readOnlyPage), rights: .read)
        store(0x2001, at: 0x1000)  // root entry of bus 0
        store(0x3001, at: 0x2380)  // context entry of 00:07.0: second stage, 39 bits, domain 1
        store(0x0101, at: 0x2388)
        store(0x4003, at: 0x3000)
        store(0x5003, at: 0x4000)
        try unit.setRootTable(0x1000)
        try unit.setTranslation(enabled: true)
    }

    deinit {
        unsafe ram.deallocate()
        unsafe rom.deallocate()
    }

    func store(_ word: UInt64, at address: Int) {
        unsafe ram.storeBytes(of: word, toByteOffset: address, as: UInt64.self)
    }

    func load(at address: Int) -> UInt64 {
        unsafe ram.load(fromByteOffset: address, as: UInt64.self)
    }

    /// Maps an input page without telling the unit. Rights: 1 read, 2 write.
    func map(_ page: Int, to output: UInt64, rights: UInt64 = 3) {
        store(output | rights, at: 0x5000 + 8 * page)
    }

    /// Tells the unit that everything of the device's domain changed.
    func flush() throws {
        try unit.invalidate(descriptor: .iotlb(domain: 1))
    }
}

@Suite struct PortTests {
    let source = PortTestGuest.source

    @Test func mappedAddressTranslates() throws {
        let guest = try PortTestGuest()
        guest.map(3, to: 0x1_0000)
        let port = try guest.unit.makePort()
        let translation = try #require(try port.translate(0x3123, access: .read, source: source).translation)
        #expect(translation.address == 0x1_0123)
        #expect(translation.pageSizeLog2 == 12 && translation.mask == 0xfff)
        #expect(translation.rights == [.read, .write])
        #expect(translation.contiguousBytes == 0xedd)
    }

    @Test func firstLevelAnswersAsTheWalkDid() throws {
        let guest = try PortTestGuest()
        guest.map(3, to: 0x1_0000)
        let port = try guest.unit.makePort()
        let first = try port.translate(0x3123, access: .write, source: source)
        let before = guest.unit.statistics
        #expect(try port.translate(0x3123, access: .write, source: source) == first)
        let after = guest.unit.statistics
        #expect(after.firstLevelHits == before.firstLevelHits + 1)
        #expect(after.walks == before.walks)
        #expect(try port.translate(0x3123, access: .write, source: source, options: .noCache) == first)
        #expect(try guest.unit.translate(0x3123, access: .write, source: source) == first)
    }

    @Test func unitWithoutCachesAnswersTheSame() throws {
        let guest = try PortTestGuest(.noCache)
        guest.map(3, to: 0x1_0000)
        let port = try guest.unit.makePort()
        for _ in 0..<3 {
            #expect(try port.translate(0x3123, access: .read, source: source).translation?.address == 0x1_0123)
        }
        #expect(guest.unit.statistics.firstLevelHits == 0)
    }

    @Test func faultIsAResultAndIsRecorded() throws {
        let guest = try PortTestGuest()
        let port = try guest.unit.makePort()
        let fault = try #require(try port.translate(0x7008, access: .read, source: source).fault)
        #expect(fault.reason == .permission && fault.code == 6 && fault.stage == .second && fault.level == 0)
        #expect(fault.found.isEmpty, "legacy mode has one code for no mapping and no right")
        #expect(fault.source == source && fault.pasid == nil && fault.access == .read && fault.address == 0x7008)
        #expect(fault.entryAddress == 0x5038 && fault.isRecorded)
        #expect(fault.codeName == "LGN.3" && !fault.codeText.isEmpty)
        #expect(port.takeFaults() == ([fault], 0))
        #expect(port.takeFaults().faults.isEmpty)
        _ = try port.translate(0x7008, access: .read, source: source, options: .noFault)
        _ = try port.translate(0x7008, access: [], source: source)
        #expect(port.takeFaults().faults.isEmpty)
    }

    @Test func fullFaultRingCountsLosses() throws {
        var configuration = RemappingUnit.Configuration()
        configuration.faultEntries = 4
        let guest = try PortTestGuest(configuration)
        let port = try guest.unit.makePort()
        for page in 0..<7 {
            _ = try port.translate(IOVA(UInt64(page) << 12), access: .read, source: source)
        }
        let (faults, lost) = port.takeFaults(max: 100)
        #expect(faults.map(\.address.rawValue) == [0, 0x1000, 0x2000, 0x3000])
        #expect(lost == 3)
        #expect(guest.unit.statistics.faultsLost == 3)
    }

    @Test func interruptMessageIsNotDMA() throws {
        let guest = try PortTestGuest()
        let port = try guest.unit.makePort()
        #expect(try port.translate(0xfee0_1000, access: .write, source: source) == .interrupt(0xfee0_1000))
        try port.withAccess(to: 0xfee0_1000, count: 4, access: .write, source: source) { segments in
            #expect(segments.isInterrupt && segments.count == 0 && !segments.isComplete)
        }
    }

    @Test func misuseIsAnError() throws {
        let guest = try PortTestGuest()
        let port = try guest.unit.makePort()
        #expect(throws: IOMMUError.invalidArgument) { try port.translate(0, access: .read, source: SourceID(0x1_0000)) }
        #expect(throws: IOMMUError.invalidArgument) {
            try port.translate(0, access: AccessRights(rawValue: 17), source: source)
        }
        #expect(throws: IOMMUError.wraps) {
            try port.withAccess(to: .max, count: 2, access: .read, source: source) { _ in }
        }
        #expect(throws: Never.self) { try guest.unit.drain() }
    }

    @Test func batchAnswersInOrder() throws {
        let guest = try PortTestGuest()
        for page in 0..<40 where page % 3 != 0 { guest.map(page, to: 0x1_0000 + UInt64(page) << 12) }
        let port = try guest.unit.makePort()
        let requests = (0..<40).map { Request(source: source, iova: IOVA(UInt64($0) << 12), access: .read) }
        let results = try port.translate(requests)
        for (request, result) in zip(requests, results) {
            let single = try port.translate(request.iova, access: .read, source: source)
            #expect(single.translation == result.translation)
            #expect(single.fault?.code == result.fault?.code)
        }
        var kept: [TranslationResult] = []
        let bad = Request(source: SourceID(0x1_0000), iova: 0, access: .read)
        #expect(throws: IOMMUError.invalidArgument) {
            try port.translate(requests[0..<20] + [bad] + requests, appendingTo: &kept)
        }
        #expect(kept.map(\.translation) == results[0..<20].map(\.translation))
    }

    @Test func accessReachesHostMemory() throws {
        let guest = try PortTestGuest()
        guest.map(3, to: 0x1_0000)
        guest.store(0x1122_3344_5566_7788, at: 0x1_0100)
        let port = try guest.unit.makePort()
        for _ in 0..<2 {  // a walk, then a hit
            let word = try port.withAccess(to: 0x3100, count: 8, access: .read, source: source) { segments in
                #expect(segments.count == 1 && segments.isComplete && segments.fault == nil)
                #expect(segments[0].address == 0x1_0100 && segments[0].count == 8 && segments[0].isReachable)
                return unsafe segments.bytes(of: 0)?.unsafeLoadUnaligned(as: UInt64.self)
            }
            #expect(word == 0x1122_3344_5566_7788)
        }
        try port.withAccess(to: 0x3100, count: 8, access: .write, source: source) { segments in
            segments.withMutableBytes(of: 0) { $0.storeBytes(of: 7, as: UInt64.self) }
        }
        #expect(guest.load(at: 0x1_0100) == 7)
    }

    @Test func adjacentPagesBecomeOnePieceAndOthersDoNot() throws {
        let guest = try PortTestGuest()
        guest.map(0, to: 0x1_0000)
        guest.map(1, to: 0x1_1000)
        guest.map(2, to: 0x1_8000)
        let port = try guest.unit.makePort()
        try port.withAccess(to: 0x800, count: 0x2000, access: .read, source: source) { segments in
            #expect(segments.indices.map { segments[$0].address } == [0x1_0800, 0x1_8000])
            #expect(segments.indices.map { segments[$0].count } == [0x1800, 0x800])
            #expect(segments.bytesCovered == 0x2000)
        }
    }

    @Test func faultEndsThePieces() throws {
        let guest = try PortTestGuest()
        guest.map(0, to: 0x1_0000)
        let port = try guest.unit.makePort()
        try port.withAccess(to: 0x100, count: 0x2000, access: .write, source: source) { segments in
            #expect(segments.bytesCovered == 0xf00 && segments.bytesRequested == 0x2000 && !segments.isComplete)
            #expect(segments.fault?.address == 0x1000 && segments.fault?.code == 5)
        }
    }

    @Test func pieceWithoutMemoryIsNotReachable() throws {
        let guest = try PortTestGuest()
        guest.map(0, to: PortTestGuest.missingPage)
        guest.map(1, to: PortTestGuest.readOnlyPage)
        let port = try guest.unit.makePort()
        for _ in 0..<2 {
            try port.withAccess(to: 0, count: 8, access: .read, source: source) { segments in
                #expect(segments.isComplete && !segments[0].isReachable && segments.bytes(of: 0) == nil)
            }
            try port.withAccess(to: 0x1000, count: 8, access: .write, source: source) { segments in
                #expect(!segments[0].isReachable)
                #expect(unsafe segments.withUnsafeMutableBytes(of: 0) { _ in true } == nil)
            }
            try port.withAccess(to: 0x1000, count: 8, access: .read, source: source) { segments in
                #expect(unsafe segments.withUnsafeBytes(of: 0) { unsafe $0[0] } == 0x5a)
            }
        }
    }

    @Test func longRequestIsCoveredAndNestedAccessKeepsIt() throws {
        let guest = try PortTestGuest()
        for page in 0..<512 { guest.map(page, to: 0x1_0000 + UInt64(page * 7 % 64) << 12) }
        let port = try guest.unit.makePort()
        try port.withAccess(to: 0, count: 512 << 12, access: .read, source: source) { outer in
            #expect(outer.count == 512 && outer.isComplete)
            try port.withAccess(to: 0x800, count: 300 << 12, access: .read, source: source) { inner in
                #expect(inner.count == 301 && inner.isComplete)
            }
            for page in outer.indices {
                #expect(outer[page].address.rawValue == 0x1_0000 + UInt64(page * 7 % 64) << 12)
                #expect(outer[page].iova.rawValue == UInt64(page) << 12)
            }
        }
    }

    @Test func emptyRequestHasNoPieces() throws {
        let guest = try PortTestGuest()
        let port = try guest.unit.makePort()
        try port.withAccess(to: 0, count: 0, access: .read, source: source) { segments in
            #expect(segments.count == 0 && segments.isComplete && segments.fault == nil)
        }
    }

    @Test func copiesGoThroughTheTables() throws {
        let guest = try PortTestGuest()
        guest.map(0, to: 0x1_8000)
        guest.map(1, to: 0x1_0000)
        let port = try guest.unit.makePort()
        let sent = (0..<0x1000).map { UInt8(truncatingIfNeeded: $0 * 31) }
        #expect(try port.write(sent.span, to: 0x800, source: source) == CopyProgress(count: 0x1000, end: .complete))
        #expect(unsafe guest.ram[0x1_0000] == sent[0x800])
        var received = [UInt8](repeating: 0, count: 0x1000)
        var span = received.mutableSpan
        #expect(try port.read(into: &span, from: 0x800, source: source).isComplete)
        #expect(received == sent)
    }

    @Test func copyStopsWhereItMust() throws {
        let guest = try PortTestGuest()
        guest.map(0, to: 0x1_0000)
        guest.map(2, to: PortTestGuest.readOnlyPage)
        guest.map(3, to: PortTestGuest.missingPage)
        let port = try guest.unit.makePort()
        let bytes = [UInt8](repeating: 1, count: 0x1000)
        let fault = try port.write(bytes.span, to: 0x800, source: source)
        #expect(fault.count == 0x800 && fault.fault?.address == 0x1000)
        #expect(try port.write(bytes.span, to: 0x2000, source: source).end == .readOnly)
        #expect(try port.write(bytes.span, to: 0x3000, source: source).end == .noHostMemory)
        #expect(try port.write(bytes.span, to: 0xfee0_0000, source: source).end == .interrupt)
    }

    @Test func compareExchangeStoresOnlyWhenEqual() throws {
        let guest = try PortTestGuest()
        guest.map(0, to: 0x1_0000)
        guest.store(0xffff_ffff_0000_0005, at: 0x1_0040)
        let port = try guest.unit.makePort()
        let miss = try port.compareExchange(at: 0x40, expected: 4 as UInt32, desired: 9, source: source)
        #expect(!miss.exchanged && miss.original == 5)
        let hit = try port.compareExchange(at: 0x40, expected: 5 as UInt32, desired: 9, source: source)
        #expect(hit.exchanged && hit.original == 5 && hit.progress.isComplete)
        #expect(guest.load(at: 0x1_0040) == 0xffff_ffff_0000_0009)
        #expect(throws: IOMMUError.misaligned) {
            try port.compareExchange(at: 0x41, expected: 5 as UInt32, desired: 9, source: source)
        }
        let fault = try port.compareExchange(at: 0x1000, expected: 5 as UInt64, desired: 9, source: source)
        #expect(!fault.exchanged && fault.original == nil && fault.progress.fault != nil)
    }
}
