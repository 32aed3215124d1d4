// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Spaces from end to end: what a device behind a domain reaches through a port.

import IOMMU
import IOMMUTestSupport
import Testing

extension PagingDomainTests {
    private static let source = SourceID(bus: 1, device: 2, function: 0)

    /// A unit, a space, a domain over it and a device that it is attached to.
    private struct Path {
        let unit: RemappingUnit
        let space: IOAddressSpace
        let domain: PagingDomain
        let device: Device
        let port: Port

        init(_ memory: GuestMemory, options: PagingDomain.Options = [], drainTimeout: Duration = .seconds(1)) throws {
            var configuration = TestBench.smallCaches
            configuration.drainTimeout = drainTimeout
            unit = try RemappingUnit(capabilities: .full, memory: memory, configuration: configuration)
            space = try IOAddressSpace(memory: memory)
            domain = try PagingDomain(unit: unit, space: space, options: options)
            device = try Device(id: 1, sourceID: PagingDomainTests.source, in: unit)
            try device.attach(domain)
            port = try unit.makePort()
        }

        func write(_ byte: UInt8, at iova: IOVA) throws -> CopyProgress {
            let bytes = [byte]
            return try port.write(bytes.span, to: iova, source: PagingDomainTests.source)
        }

        func reason(_ iova: IOVA, _ access: AccessRights) throws -> FaultReason? {
            try port.translate(iova, access: access, source: PagingDomainTests.source).fault?.reason
        }
    }

    @Test func deviceReachesHostMemoryAsLongAsItIsMapped() throws {
        let host = HostMemory(0x3000)
        unsafe host.bytes().initializeMemory(as: UInt8.self, repeating: 0)
        let path = try Path(memory)
        let iova = try path.space.map(host.source(), length: 0x3000, rights: [.read, .write])
        #expect(try path.write(7, at: IOVA(iova.rawValue + 0x1234)).end == .complete)
        #expect(unsafe host.bytes()[0x1234] == 7)
        try path.space.protect(IOVA(iova.rawValue + 0x1000), length: 0x1000, rights: .read)
        #expect(try path.reason(IOVA(iova.rawValue + 0x1234), .write) == .permission)
        #expect(try path.reason(IOVA(iova.rawValue + 0x234), .write) == nil)
        try path.space.unmapAll()
        #expect(try path.reason(iova, .read) == .notPresent)
        #expect(try host.output(in: memory) == nil)
    }

    @Test func unmapThatASectionOutlastsSaysSo() throws {
        let host = HostMemory(0x1000)
        unsafe host.bytes().initializeMemory(as: UInt8.self, repeating: 5)
        let path = try Path(memory, drainTimeout: .zero)
        let iova = try path.space.map(host.source(), length: 0x1000, rights: .read)
        let source = PagingDomainTests.source
        try path.port.withSection { () throws in
            #expect(try path.reason(iova, .read) == nil)
            _ = #expect(throws: IOMMUError.timedOut) { try path.space.unmapAll() }
            #expect(path.space.areaCount == 0 && path.domain.statistics.mappedBytes == 0)
        }
        try memory.drain()
        #expect(try path.port.translate(iova, access: .read, source: source).fault?.reason == .notPresent)
    }

    @Test func writtenPagesAreDirtyOnce() throws {
        let host = HostMemory(0x20_0000, alignment: 0x20_0000)
        let path = try Path(memory, options: .dirtyTracking)
        _ = try path.space.map(host.source(), length: 0x20_0000, at: 0x20_0000, rights: [.read, .write])
        _ = try path.write(1, at: 0x20_0000)
        try path.domain.startDirtyTracking()
        _ = try path.write(2, at: 0x20_3000)
        _ = try path.write(3, at: 0x3f_ffff)
        var total = try path.domain.readDirty(0x20_0000, length: 0x20_0000, clear: false)
        #expect(Array(total.dirtyPages) == [0x20_3000, 0x3f_f000])
        let again = try path.domain.readDirty(0x20_0000, length: 0x20_0000, pageSize: 0x4000)
        #expect(Array(again.dirtyPages) == [0x20_0000, 0x3f_c000])
        #expect(try path.domain.readDirty(0x20_0000, length: 0x20_0000).isEmpty)
        _ = try path.write(4, at: 0x20_3000)
        _ = try path.write(4, at: 0x20_5000)
        try path.domain.readDirty(into: &total)
        #expect(Array(total.dirtyPages) == [0x20_3000, 0x20_5000, 0x3f_f000])
        try path.domain.stopDirtyTracking()
        #expect(throws: IOMMUError.notTracking) { try path.domain.readDirty(0x20_0000, length: 0x1000) }
    }

    @Test func domainsOfTwoUnitsReachTheSameMemory() throws {
        let host = HostMemory(0x1000)
        unsafe host.bytes().initializeMemory(as: UInt8.self, repeating: 0)
        let first = try Path(memory)
        let unit = try RemappingUnit(capabilities: .full, memory: memory, configuration: TestBench.smallCaches)
        let domain = try PagingDomain(unit: unit, space: first.space)
        let device = try Device(id: 1, sourceID: PagingDomainTests.source, in: unit)
        try device.attach(domain)
        let port = try unit.makePort()
        let iova = try first.space.map(host.source(), length: 0x1000, rights: [.read, .write])
        _ = try first.write(9, at: iova)
        let source = PagingDomainTests.source
        let output = try #require(first.space.area(holding: iova)?.output)
        #expect(try port.translate(iova, access: .read, source: source).translation?.address == output)
        try first.space.unmap(iova, length: 0x1000)
        #expect(try port.translate(iova, access: .read, source: source).fault?.reason == .notPresent)
        #expect(unsafe host.bytes()[0] == 9)
    }
}
