// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Areas of host memory and of files: where it is registered, for how long, and what it permits.

import Glibc
import IOMMU
import IOMMUTestSupport
import Testing

extension IOAddressSpaceTests {
    /// A file without a name, whose bytes are numbered by page.
    struct File: ~Copyable {
        let descriptor: CInt

        init(pages: Int) throws {
            var path = Array("/tmp/iommu-area-XXXXXX".utf8CString)
            descriptor = unsafe mkstemp(&path)
            try #require(descriptor >= 0)
            _ = unsafe unlink(&path)
            for page in 0..<pages {
                let bytes = [UInt8](repeating: UInt8(page + 1), count: 4096)
                try #require(unsafe pwrite(descriptor, bytes, 4096, page * 4096) == 4096)
            }
        }

        deinit {
            close(descriptor)
        }

        func byte(_ offset: Int) -> UInt8 {
            var byte: UInt8 = 0
            _ = unsafe pread(descriptor, &byte, 1, offset)
            return byte
        }
    }

    @Test func hostMemoryIsRegisteredAsLongAsItIsMapped() throws {
        let host = HostMemory(0x3000)
        let first = try space.map(host.source(), length: 0x3000, rights: .read)
        let area = try #require(space.area(holding: first))
        #expect(area.backing == .host && IOAddressSpace.defaultAutomaticOutput.contains(area.output))
        #expect(unsafe area.host == host.bytes().baseAddress)
        #expect(try host.output(in: memory) == area.output)
        // The second area uses the registration of the first, and keeps it.
        let second = try space.map(host.source(0x1000), length: 0x1000, rights: .read)
        #expect(space.area(holding: second)?.output == area.output.advanced(0x1000))
        try space.unmap(first, length: 0x3000)
        #expect(try host.output(in: memory) == area.output)
        try space.unmap(second, length: 0x1000)
        #expect(try host.output(in: memory) == nil)
    }

    @Test func registrationEndsWithTheSpace() throws {
        let host = HostMemory(0x1000)
        do {
            let brief = try IOAddressSpace(memory: memory)
            _ = try brief.map(host.source(), length: 0x1000, rights: .read)
            #expect(try host.output(in: memory) != nil)
        }
        #expect(try host.output(in: memory) == nil)
    }

    @Test func hostsOwnRegistrationIsUsedAndLeft() throws {
        let host = HostMemory(0x4000)
        try unsafe memory.add(host.bytes(), at: 0x8000)
        _ = try space.map(host.source(0x1000), length: 0x2000, at: 0x10_0000, rights: .read)
        #expect(space.area(holding: 0x10_0000)?.output == 0x9000)
        try space.unmapAll()
        #expect(try host.output(in: memory) == 0x8000)
    }

