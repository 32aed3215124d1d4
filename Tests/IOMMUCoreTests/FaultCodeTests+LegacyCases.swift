// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Fault cases of legacy mode: codes 01-0E, 30 and 31.

import IOMMUTestSupport

extension FaultCase {
    private static let mode = TableMode.legacySecond(4)
    private static let narrow = UnitModel.full.with { $0.hostAddressWidth = 46 }
    private static let beyond: UInt64 = 1 << 50

    private static func root(
        _ code: UInt32, _ what: String, model: UnitModel = .full,
        _ damage: @escaping @Sendable (FaultScene) throws -> Void
    ) -> FaultCase {
        FaultCase(code: code, what: what, mode: mode, model: model, damage: damage)
    }

    /// One that changes the low or the high word of the context entry.
    private static func context(
        _ code: UInt32, _ what: String, word: UInt64, model: UnitModel = .full,
        _ change: @escaping @Sendable (inout UInt64) -> Void
    ) -> FaultCase {
        FaultCase(
            code: code, what: what, mode: mode, model: model,
            damage: { scene in change(&scene.image[scene.context + 8 * word]) })
    }

    /// One that changes a second-stage entry.
    private static func paging(
        _ code: UInt32, _ what: String, level: Int, failsAt: Int? = nil, model: UnitModel = .full,
        access: Access = [.read],
        _ change: @escaping @Sendable (inout UInt64) -> Void
    ) -> FaultCase {
        FaultCase(
            code: code, what: what, mode: mode, stage: .second, level: failsAt ?? level, model: model,
            damage: { $0.second.update(FaultScene.input, level: level, change) },
            ask: { $0.access = access })
    }

    static let legacy: [FaultCase] = legacyConfiguration + legacyWalks + legacyRequests

    private static let legacyConfiguration: [FaultCase] = [
        root(0x01, "root entry absent") { $0.image[$0.root] &= ~1 },
        root(0x01, "root entry absent, its other bits ignored") { $0.image[$0.root] = 0xffe },
        root(0x08, "root table without memory") { try $0.bench.setRoot(GuestImage.hole) },
        root(0x08, "root table beyond the address width", model: narrow) { try $0.bench.setRoot(beyond) },
        root(0x09, "context table without memory") { $0.image[$0.root] = GuestImage.hole | 1 },
        root(0x0a, "root entry, reserved bit 1") { $0.image[$0.root] |= 1 << 1 },
        root(0x0a, "root entry, reserved bit 11") { $0.image[$0.root] |= 1 << 11 },
        root(0x0a, "root entry, reserved bit 64") { $0.image[$0.root + 8] |= 1 },
        root(0x0a, "root entry, reserved bit 127") { $0.image[$0.root + 8] |= 1 << 63 },
        root(0x0a, "root entry beyond the address width", model: narrow) { $0.image[$0.root] |= beyond },
        root(0x30, "table mode 2") { try $0.bench.setRoot($0.tables.builder.rootTable | 2 << 10) },
        root(0x30, "abort mode where it is not offered", model: .full.with(.abortMode, 0)) {
            try $0.bench.setRoot($0.tables.builder.rootTable | 3 << 10)
        },
        context(0x02, "context entry absent", word: 0) { $0 &= ~1 },
        context(0x02, "context entry absent, its other bits ignored", word: 0) { $0 = $0 & 2 | 0xffc },
        context(0x03, "translation type 3", word: 0) { $0 |= 3 << 2 },
        context(0x03, "device-TLB type where it is not offered", word: 0, model: .withoutDeviceTLB) { $0 |= 1 << 2 },
        context(0x03, "pass-through type where it is not offered", word: 0, model: .full.with(.passThrough, 0)) {
            $0 |= 2 << 2
        },
        context(0x03, "address width 0", word: 1) { $0 &= ~7 },
        context(0x03, "address width 4", word: 1) { $0 = $0 & ~7 | 4 },
        context(0x03, "address width that the unit lacks", word: 1, model: .full.with(.secondStageWidths, 0b0100)) {
            $0 = $0 & ~7 | 3
        },
        context(0x0b, "context entry, reserved bit 4", word: 0) { $0 |= 1 << 4 },
        context(0x0b, "context entry, reserved bit 11", word: 0) { $0 |= 1 << 11 },
        context(0x0b, "context entry, reserved bit 71", word: 1) { $0 |= 1 << 7 },
        context(0x0b, "context entry, reserved bit 88", word: 1) { $0 |= 1 << 24 },
        context(0x0b, "context entry, reserved bit 127", word: 1) { $0 |= 1 << 63 },
        context(0x0b, "domain id beyond CAP.ND", word: 1, model: .full.with(.domains, 0)) { $0 |= 0x10 << 8 },
        context(0x0b, "domain id 0 in caching mode", word: 1, model: .full.with(.cachingMode, 1)) { $0 &= ~0xffff00 },
        context(0x0b, "root pointer beyond the address width", word: 0, model: narrow) { $0 |= beyond },
    ]

