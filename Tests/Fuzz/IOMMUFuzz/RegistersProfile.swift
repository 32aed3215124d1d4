// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The units of target "registers", and what lies in their guest's memory: two sets of tables that lead elsewhere, for each table
// mode that the unit has, and two interrupt-remapping tables.

import IOMMU
import IOMMUTestSupport
import VirtualVTd

/// A unit with its guest's tables. Made once for each kind of unit.
struct RegistersProfile {
    let model: UnitModel
    let version: UInt64
    let configuration: VirtualVTd.Configuration
    /// RTADDR of the tables.
    let roots: [UInt64]
    /// IRTA of the interrupt-remapping tables.
    let interruptTables: [UInt64]
    /// The words of the tables that are not zero.
    let content: [(address: UInt64, value: UInt64)]

    static let tables: UInt64 = 0x10_0000
    private static let tablePages = 80
    static let queue: UInt64 = 0x40_0000
    static let pages: UInt64 = 0x60_0000
    static let status: UInt64 = 0x1000_0000
    /// A queue may lie across the second and the third range; the read-only one takes no status.
    static let regions: [GuardedImage.Region] = [
        .init(address: tables, pages: tablePages), .init(address: queue, pages: 4),
        .init(address: queue + 0x4000, pages: 4),
        .init(address: pages, pages: 2), .init(address: status, pages: 1),
        .init(address: GuestImage.rom, pages: 1, isWritable: false),
    ]
    static let sources: [UInt16] = [0x10, 0x11, 0x18, 0x20, 0x1ff]
    static let inputs: [UInt64] = [0x1000_0000, 0x1000_1000, 0x1020_0000, 0x5000_0000, 0x7f_0000_0000, 0xfee0_1000]

    private init(_ model: UnitModel, version: UInt64 = 0x10, records: UInt64, places: (UInt64, UInt64)) throws {
        var model = model
        model.cap |= (records - 1) << 40 | places.0 << 24
        model.ecap |= places.1 << 8
        self.model = model
        self.version = version
        var configuration = VirtualVTd.Configuration(capabilities: try model.capabilities())
        configuration.version = UInt8(version)
        configuration.pageTimeout = nil
        configuration.sizes = TestBench.smallCaches
        self.configuration = configuration
        let image = GuestImage(regions: [.init(address: Self.tables, pages: Self.tablePages)])
        var roots: [UInt64] = []
        for output: UInt64 in [0x2_0000_0000, 0x3_0000_0000] {
            roots.append(Self.legacy(image, model, output))
            if model.has(.scalableMode) { roots.append(Self.scalable(image, model, output)) }
        }
        self.roots = roots
        interruptTables = [0x40, 0x80].map { Self.interrupts(image, vector: $0) }
        content = stride(from: Self.tables, to: Self.tables + UInt64(Self.tablePages) << 12, by: 8).compactMap {
            address in
            image[address] == 0 ? nil : (address, image[address])
        }
    }

    static func all() throws -> [RegistersProfile] {
        let bare = UnitModel.full.with { model in
            let scalable: [UnitModel.Field] = [
                .scalableMode, .firstStage, .secondStage, .nesting, .pasid, .pasidWidth, .pageRequests,
                .pageRequestDrain, .secondStageMarks, .firstStage5Level, .firstStage1GiB, .extendedAccessed,
                .supervisorRequests, .requestPASID, .requestPrivilege, .snoopedWalks, .abortMode, .deviceTLB,
            ]
            for field in scalable { model[field] = 0 }
        }
        let legacy = bare.with { model in
            model.hostAddressWidth = 46
            model[.secondStageWidths] = 0b00110
            model[.maximumGuestAddressWidth] = 47
            model.ecap &= ~(1 << 4)
        }
        let plain = legacy.with { model in
            model.hostAddressWidth = 39
            model[.secondStageWidths] = 0b00010
            model[.maximumGuestAddressWidth] = 38
            model[.interruptRemapping] = 0
            model.ecap &= ~(1 << 1)
        }
        let caching = bare.with { model in
            model.hostAddressWidth = 39
            model[.cachingMode] = 1
            model[.domains] = 2
            model[.deviceTLB] = 1
            model[.pageSelective] = 0
        }
        let scalable = UnitModel.full.with { model in
            for field in [.pageRequests, .pageRequestDrain, .deviceTLB, .interruptRemapping] as [UnitModel.Field] {
                model[field] = 0
            }
            model.ecap &= ~(1 << 4)
        }
        return [
            try RegistersProfile(.full, records: 4, places: (0x40, 0x10)),
            try RegistersProfile(.revision3, version: 0x60, records: 1, places: (0x20, 0x60)),
            try RegistersProfile(legacy, records: 2, places: (0x22, 0xf)),
            try RegistersProfile(plain, records: 8, places: (0x12, 0x10)),
            try RegistersProfile(caching, records: 3, places: (0x40, 0x10)),
            try RegistersProfile(scalable, records: 1, places: (0x40, 0x10)),
        ]
    }

