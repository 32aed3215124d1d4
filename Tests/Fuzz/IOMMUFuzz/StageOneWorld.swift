// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A nested domain whose guest has just moved every page, for arrays of stage-1 entries.

import IOMMU
import IOMMUTestSupport

final class StageOneWorld {
    private static let base: UInt64 = 0x7fff_4000_0000
    private static let count = 32
    /// A large page behind the small ones.
    private static let large: UInt64 = 0x20_0000
    /// Guest-physical, and where the parent has it.
    private static let old: (guest: UInt64, output: UInt64) = (0x80_0000_0000, 0x20_0000_0000)
    private static let new: (guest: UInt64, output: UInt64) = (0x90_0000_0000, 0x40_0000_0000)

    private let image: GuestImage
    private let unit: RemappingUnit
    private let port: Port
    private let domain: NestedDomain
    private let device: Device
    private let tables: PagingTables
    private let source = SourceID(0x42)

    init() throws {
        image = GuestImage(regions: [.init(address: GuestImage.ram, pages: 16)])
        let memory = try GuestMemory()
        try image.register(in: memory)
        unit = try RemappingUnit(capabilities: .full, memory: memory, configuration: TestBench.smallCaches)
        port = try unit.makePort()
        let parent = try PagingDomain(unit: unit, options: .nestParent)
        let rights: AccessRights = [.read, .write]
        try parent.map(IOVA(GuestImage.ram), to: OutputAddress(GuestImage.ram), length: 16 << 12, rights: rights)
        for place in [Self.old, Self.new] {
            try parent.map(IOVA(place.guest), to: OutputAddress(place.output), length: 1 << 30, rights: rights)
        }
        tables = PagingTables(.first, levels: 4, in: image)
        domain = try NestedDomain(parent: parent, firstStage: FirstStage(root: IOVA(tables.root)))
        device = try Device(id: 7, sourceID: source, in: unit)
        try device.attach(domain)
    }

    private func point(to guest: UInt64) {
        for page in 0..<UInt64(Self.count) { tables.map(Self.base + page << 12, to: guest + page << 12) }
        tables.map(Self.base + Self.large, to: guest + Self.large, level: 1)
    }

    /// What is asked, and the page that it lies in.
    private static let places: [(offset: UInt64, first: UInt64, last: UInt64)] =
        (0..<UInt64(count)).map { ($0 << 12, base + $0 << 12, base + $0 << 12 + 0xfff) }
        + [0, 0x5000, 0x1f_f000].map { (large + $0, base + large, base + large + 0x1f_ffff) }

    private func output(_ offset: UInt64) throws -> UInt64? {
        try port.translate(IOVA(Self.base + offset), access: .read, source: source).translation?.address.rawValue
    }

    func run(_ input: inout FuzzInput, extra: Int, _ way: Way) throws {
        point(to: Self.old.guest)
        try domain.invalidateAll()
        for place in Self.places { expect(try output(place.offset), Self.old.output + place.offset, "before") }
        point(to: Self.new.guest)
        var entries: [[UInt64]] = []
        var bytes: [UInt8] = []
        var refused: (index: Int, code: Int)?
        while !input.isAtEnd && entries.count < 200 {
            let words = entry(&input)
            var tail = [UInt8](repeating: 0, count: extra)
            if extra > 0, words[2] & 2 != 0 { tail[extra - 1] = input.byte() }
            if refused == nil, let code = Self.refusal(words, tail) { refused = (entries.count, code) }
            for word in words { bytes += (0..<8).map { UInt8(truncatingIfNeeded: word >> ($0 * 8)) } }
            bytes += tail
            entries.append(words)
        }
        let context = { "stage-1 entries \(entries.map { $0.map { text($0) } })" }
        let result = try way.apply(
            bytes, .vtdStageOne(domain), entryLength: 24 + extra, to: unit, port, InvalidationHost())
        result.check(count: entries.count, refused: refused, .errno, context)
        for place in Self.places {
            let found = try output(place.offset)
            if found == Self.new.output + place.offset { continue }
            let isCovered = entries.prefix(result.handled).contains { entry in
                guard entry[1] > 0 else { return false }
                let (bytes, overflows) = entry[1].multipliedReportingOverflow(by: 4096)
                let last = overflows || entry[0] > .max - (bytes - 1) ? .max : entry[0] + (bytes - 1)
                return entry[0] <= place.last && last >= place.first
            }
            if isCovered || found != Self.old.output + place.offset {
                finding(
                    "\(context())\n  offset \(text(place.offset)), covered \(isCovered): \(String(describing: found))")
            }
        }
    }

    private func entry(_ input: inout FuzzInput) -> [UInt64] {
        let kind = input.byte()
        guard kind & 15 != 15 else { return (0..<3).map { _ in input.number(8) } }
        let page = UInt64(input.byte())
        var address = Self.base + (page < 0xc0 ? page & 63 : page << 4) << 12
        var pages = UInt64(kind >> 4 & 7)
        var flags = UInt64(kind >> 7)
        switch kind & 15 {
        case 10: pages = input.number(8)
        case 11: (address, pages) = (0, .max)
        case 12: flags = input.number(8)
        case 13: address |= UInt64(input.byte())
        case 14: pages = UInt64(input.byte()) << 4
        default: break
        }
        return [address, pages, flags]
    }

    /// The kernel's rules [FORMATS-IOMMUFD 5, 12].
    private static func refusal(_ words: [UInt64], _ tail: [UInt8]) -> Int? {
        if tail.contains(where: { $0 != 0 }) { return 7 }
        if words[2] & ~1 != 0 { return 95 }
        if words[0] & 0xfff != 0 || (words[1] == .max && words[0] != 0) { return 22 }
        return nil
    }
}
