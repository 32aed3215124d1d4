// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A virtual machine's IOMMU: the guest's register accesses are forwarded, and the guest does the rest. README.md shows the marked part.

// snippet-begin
import IOMMU
import Synchronization
import VirtualVTd

/// What a virtual machine has of it: the unit at some guest-physical address, and a device behind it.
final class Machine {
    let front: VirtualVTd
    let port: Port

    init(ram: UnsafeMutableRawBufferPointer, inject: @escaping @Sendable (_ address: UInt64, _ data: UInt32) -> Void)
        throws
    {
        let memory = try GuestMemory()
        try unsafe memory.add(ram, at: 0)
        var configuration = VirtualVTd.Configuration(capabilities: .full)
        configuration.processing = .inline  // simple: a write returns when it is done
        front = try VirtualVTd(configuration, memory: memory, host: VirtualVTd.Host(signal: inject))
        port = try front.unit.makePort()
    }

    // The guest's loads and stores in the unit's page.
    func load(_ offset: Int, size: Int) -> UInt64 { front.read(offset, size: size) }
    func store(_ offset: Int, size: Int, _ value: UInt64) throws { try front.write(offset, size: size, value) }

    /// A device writes to memory. What the guest's tables forbid is in its fault-recording registers afterwards.
    func dma(_ bytes: [UInt8], to iova: IOVA, from source: SourceID) throws -> Bool {
        let progress = try port.write(bytes.span, to: iova, source: source)
        front.collectFaults()
        return progress.isComplete
    }
}
// snippet-end

/// What a guest's driver does with it: an empty root table, translation on, fault events to vector 0x44; then a device that it knows
/// nothing of tries to write.
func runRegistersExample() throws {
    let ram = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 16, alignment: 1 << 12)
    defer { unsafe ram.deallocate() }
    unsafe ram.initializeMemory(as: UInt8.self, repeating: 0)
    let vectors = Vectors()
    let machine = try unsafe Machine(ram: ram) { _, data in vectors.append(data) }
    try machine.store(0x20, size: 8, 0x1000)  // RTADDR
    try machine.store(0x18, size: 4, 1 << 30)  // GCMD.SRTP
    try machine.store(0x18, size: 4, 1 << 31)  // GCMD.TE
    try machine.store(0x3c, size: 4, 0x44)  // FEDATA
    try machine.store(0x40, size: 4, 0xfee0_0000)  // FEADDR
    try machine.store(0x38, size: 4, 0)  // FECTL.IM
    precondition(machine.load(0x1c, size: 4) == 0xc000_0000)
    let isWritten = try machine.dma([1, 2, 3], to: 0x5000, from: SourceID(bus: 0, device: 4, function: 0))
    precondition(!isWritten && vectors.all == [0x44])
    let ring = Int(machine.front.configuration.capabilities.faultRecordingOffset)
    print(
        "FSTS \(String(machine.load(0x34, size: 4), radix: 16)), the record's source \(machine.load(ring + 8, size: 2))"
    )
    print(try VirtualVTd.StateDescription(machine.front.snapshot()).faults.records[0].meaning)
}

private final class Vectors: Sendable {
    private let data = Mutex<[UInt32]>([])

    func append(_ value: UInt32) { data.withLock { $0.append(value) } }
    var all: [UInt32] { data.withLock { $0 } }
}
