// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Every way in which a unit can be set up to translate, and a small complete set of tables for each.

import IOMMU

/// A translation mode with its numbers of levels.
package enum TableMode: Hashable, Sendable, CustomStringConvertible {
    case disabled
    case legacyPassThrough
    case scalablePassThrough
    case legacySecond(Int)
    case scalableSecond(Int)
    case first(Int)
    case nested(first: Int, second: Int)

    package static let translating: [TableMode] =
        [3, 4, 5].map { .legacySecond($0) } + [3, 4, 5].map { .scalableSecond($0) } + [4, 5].map { .first($0) }
        + [4, 5].flatMap { first in [3, 4, 5].map { .nested(first: first, second: $0) } }

    package static let unchanging: [TableMode] = [.disabled, .legacyPassThrough, .scalablePassThrough]

    package var isLegacy: Bool {
        switch self {
        case .disabled, .legacyPassThrough, .legacySecond: true
        default: false
        }
    }

    package var firstLevels: Int? {
        switch self {
        case .first(let levels), .nested(let levels, _): levels
        default: nil
        }
    }

    package var secondLevels: Int? {
        switch self {
        case .legacySecond(let levels), .scalableSecond(let levels), .nested(_, let levels): levels
        default: nil
        }
    }

    package var isNested: Bool { firstLevels != nil && secondLevels != nil }

    package var description: String {
        switch self {
        case .disabled: "disabled"
        case .legacyPassThrough: "legacy pass-through"
        case .scalablePassThrough: "scalable pass-through"
        case .legacySecond(let levels): "legacy second stage, \(levels) levels"
        case .scalableSecond(let levels): "second stage, \(levels) levels"
        case .first(let levels): "first stage, \(levels) levels"
        case .nested(let first, let second): "nested, \(first) over \(second) levels"
        }
    }
}

/// One device, one PASID, one address space in a given mode. A request without PASID uses the same PASID entry.
package final class ModeTables {
    package static let source: UInt16 = 0x0110
    package static let pasid: UInt32 = 0x45
    package static let domain: UInt64 = 7

    package let mode: TableMode
    package let image: GuestImage
    package let builder: TableBuilder
    package let first: PagingTables?
    package let second: PagingTables?
    /// Change these and call `publish` for something else than the plain entries.
    package var legacyContext = LegacyContext()
    package var context = ScalableContext()
    package var entry = PASIDEntry()

    package init(_ mode: TableMode, image: GuestImage = GuestImage()) {
        self.mode = mode
        self.image = image
        builder = TableBuilder(image, isScalable: !mode.isLegacy)
        let second = mode.secondLevels.map { PagingTables(.second, levels: $0, in: image) }
        self.second = second
        first = mode.firstLevels.map { levels in
            second.map { PagingTables(nestedOn: $0, levels: levels, in: image) }
                ?? PagingTables(.first, levels: levels, in: image)
        }
        describe()
        publish()
    }

    private func describe() {
        let width = UInt64(mode.secondLevels.map { $0 - 2 } ?? 2)
        legacyContext.domain = Self.domain
        legacyContext.translationType = mode == .legacyPassThrough ? 2 : 0
        legacyContext.root = second?.root ?? 0
        legacyContext.addressWidth = width
        context.requestPASID = UInt64(Self.pasid)
        entry.domain = Self.domain
        entry.secondRoot = second?.root ?? 0
        entry.addressWidth = width
        entry.firstRoot = first?.root ?? 0
        entry.hasFiveLevels = mode.firstLevels == 5
        switch (first != nil, second != nil) {
        case (true, true): entry.type = .nested
        case (true, false): entry.type = .first
        case (false, true): entry.type = .second
        case (false, false): entry.type = .passThrough
        }
    }

    /// Writes the configuration entries as they are described now.
    package func publish() {
        if mode.isLegacy {
            builder.setContext(Self.source, legacyContext)
        } else {
            builder.setContext(Self.source, context)
            builder.setPASID(Self.source, pasid: Self.pasid, entry)
        }
    }

    /// A request that this address space serves: with its PASID where the mode has PASIDs.
    package func request(_ iova: UInt64, _ access: Access, isPASIDExplicit: Bool = true) -> DMARequest {
        DMARequest(
            source: Self.source, pasid: isPASIDExplicit && !mode.isLegacy ? Self.pasid : nil, iova: iova, access: access
        )
    }

    /// A bench over these tables.
    package func bench(
        model: UnitModel = .full, configuration: RemappingUnit.Configuration = TestBench.smallCaches
    ) throws -> TestBench {
        try TestBench(
            image, model: model, rootRegister: builder.rootRegister, isEnabled: mode != .disabled,
            configuration: configuration)
    }
}
