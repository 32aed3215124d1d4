// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A host in Swift: registers memory, plays a guest that fills legacy VT-d tables, does DMA for a device, and remaps a page beneath it.
// README.md shows the marked part. Stops at the first answer that is not the expected one.

// snippet-begin
import IOMMU

func runGuest() throws {
    // The guest's memory, from output address 0 on. It stays where it is as long as the program runs.
    let ram = UnsafeMutableRawBufferPointer.allocate(byteCount: 0x10000, alignment: 4096)
    unsafe ram.initializeMemory(as: UInt8.self, repeating: 0)
    let memory = try GuestMemory()
    try unsafe memory.add(ram, at: 0)

    // What the guest's driver writes: root and context entry of 00:07.0, then three levels of second-stage tables.
    let tables: [(address: Int, entry: UInt64)] = [
        (0x1000, 0x2000 | 1),  // root entry of bus 0: context table, present
        (0x2000 + 0x38 * 16, 0x3000 | 1),  // context entry: top table, present
        (0x2000 + 0x38 * 16 + 8, 5 << 8 | 1),  // domain 5, 39 bits
        (0x3000, 0x4000 | 3),  // the next table, read and write
        (0x4000, 0x5000 | 3),
        (0x5000 + 0x10 * 8, 0x8000 | 3),  // IOVA 0x10000 is the page at 0x8000
    ]
    for (address, entry) in tables {
        unsafe ram.storeBytes(of: entry, toByteOffset: address, as: UInt64.self)
    }

    let unit = try RemappingUnit(capabilities: .full, memory: memory)
    try unit.setRootTable(0x1000)
    try unit.setTranslation(enabled: true)

    // A device thread has a port. The memory itself is there for the length of a closure; copies are one call.
    let port = try unit.makePort()
    let nvme = SourceID(bus: 0, device: 7, function: 0)
    try port.withAccess(to: 0x10000, count: 8, access: .write, source: nvme) { segments in
        precondition(segments.isComplete && segments.count == 1)
        segments.withMutableBytes(of: 0) { bytes in
            bytes.storeBytes(of: 42, as: UInt64.self)
        }
    }
    let written = try port.write([1, 2, 3, 4].span, to: 0x10008, source: nvme)
    var reply = [UInt8](repeating: 0, count: 12)
    var replySpan = reply.mutableSpan
    let progress = try port.read(into: &replySpan, from: 0x10000, source: nvme)
    precondition(written.isComplete && progress.isComplete && reply == [42, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4])

    // The guest moves the page and queues an invalidation. When the call returns, nobody uses the old page any more.
    unsafe ram.storeBytes(of: 0xa000 | 3, toByteOffset: 0x5000 + 0x10 * 8, as: UInt64.self)
    try unit.invalidate(descriptor: .iotlb(domain: 5, page: 0x10000))
    let moved = try port.translate(0x10000, access: .read, source: nvme)
    precondition(moved.translation?.address == 0xa000)

    // What the tables do not allow is a fault, and a fault is a result.
    let refused = try port.translate(0x11000, access: .write, source: nvme)
    guard let fault = refused.fault else { preconditionFailure("a page that is not mapped") }
    print(fault)
}
// snippet-end

try runGuest()
try runNestedExample()
try await runPagingExample()
try runRegistersExample()
