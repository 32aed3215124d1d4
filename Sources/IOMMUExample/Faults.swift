// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Faults that reach their device's owner, and pages that are provided when a device asks for them. README.md shows the marked part.

// snippet-begin
import IOMMU

func runPaging(ram: UnsafeMutableRawBufferPointer) async throws {
    let memory = try GuestMemory()
    try unsafe memory.add(ram, at: 0)
    let unit = try RemappingUnit(capabilities: .full, memory: memory)
    let space = try IOAddressSpace(memory: memory)
    let domain = try PagingDomain(unit: unit, space: space)
    let device = try Device(id: 7, sourceID: SourceID(bus: 0, device: 7, function: 0), in: unit)
    try device.attach(domain)

    // Nothing is mapped. Whoever asks for a page of the memory gets it, at the same address; everything else is refused.
    let end = IOVA(UInt64(ram.count))
    let pages = try PageQueue(domain) { group in
        do {
            for page in group.pages where page.address < end {
                let output = OutputAddress(page.address.rawValue)
                _ = try space.map(.output(output), length: 0x1000, at: page.address, rights: [.read, .write])
            }
            try group.respond(group.pages.allSatisfy { $0.address < end } ? .success : .invalid)
        } catch {
            print("not answered:", error)
        }
    }

    // A translation that waits for its page, outside of any access section; and one whose page nobody provides.
    let interface = try device.enablePageRequests()
    let faults = try FaultDispatcher(unit: unit).records(of: .device(device))
    let port = try unit.makePort()
    print("provided:", try await port.translateOrRequest(0x3000, access: .write, via: interface))
    print("refused:", try await port.translateOrRequest(0x80_0000, access: .read, via: interface).fault != nil)

    // The refusal is in the records of the device, and nobody else's.
    for await record in faults {
        print(record)
        break
    }
    pages.shutdown()
}
// snippet-end

/// Plays the device's memory.
func runPagingExample() async throws {
    let ram = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 16, alignment: 1 << 12)
    defer { unsafe ram.deallocate() }
    unsafe ram.initializeMemory(as: UInt8.self, repeating: 0)
    try await unsafe runPaging(ram: ram)
}