    private static let legacyWalks: [FaultCase] = [
        FaultCase(
            code: 0x03, what: "root page without memory", mode: mode, stage: .second, level: 3,
            damage: { scene in
                scene.image[scene.context] = GuestImage.hole | scene.image[scene.context] & 3
            }
        ).heldAbove(),
        paging(0x07, "lower table without memory", level: 1, failsAt: 0) { $0 = GuestImage.hole | 3 },
        paging(0x05, "write to a page without W", level: 0, access: [.write]) { $0 &= ~2 },
        paging(0x05, "write below an entry without W", level: 2, failsAt: 0, access: [.write]) { $0 &= ~2 }.heldAbove(),
        paging(0x05, "write to an absent page", level: 0, access: [.write]) { $0 &= ~3 },
        paging(0x06, "read of a page without R", level: 0) { $0 &= ~1 },
        paging(0x06, "read of an absent page, its reserved bits ignored", level: 0) { $0 = $0 & ~3 | 1 << 62 },
        paging(0x06, "read below an absent entry", level: 3) { $0 = 0 },
        paging(0x0c, "reserved bit 62", level: 0) { $0 |= 1 << 62 },
        paging(0x0c, "bit 11 without snoop control", level: 0, model: .full.with(.snoopControl, 0)) { $0 |= 1 << 11 },
        paging(0x0c, "bit 11 above the leaf", level: 1) { $0 |= 1 << 11 },
        paging(0x0c, "large page at level 3", level: 3) { $0 |= 1 << 7 },
        paging(0x0c, "2 MiB page where it is not offered", level: 1, model: .full.with(.secondStageLargePages, 0)) {
            $0 = 0x4000_0000 | 0x83
        },
        paging(0x0c, "1 GiB page where it is not offered", level: 2, model: .full.with(.secondStageLargePages, 1)) {
            $0 = 0x4000_0000 | 0x83
        },
        paging(0x0c, "misaligned 2 MiB page", level: 1) { $0 = 0x4000_1000 | 0x83 },
        paging(0x0c, "misaligned 1 GiB page", level: 2) { $0 = 0x4020_0000 | 0x83 },
        paging(0x0c, "page beyond the address width", level: 0, model: narrow) { $0 |= beyond },
        paging(0x0e, "result in the interrupt range", level: 0) { $0 = 0xfee0_0003 },
    ]

    private static let legacyRequests: [FaultCase] = [
        FaultCase(
            code: 0x04, what: "input above the tables' width", mode: mode, stage: .second, ask: { $0.iova = 1 << 48 }),
        FaultCase(
            code: 0x04, what: "input above the guest address width", mode: mode, stage: .second,
            model: .full.with(.maximumGuestAddressWidth, 39), ask: { $0.iova = 1 << 40 }),
        FaultCase(
            code: 0x04, what: "pass-through above the address width", mode: .legacyPassThrough,
            ask: { $0.iova = 1 << 52 }),
        FaultCase(
            code: 0x04, what: "translated request above the address width", mode: mode,
            setup: { $0.legacyContext.translationType = 1 },
            ask: { request in
                request.kind = .translated
                request.iova = 1 << 52
            }),
        FaultCase(
            code: 0x0e, what: "translated request to the interrupt range", mode: mode,
            setup: { $0.legacyContext.translationType = 1 },
            ask: { request in
                request.kind = .translated
                request.iova = 0xfee0_0000
            }),
        FaultCase(code: 0x0d, what: "translation request, type 0", mode: mode, ask: { $0.kind = .translationRequest }),
        FaultCase(code: 0x0d, what: "translated request, type 0", mode: mode, ask: { $0.kind = .translated }),
        FaultCase(
            code: 0x0d, what: "translation request, pass-through", mode: .legacyPassThrough,
            ask: { $0.kind = .translationRequest }),
        FaultCase(code: 0x31, what: "request with PASID in legacy mode", mode: mode, ask: { $0.pasid = 5 }),
    ]
}

extension UnitModel {
    /// Without device-TLBs, and what depends on them.
    static let withoutDeviceTLB = UnitModel.full.with {
        $0[.deviceTLB] = 0
        $0[.pageRequests] = 0
        $0[.pageRequestDrain] = 0
    }
}
