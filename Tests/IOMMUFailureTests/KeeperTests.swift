// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Host memory that cannot be unregistered for want of memory: no device reaches it, what keeps it mapped stays until the memory map is
// drained, and goes then.

import CIOMMUProbe
import IOMMU
import IOMMUTestSupport
import Testing

@Suite(.serialized, .enabled(if: probe_has_mutants()))
struct KeeperTests {
    private static let iova: IOVA = 0x1_8000_0000

    private func mapFile(_ world: HostWorld) throws {
        let source = AreaSource.file(descriptor: world.file.descriptor, offset: 0)
        try world.space.map(source, length: 0x3000, at: Self.iova, rights: [.read, .write])
    }

    private func answers(_ world: HostWorld) throws -> [OutputAddress?] {
        try [(HostWorld.source, nil), (HostWorld.shared, pasid(17))].map { source, pasid in
            try world.port.translate(Self.iova, access: .read, source: source, pasid: pasid).translation?.address
        }
    }

    private func expectTimedOut(_ words: String, _ body: () throws -> Void) {
        let error = #expect(throws: IOMMUError.timedOut) { try withoutMemory(body) }
        #expect(error?.detail?.contains(words) == true, "\(String(describing: error))")
    }

    @Test func anUnmapWithoutMemoryKeepsTheFileUntilADrain() throws {
        let world = try HostWorld()
        let clean = try world.view()
        try mapFile(world)
        #expect(MappedFile.mappings == 1)
        expectTimedOut("still registered") { try world.space.unmap(Self.iova, length: 0x3000) }
        #expect(world.space.area(holding: Self.iova) == nil, "unmapped all the same")
        #expect(try answers(world) == [nil, nil])
        #expect(MappedFile.mappings == 1, "it is registered, so it must be there")
        // A drain needs the memory too, and says so.
        #expect(throws: IOMMUError.noMemory) { try withoutMemory { try world.memory.drain() } }
        #expect(MappedFile.mappings == 1)
        try world.memory.drain()
        #expect(MappedFile.mappings == 0)
        #expect(try world.view() == clean)
        // And once more, so that nothing was forgotten.
        try mapFile(world)
        #expect(try answers(world).allSatisfy { $0 != nil })
        try world.space.unmap(Self.iova, length: 0x3000)
        #expect(try world.view() == clean)
    }

    /// Memory of the host's that is still registered may be mapped again: then it is registered on purpose.
    @Test func whatIsStillRegisteredMayBeUsedAgain() throws {
        let world = try HostWorld()
        let clean = try world.view()
        let source = unsafe AreaSource.host(world.hostMemory.bytes(0, 2))
        try world.space.map(source, length: 0x2000, at: Self.iova, rights: [.read, .write])
        let before = try answers(world)
        expectTimedOut("still registered") { try world.space.unmap(Self.iova, length: 0x2000) }
        #expect(try answers(world) == [nil, nil])
        try world.space.map(source, length: 0x2000, at: Self.iova, rights: [.read, .write])
        #expect(try answers(world) == before && before.allSatisfy { $0 != nil })
        try world.memory.drain()
        #expect(try answers(world) == before, "it has a user again, so a drain leaves it")
        try world.space.unmap(Self.iova, length: 0x2000)
        #expect(try world.view() == clean)
    }

    /// A space that ends cannot say that it could not let go.
    @Test func aSpaceThatEndsWithoutMemoryLeavesItToTheDrain() throws {
        let memory = try GuestMemory()
        let file = MappedFile(bytes: 3 << 12)
        var space: IOAddressSpace? = try IOAddressSpace(memory: memory)
        for page: UInt64 in 0..<3 {
            try space?.map(
                .file(descriptor: file.descriptor, offset: page << 12), length: 0x1000, at: IOVA(page << 20),
                rights: .read)
        }
        #expect(MappedFile.mappings >= 1)
        withoutMemory { space = nil }
        #expect(MappedFile.mappings >= 1)
        try memory.drain()
        #expect(MappedFile.mappings == 0)
    }

    /// Every drain of several ranges fails at another one: what is done is done, and the next drain goes on.
    @Test func aDrainThatFailsHalfwayGoesOnLater() throws {
        for granted in 0..<20 {
            let memory = try GuestMemory()
            let pages = HostPages(8)
            let space = try IOAddressSpace(memory: memory)
            for page in 0..<4 {
                let source = unsafe AreaSource.host(pages.bytes(2 * page, 1))
                try space.map(source, length: 0x1000, at: IOVA(UInt64(page) << 20), rights: .read)
            }
            expectTimedOut("still registered") { try space.unmapAll() }
            let registered = { (page: Int) in
                try unsafe memory.locate(UnsafeRawBufferPointer(pages.bytes(2 * page, 1)), rights: .read) != nil
            }
            #expect(try (0..<4).allSatisfy(registered))
            let (error, _) = Scarcity(granted: granted).during { try memory.drain() }
            if let error {
                #expect(error as? IOMMUError == .noMemory)
                #expect(try (0..<4).contains(where: registered))
                try memory.drain()
            }
            #expect(try !(0..<4).contains(where: registered))
            if error == nil {
                #expect(granted > 0)
                return
            }
        }
        Issue.record("a drain never succeeded")
    }

    /// What needs no memory, of a host's calls, with none to be had.
    @Test func whatNeedsNoMemoryNeverFails() throws {
        let world = try HostWorld()
        let interface = try world.device.enablePageRequests()
        let queue = try PageQueue(world.first)
        let faults = try FaultQueue(of: .device(world.device), in: world.unit)
        try world.space.map(.output(0x1000), length: 0x1000, at: Self.iova, rights: .read)
        try withoutMemory {
            _ = try world.port.translate(0x9_0000_0000, access: .read, source: HostWorld.source)
            #expect(faults.read().count == 1)
            try interface.request(PageRequest(0x5000, access: .read, group: 1))
            try #require(try queue.read()).respond(.success)
            try world.unit.invalidate(descriptor: .iotlb())
            #expect(try world.unit.apply(InvalidationBatch(.vtdQueue128)).isComplete)
            try world.space.protect(Self.iova, length: 0x1000, rights: .write)
            try world.space.unmap(Self.iova, length: 0x1000)
            try world.direct.startDirtyTracking(splittingLargePages: false)
            try world.direct.stopDirtyTracking()
            try world.namespace.unbind(guest: pasid(4))
            try world.device.detach(from: pasid(5))
            try world.device.reset()
            try world.direct.unmapAll()
            try world.space.unmapAll()
            try world.unit.drain()
            try world.memory.drain()
            try world.unit.setTranslation(enabled: true)
            try world.unit.reset()
        }
        let view = try world.view()
        #expect(view.answers.allSatisfy { $0.translation == nil }, "all devices are blocked")
    }
}