    @Test func largePagesArePossibleWhereTheLengthAllows() throws {
        let host = HostMemory(0x40_0000)
        let area = try #require(
            space.area(holding: try space.map(host.source(), length: 0x40_0000, at: 0x12_3000, rights: .read)))
        #expect(area.output.rawValue % 0x20_0000 == 0x12_3000)
        try space.unmapAll()
        try unsafe memory.add(host.bytes(), at: 0x7000)
        let iova = try space.map(host.source(), length: 0x40_0000, rights: .read)
        #expect(iova.rawValue % 0x20_0000 == 0x7000)
    }

    @Test func copyAndSplitKeepTheBackingAlive() throws {
        let host = HostMemory(0x4000)
        let other = try IOAddressSpace(memory: memory)
        let iova = try space.map(host.source(), length: 0x4000, at: 0x1000, rights: [.read, .write])
        try space.protect(0x2000, length: 0x1000, rights: .read)
        let copy = try other.copy(from: space, 0x2000, length: 0x2000, rights: .write)
        #expect(other.areaCount == 2)
        #expect(unsafe other.area(holding: copy)?.host == host.bytes(0x1000).baseAddress)
        let output = try #require(space.area(holding: iova)?.output)
        try space.unmap(0x1000, length: 0x1000)
        try space.unmap(0x2000, length: 0x1000)
        try space.unmap(0x3000, length: 0x2000)
        #expect(space.areaCount == 0)
        #expect(try host.output(in: memory) == output)
        try other.unmapAll()
        #expect(try host.output(in: memory) == nil)
    }

    @Test func refusedMapLeavesNothingRegistered() throws {
        let host = HostMemory(0x2000)
        let narrow = try IOAddressSpace(memory: memory, automaticOutput: 0x1000...0x1fff)
        func refuse(
            _ error: IOMMUError, naming words: String = "", in space: IOAddressSpace, _ source: AreaSource,
            at iova: IOVA? = nil, line: SourceLocation = #_sourceLocation
        ) throws {
            expectRefusal(error, naming: words, in: space, sourceLocation: line) {
                _ = try space.map(source, length: 0x2000, at: iova, rights: .read)
            }
            #expect(try host.output(in: memory) == nil, sourceLocation: line)
        }
        try refuse(.noSpace, naming: "0x1000...0x1fff", in: narrow, host.source())
        try refuse(.invalidArgument, naming: "4096 bytes", in: space, host.source(0, 0x1000))
        try refuse(.invalidArgument, naming: "0 bytes", in: space, unsafe .host(.init(start: nil, count: 0)))
        let odd = HostMemory(0x3000)
        try refuse(.misaligned, in: space, odd.source(4))
        try map(0x1000, 0x1000)
        try refuse(.overlap, in: space, host.source(), at: 0)
        let mirror = FakeMirror()
        let serial = try space.add(mirror)
        mirror.fail(at: 0)
        try refuse(.noMemory, in: space, host.source())
        #expect(mirror.pages == space.pages())
        space.remove(mirror: serial)
    }

    @Test func rightsGrowOnlyWithinWhatTheMemoryWasRegisteredFor() throws {
        let host = HostMemory(0x2000)
        _ = try space.map(host.source(0, 0x1000), length: 0x1000, at: 0x1000, rights: .read)
        _ = try space.map(host.source(0x1000), length: 0x1000, at: 0x2000, rights: .write)
        expectRefusal(.readOnly, naming: "0x1000...0x1fff", in: space) {
            try space.protect(0x1000, length: 0x2000, rights: [.read, .write])
        }
        expectRefusal(.readOnly, naming: "0x1000...0x1fff", in: space) {
            _ = try space.copy(from: space, 0x1000, length: 0x1000, rights: .write)
        }
        try space.protect(0x2000, length: 0x1000, rights: .read)
        try space.protect(0x2000, length: 0x1000, rights: [.read, .write])
        // A writable area of memory that is registered for reading gets a registration of its own.
        _ = try space.map(host.source(0, 0x1000), length: 0x1000, at: 0x3000, rights: .write)
        #expect(space.area(holding: 0x3000)?.output != space.area(holding: 0x1000)?.output)
        try space.unmapAll()
        #expect(try host.output(in: memory) == nil)
    }

    @Test func fileIsMappedAsLongAsAnAreaUsesIt() throws {
        let file = try File(pages: 3)
        let source = AreaSource.file(descriptor: file.descriptor, offset: 4096)
        _ = try space.map(source, length: 0x2000, at: 0x1000, rights: [.read, .write])
        let area = try #require(space.area(holding: 0x1000))
        #expect(area.backing == .file(offset: 4096))
        let bytes = try unsafe #require(area.host)
        #expect(unsafe bytes.load(as: UInt8.self) == 2)
        #expect(unsafe bytes.load(fromByteOffset: 4096, as: UInt8.self) == 3)
        unsafe bytes.storeBytes(of: 77, toByteOffset: 4096, as: UInt8.self)
        #expect(file.byte(8192) == 77)
        // A part that stays keeps the whole mapped; its offset is its own.
        try space.protect(0x2000, length: 0x1000, rights: .read)
        try space.unmap(0x1000, length: 0x1000)
        #expect(space.area(holding: 0x2000)?.backing == .file(offset: 8192))
        #expect(unsafe bytes.load(fromByteOffset: 4096, as: UInt8.self) == 77)
        let address = UInt(bitPattern: bytes)
        try space.unmapAll()
        #expect(!Self.isMapped(address))
    }

    @Test func fileIsUnmappedOnlyWhenNoSectionCanUseIt() throws {
        var configuration = RemappingUnit.Configuration()
        configuration.drainTimeout = .zero
        let unit = try RemappingUnit(
            capabilities: UnitModel.full.capabilities(), memory: memory, configuration: configuration)
        let port = try unit.makePort()
        let file = try File(pages: 1)
        _ = try space.map(.file(descriptor: file.descriptor, offset: 0), length: 0x1000, at: 0, rights: .read)
        let address = try unsafe UInt(bitPattern: #require(space.area(holding: 0)?.host))
        port.withSection {
            let error = #expect(throws: IOMMUError.timedOut) { try space.unmapAll() }
            #expect(error?.detail?.contains("drain the memory map") == true)
            #expect(space.areaCount == 0)
            #expect(Self.isMapped(address))
        }
        try memory.drain()
        #expect(!Self.isMapped(address))
    }

    @Test func fileThatCannotBeMappedIsRefusedForItsReason() throws {
        let file = try File(pages: 2)
        let readOnly = unsafe open("/proc/self/fd/\(file.descriptor)", O_RDONLY)
        var pipes: [CInt] = [0, 0]
        #expect(unsafe pipe(&pipes) == 0)
        defer { for descriptor in [readOnly] + pipes { close(descriptor) } }
        func refuse(
            _ error: IOMMUError, naming words: String, _ descriptor: CInt, _ offset: UInt64 = 0,
            _ length: UInt64 = 0x1000,
            _ rights: AccessRights = .read, line: SourceLocation = #_sourceLocation
        ) {
            expectRefusal(error, naming: words, in: space, sourceLocation: line) {
                _ = try space.map(
                    .file(descriptor: descriptor, offset: offset), length: length, at: 0x1000, rights: rights)
            }
        }
        refuse(.invalidArgument, naming: "not open", -1)
        refuse(.invalidArgument, naming: "neither", pipes[0])
        refuse(.misaligned, naming: "offset 100", file.descriptor, 100)
        refuse(.outOfRange, naming: "end of the file, at 8192", file.descriptor, 0x1000, 0x2000)
        refuse(.outOfRange, naming: "end of the file", file.descriptor, 0x4000)
        refuse(.outOfRange, naming: "end of the file", file.descriptor, UInt64.max - 0xfff)
        refuse(.readOnly, naming: "reading and writing", readOnly, 0, 0x1000, .write)
        _ = try space.map(.file(descriptor: readOnly, offset: 0), length: 0x1000, at: 0x1000, rights: .read)
        expectRefusal(.readOnly, naming: "0x1000...0x1fff", in: space) {
            try space.protect(0x1000, length: 0x1000, rights: .write)
        }
    }

    @Test func partsOfPagesOfHostMemoryAreMappedInASpaceOfASmallGranule() throws {
        let small = try IOAddressSpace(memory: memory, granule: 2048)
        let host = HostMemory(0x2000)
        let iova = try small.map(host.source(2048, 2048), length: 2048, rights: .read)
        let area = try #require(small.area(holding: iova))
        #expect(area.output.rawValue % 4096 == 2048)
        #expect(unsafe area.host == host.bytes(2048).baseAddress)
        try small.unmapAll()
        #expect(try host.output(in: memory) == nil)
    }

    /// Says whether a page of this process is mapped.
    private static func isMapped(_ address: UInt) -> Bool {
        unsafe msync(UnsafeMutableRawPointer(bitPattern: address), 4096, MS_ASYNC) == 0
    }
}

extension OutputAddress {
    fileprivate func advanced(_ offset: UInt64) -> OutputAddress { OutputAddress(rawValue + offset) }
}
