// SPDX-License-Identifier: LGPL-2.1-or-later
//
// WorldInSwift - the same worlds through the Swift interface, and requests to them.

import Glibc
import IOMMU

/// A unit, its devices and domains, and a port. One thread, apart from other ports.
final class WorldInSwift {
    let shape: Shape
    let unit: RemappingUnit
    let port: Port
    let domains: [Domain]
    private var tables: FirstStageTables
    private var devices: [Device] = []
    private var generator = XorShift()
    private(set) var requests: [Request]
    private(set) var answers: [OutputAddress]

    init(_ shape: Shape, count: Int = 1000) throws {
        self.shape = shape
        let memory = try GuestMemory()
        tables = FirstStageTables(bytes: (shape.pages * (shape.isScattered ? 4096 : 8) * shape.spaces) + (8 << 20))
        try memory.add(tables.memory, at: 0)
        try memory.add(mapMemory((shape.pages * shape.spaces) << shape.pageLog2), at: OutputAddress(Shape.output))
        var configuration = RemappingUnit.Configuration()
        configuration.firstLevelEntries = shape.firstLevel
        configuration.iotlbEntries = shape.iotlb
        configuration.walkCacheEntries = shape.walkCache
        configuration.bindings = max(configuration.bindings, 2 * shape.sources * max(shape.pasids, 1))
        configuration.addressSpaces = configuration.bindings
        unit = try RemappingUnit(capabilities: .full, memory: memory, configuration: configuration)
        port = try unit.makePort()
        requests = [Request](repeating: Request(source: SourceID(0), iova: 0, access: .read), count: count)
        answers = [OutputAddress](repeating: 0, count: count)
        domains = try Self.makeDomains(shape, unit, &tables)
        try attach()
        try warm()
    }

    private static func makeDomains(
        _ shape: Shape, _ unit: RemappingUnit, _ tables: inout FirstStageTables
    ) throws -> [Domain] {
        switch shape.way {
        case .pass:
            return [unit.identityDomain]
        case .first:
            let root = tables.build(shape, space: 0, onto: Shape.output)
            try unit.setRootTable(tables.buildScalable(shape.source(0), firstStage: root) | 1 << 10)
            try unit.setTranslation(enabled: true)
            return []
        case .second:
            return try (0..<shape.spaces).map { space in
                let domain = try PagingDomain(unit: unit, largestPage: PageSize(rawValue: UInt32(shape.pageLog2)))
                for page in 0..<(shape.isScattered ? shape.pages : 1) {
                    try domain.map(
                        IOVA(shape.firstInput + UInt64(page) * shape.distance),
                        to: OutputAddress(shape.output(space: space, page: page)),
                        length: UInt64(shape.isScattered ? 1 : shape.pages) << UInt64(shape.pageLog2),
                        rights: [.read, .write])
                }
                return domain
            }
        case .nested:
            let parent = try PagingDomain(unit: unit, options: .nestParent, largestPage: .fourKiB)
            try parent.map(0, to: 0, length: UInt64(tables.memory.count), rights: [.read, .write])
            try parent.map(
                IOVA(Shape.guestData), to: OutputAddress(Shape.output),
                length: UInt64(shape.pages * shape.spaces) << UInt64(shape.pageLog2), rights: [.read, .write])
            return try (0..<shape.spaces).map { space in
                let root = tables.build(shape, space: space, onto: Shape.guestData)
                return try NestedDomain(parent: parent, firstStage: FirstStage(root: IOVA(root)))
            }
        }
    }

    private func attach() throws {
        guard let only = domains.first else { return }
        for index in 0..<shape.sources {
            let device = try Device(id: DeviceID(UInt64(index + 1)), sourceID: shape.source(index), in: unit)
            devices.append(device)
            if shape.pasids == 0 {
                try device.attach(only)
            }
            for pasid in 0..<shape.pasids {
                try device.attach(domains[pasid], to: PASID(UInt32(pasid + 1)))
            }
        }
    }

    /// Asks for every page of every requester once.
    private func warm() throws {
        for source in 0..<shape.sources {
            for pasid in 0..<max(shape.pasids, 1) {
                for page in 0..<shape.pages {
                    let answer = try port.translate(
                        IOVA(shape.firstInput + UInt64(page) * shape.distance), access: .read,
                        source: shape.source(source), pasid: shape.pasids == 0 ? nil : PASID(UInt32(pasid + 1)))
                    precondition(answer.translation?.address.rawValue == shape.output(space: pasid, page: page))
                }
            }
        }
    }

    /// Fresh random requests.
    func choose() {
        for index in requests.indices {
            let page = Int.random(in: 0..<shape.pages, using: &generator)
            let space = Int.random(in: 0..<max(shape.pasids, 1), using: &generator)
            let offset = UInt64.random(in: 0..<1 << UInt64(shape.pageLog2 - 3), using: &generator) * 8
            requests[index] = Request(
                source: shape.source(Int.random(in: 0..<shape.sources, using: &generator)),
                pasid: shape.pasids == 0 ? nil : PASID(UInt32(space + 1)),
                iova: IOVA(shape.firstInput + UInt64(page) * shape.distance + offset), access: .read)
            answers[index] = OutputAddress(shape.output(space: space, page: page) + offset)
        }
    }

    /// Fresh ones of `length` bytes, each aligned to that.
    func chooseAligned(_ length: UInt64) {
        choose()
        for index in requests.indices {
            requests[index].iova = IOVA(requests[index].iova.rawValue & ~(length - 1))
            requests[index].count = Int(length)
        }
    }
}

/// Fast, so that choosing takes little of a benchmark's time; seeded afresh in every process.
private struct XorShift: RandomNumberGenerator {
    private var state = UInt64.random(in: 1 ... .max)

    mutating func next() -> UInt64 {
        state ^= state << 13
        state ^= state >> 7
        state ^= state << 17
        return state
    }
}

/// Zeroed memory that exists as long as the process.
func mapMemory(_ bytes: Int) -> UnsafeMutableRawBufferPointer {
    let memory = mmap(
        nil, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
    guard let memory = memory, memory != MAP_FAILED else { fatalError("no memory") }
    _ = madvise(memory, bytes, MADV_HUGEPAGE)
    return UnsafeMutableRawBufferPointer(start: memory, count: bytes)
}
