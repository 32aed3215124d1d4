// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A host that sets up devices itself: a guest's memory as parent, the guest's own first stages on it, two virtual devices that
// share a source id, and a domain replaced beneath running DMA. README.md shows the marked part.

// snippet-begin
import Dispatch
import IOMMU

func runNested(ram: UnsafeMutableRawBufferPointer, tables: [IOVA]) throws {
    // The guest's memory: an IO address space, and a domain that mirrors it and may carry nested ones.
    let unit = try RemappingUnit(capabilities: .full, memory: GuestMemory())
    let space = try IOAddressSpace(memory: unit.memory)
    try unsafe space.map(.host(ram), length: UInt64(ram.count), at: 0, rights: [.read, .write])
    let parent = try PagingDomain(unit: unit, space: space, options: .nestParent)
    let nested = try tables.map { try NestedDomain(parent: parent, firstStage: FirstStage(root: $0)) }

    // Two virtual devices behind one source id, told apart by their PASIDs.
    let source = SourceID(bus: 3, device: 0, function: 0)
    let pasids = [PASID(16)!, PASID(32)!]
    let vdevs = try pasids.map { pasid in
        let id = DeviceID(UInt64(pasid.rawValue))
        let vdev = try Device(id: id, sourceID: source, share: .slice(pasid...pasid), in: unit)
        try vdev.attach(nested[0], to: pasid)
        return vdev
    }

    // A thread for each translates without pause; meanwhile the second one's domain is replaced. Nobody ever meets a fault.
    let threads = DispatchGroup()
    for pasid in pasids {
        DispatchQueue.global().async(group: threads) {
            let port = try! unit.makePort()
            for _ in 0..<100_000 {
                let answer = try! port.translate(0x5000, access: .read, source: source, pasid: pasid)
                precondition(answer.translation != nil)
            }
        }
    }
    try vdevs[1].replace(with: nested[1], at: pasids[1])
    threads.wait()
    for pasid in pasids {
        print("PASID \(pasid):", try unit.makePort().translate(0x5000, access: .read, source: source, pasid: pasid))
    }
}
// snippet-end

/// Plays the guest: two first-stage tables, each with IOVA 0x5000 at a page of its own.
func runNestedExample() throws {
    let ram = UnsafeMutableRawBufferPointer.allocate(byteCount: 2 << 20, alignment: 2 << 20)
    defer { unsafe ram.deallocate() }
    unsafe ram.initializeMemory(as: UInt8.self, repeating: 0)
    let tables = [0x10000, 0x20000]
    for table in tables {
        let entries = [
            (0, table + 0x1000), (0x1000, table + 0x2000), (0x2000, table + 0x3000), (0x3028, table + 0x80000),
        ]
        for (offset, entry) in entries {
            unsafe ram.storeBytes(of: UInt64(entry) | 7, toByteOffset: table + offset, as: UInt64.self)
        }
    }
    try unsafe runNested(ram: ram, tables: tables.map { IOVA(UInt64($0)) })
}
