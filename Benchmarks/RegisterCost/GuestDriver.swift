// SPDX-License-Identifier: LGPL-2.1-or-later
//
// GuestDriver - a virtual unit in a guest's hands, as far as the benchmark needs one: tables, and an invalidation queue.

import IOMMU
import VirtualVTd

/// 2 MiB of guest memory, legacy tables that map `pages` pages from 0 for two sources, and a unit that was switched on through its
/// registers. One thread writes registers.
final class GuestDriver {
    static let pages: UInt64 = 256
    static let device = SourceID(0x08)
    static let neighbour = SourceID(0x10)
    /// Domains of the two.
    static let domain: UInt16 = 1

    let ram = UnsafeMutableRawBufferPointer.allocate(byteCount: 2 << 20, alignment: 4096)
    let memory: GuestMemory
    let front: VirtualVTd
    /// The same tables under a unit that no registers drive.
    let bare: RemappingUnit
    /// The word that wait descriptors store.
    let status: UnsafeMutablePointer<UInt32>

    private let queue: UInt64 = 0x1000
    private let statusAddress: UInt64 = 0x2000
    private let rootTable: UInt64 = 0x3000
    private var tail: UInt64 = 0
    private var waits: UInt32 = 0

    init(_ processing: VirtualVTd.Processing) throws {
        ram.initializeMemory(as: UInt8.self, repeating: 0)
        memory = try GuestMemory()
        try memory.add(ram, at: 0)
        var configuration = VirtualVTd.Configuration()
        configuration.processing = processing
        front = try VirtualVTd(configuration, memory: memory)
        bare = try RemappingUnit(capabilities: configuration.capabilities, memory: memory)
        status = (ram.baseAddress! + Int(statusAddress)).assumingMemoryBound(to: UInt32.self)
        buildTables()
        try switchOn()
        try bare.setRootTable(rootTable)
        try bare.setTranslation(enabled: true)
    }

    deinit { ram.deallocate() }

    private func store(_ word: UInt64, at address: UInt64) {
        ram.storeBytes(of: word, toByteOffset: Int(address), as: UInt64.self)
    }

    private func buildTables() {
        let (contexts, top, third, second, leaves): (UInt64, UInt64, UInt64, UInt64, UInt64) =
            (0x4000, 0x5000, 0x6000, 0x7000, 0x8000)
        store(contexts | 1, at: rootTable)
        for (index, source) in [Self.device, Self.neighbour].enumerated() {
            store(top | 1, at: contexts + UInt64(source.rawValue) * 16)
            store(2 | UInt64(Self.domain + UInt16(index)) << 8, at: contexts + UInt64(source.rawValue) * 16 + 8)
        }
        store(third | 3, at: top)
        store(second | 3, at: third)
        store(leaves | 3, at: second)
        for page in 0..<Self.pages {
            store((0x10_0000 + page * 4096) | 3, at: leaves + page * 8)
        }
    }

    private func switchOn() throws {
        try front.write(0x20, size: 8, rootTable)
        try front.write(0x18, size: 4, 1 << 30)
        front.finishWorks()
        try front.write(0x90, size: 8, queue)
        try front.write(0x18, size: 4, 1 << 26)
        front.finishWorks()
        try front.write(0x18, size: 4, 1 << 31 | 1 << 26)
        front.finishWorks()
        precondition(front.read(0x1c, size: 4) >> 26 & 0x31 == 0x31, "the unit is not on")
    }

    /// Puts an invalidation of one page and a wait descriptor into the queue.
    ///
    /// - Returns: What IQT must become, and what the status will be.
    func put(page: UInt64) -> (tail: UInt64, status: UInt32) {
        waits &+= 1
        for descriptor in descriptors(page: page) {
            store(descriptor.q0, at: queue + tail)
            store(descriptor.q1, at: queue + tail + 8)
            tail = (tail + 16) % 4096
        }
        return (tail, waits)
    }

    /// The same two.
    func descriptors(page: UInt64) -> [InvalidationDescriptor] {
        [
            .iotlb(domain: Self.domain, page: IOVA(page * 4096), addressMask: 0, leafOnly: true),
            .wait(status: (address: OutputAddress(statusAddress), data: waits)),
        ]
    }
}
