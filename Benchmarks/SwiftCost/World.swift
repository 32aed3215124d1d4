// SPDX-License-Identifier: LGPL-2.1-or-later
//
// World - one device with a paging domain of 64 pages, as cost.c makes it in C.

import CostInC
import IOMMU

/// A unit, its device and a port whose first level holds every page.
struct World {
    static let source = SourceID(COST_SOURCE)
    static let pageCount = UInt64(COST_PAGES)

    let port: Port
    private let device: Device

    init() throws {
        let bytes = Int(Self.pageCount) * 4096
        // Kept for the length of the program.
        let ram = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes, alignment: 4096)
        ram.initializeMemory(as: UInt8.self, repeating: 1)
        let memory = try GuestMemory()
        try memory.add(ram, at: OutputAddress(COST_OUTPUT))
        let unit = try RemappingUnit(capabilities: .full, memory: memory)
        let domain = try PagingDomain(unit: unit)
        try domain.map(
            IOVA(COST_INPUT), to: OutputAddress(COST_OUTPUT), length: UInt64(bytes), rights: [.read, .write])
        device = try Device(id: 1, sourceID: Self.source, in: unit)
        try device.attach(domain)
        port = try unit.makePort()
        for page in 0..<Self.pageCount {
            _ = try port.translate(IOVA(COST_INPUT + page * 4096), access: .read, source: Self.source)
        }
    }
}