    // MARK: Tables

    private static func fill(_ tables: PagingTables, _ output: UInt64) {
        tables.tableFlags = tables.stage == .first ? 0x27 : 7
        let flags: UInt64 = tables.stage == .first ? 0x67 : 7
        for input in inputs.prefix(2) { tables.map(input, to: output + input, flags: flags) }
        tables.map(inputs[2], to: output + inputs[2], level: 1, flags: flags)
        // Read-only.
        tables.map(inputs[3], to: output + inputs[3], flags: flags & ~2)
    }

    private static func legacy(_ image: GuestImage, _ model: UnitModel, _ output: UInt64) -> UInt64 {
        let builder = TableBuilder(image, isScalable: false)
        let second = PagingTables(.second, levels: 3, in: image)
        fill(second, output)
        var context = LegacyContext()
        context.root = second.root
        context.addressWidth = 1
        builder.setContext(0x10, context)
        context.domain = 2
        context.disablesFaults = true
        builder.setContext(0x11, context)
        return builder.rootRegister
    }

    private static func scalable(_ image: GuestImage, _ model: UnitModel, _ output: UInt64) -> UInt64 {
        let builder = TableBuilder(image, isScalable: true)
        var context = ScalableContext()
        context.allowsDeviceTLB = model.has(.deviceTLB)
        context.allowsPageRequests = model.has(.pageRequests)
        for source in [0x10, 0x18] as [UInt16] { builder.setContext(source, context) }
        let second = PagingTables(.second, levels: 4, in: image)
        fill(second, output)
        let first = PagingTables(.first, levels: 4, in: image)
        fill(first, output)
        var entry = PASIDEntry()
        entry.type = .second
        entry.secondRoot = second.root
        builder.setPASID(0x10, pasid: 0, entry)
        (entry.type, entry.domain) = (.first, 2)
        (entry.firstRoot, entry.secondRoot) = (first.root, 0)
        builder.setPASID(0x10, pasid: 3, entry)
        builder.setPASID(0x18, pasid: 0, entry)
        (entry.type, entry.domain) = (.nested, 3)
        // Its tables are not mapped by the second stage: every walk faults there.
        entry.secondRoot = second.root
        builder.setPASID(0x10, pasid: 5, entry)
        return builder.rootRegister
    }

    /// Four entries of the sources' own vectors: any source, source 0x10, absent, and one without faults.
    private static func interrupts(_ image: GuestImage, vector: UInt64) -> UInt64 {
        let table = image.allocatePage()
        let entries: [(UInt64, UInt64)] = [(1, 0), (1, 0x10 | 1 << 18), (0, 0), (2, 0)]
        for (index, (flags, high)) in entries.enumerated() as EnumeratedSequence<[(UInt64, UInt64)]> {
            image[table + UInt64(index) * 16] = flags | (flags == 1 ? (vector + UInt64(index)) << 16 : 0)
            image[table + UInt64(index) * 16 + 8] = high
        }
        return table | 3
    }
}
