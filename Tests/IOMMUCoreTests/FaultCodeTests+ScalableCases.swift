// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Fault cases of scalable mode up to the PASID table: codes 38-5D.

import IOMMUTestSupport

extension FaultCase {
    private static let mode = TableMode.first(4)
    private static let narrow = UnitModel.full.with { $0.hostAddressWidth = 46 }
    private static let beyond: UInt64 = 1 << 50

    /// One that damages tables of a plain first-stage device.
    private static func plain(
        _ code: UInt32, _ what: String, model: UnitModel = .full,
        _ damage: @escaping @Sendable (FaultScene) throws -> Void
    ) -> FaultCase {
        FaultCase(code: code, what: what, mode: mode, model: model, damage: damage)
    }

    /// One whose request is wrong for its context entry.
    private static func request(
        _ code: UInt32, _ what: String, model: UnitModel = .full,
        setup: @escaping @Sendable (ModeTables) -> Void = { _ in },
        ask: @escaping @Sendable (inout DMARequest) -> Void
    ) -> FaultCase {
        FaultCase(code: code, what: what, mode: mode, model: model, setup: setup, ask: ask)
    }

    /// One that sets bits in a word of the context entry.
    private static func context(
        _ code: UInt32, _ what: String, word: UInt64, _ added: UInt64, model: UnitModel = .full
    ) -> FaultCase {
        plain(code, what, model: model) { $0.image[$0.context + 8 * word] |= added }
    }

    /// One that sets bits in a word of the PASID entry.
    private static func entry(
        _ code: UInt32, _ what: String, word: UInt64, _ added: UInt64, model: UnitModel = .full,
        mode: TableMode = .first(4), clearing removed: UInt64 = 0
    ) -> FaultCase {
        FaultCase(
            code: code, what: what, mode: mode, model: model,
            damage: { scene in
                scene.image[scene.entry + 8 * word] = scene.image[scene.entry + 8 * word] & ~removed | added
            })
    }

    static let configuration: [FaultCase] = [
        plain(0x38, "root table without memory") { try $0.bench.setRoot(GuestImage.hole | 1 << 10) },
        plain(0x38, "root table beyond the address width", model: narrow) { try $0.bench.setRoot(beyond | 1 << 10) },
        plain(0x39, "root half absent") { $0.image[$0.root] &= ~1 },
        plain(0x3a, "root half, reserved bit 1") { $0.image[$0.root] |= 1 << 1 },
        plain(0x3a, "root half, reserved bit 11") { $0.image[$0.root] |= 1 << 11 },
        plain(0x3a, "root half beyond the address width", model: narrow) { $0.image[$0.root] |= beyond },
        plain(0x40, "context table without memory") { $0.image[$0.root] = GuestImage.hole | 1 },
        plain(0x41, "context entry absent") { $0.image[$0.context] &= ~1 },
        context(0x42, "context entry, reserved bit 5", word: 0, 1 << 5),
        context(0x42, "context entry, reserved bit 8", word: 0, 1 << 8),
        context(0x42, "context entry, reserved bit 85", word: 1, 1 << 21),
        context(0x42, "context entry, reserved bit 127", word: 1, 1 << 63),
        context(0x42, "context entry, reserved bit 128", word: 2, 1),
        context(0x42, "context entry, reserved bit 255", word: 3, 1 << 63),
        context(0x42, "directory beyond the address width", word: 0, beyond, model: narrow),
        plain(0x42, "page requests where they are not offered", model: .withoutPageRequests) {
            $0.image[$0.context] |= 1 << 4
        },
        FaultCase(
            code: 0x42, what: "DTE where device-TLBs are not offered", mode: mode, model: .withoutDeviceTLB,
            setup: { $0.context.allowsDeviceTLB = false }, damage: { $0.image[$0.context] |= 1 << 2 }),
        FaultCase(
            code: 0x42, what: "RID_PASID where it is not offered", mode: mode, model: .full.with(.requestPASID, 0),
            setup: { $0.context.requestPASID = 0 }, damage: { $0.image[$0.context + 8] |= 1 }),
        context(0x42, "RID_PRIV where it is not offered", word: 1, 1 << 20, model: .full.with(.requestPrivilege, 0)),
        FaultCase(
            code: 0x43, what: "page requests without device-TLB", mode: mode,
            setup: { $0.context.allowsDeviceTLB = false }, damage: { $0.image[$0.context] |= 1 << 4 }),
        request(
            0x44, "translation request with DTE=0", setup: { $0.context.allowsDeviceTLB = false },
            ask: { $0.kind = .translationRequest }),
        request(
            0x44, "translated request with DTE=0", setup: { $0.context.allowsDeviceTLB = false },
            ask: { $0.kind = .translated }),
        plain(0x45, "PASID where it is not allowed") { $0.image[$0.context] &= ~(1 << 3) },
        request(0x46, "PASID beyond the directory") { $0.pasid = 1 << 13 },
        request(
            0x46, "PASID beyond a larger directory", setup: { $0.context.directorySize = 6 },
            ask: { $0.pasid = 1 << 19 }),
        FaultCase(
            code: 0x48, what: "RID_PASID beyond the directory", mode: mode,
            setup: { $0.context.requestPASID = 1 << 13 }, ask: { $0.pasid = nil }),
        plain(0x50, "directory without memory") {
            $0.image[$0.context] = GuestImage.hole | $0.image[$0.context] & 0xfff
        },
        FaultCase(
            code: 0x50, what: "directory entry beyond the address width", mode: mode, model: narrow,
            setup: { $0.context.directorySize = 7 },
            damage: { $0.image[$0.context] = 0x3fff_ffff_f000 | $0.image[$0.context] & 0xfff },
            ask: { $0.pasid = 0xf_ffff }),
        plain(0x51, "directory entry absent") { $0.image[$0.directory] &= ~1 },
        plain(0x52, "directory entry, reserved bit 2") { $0.image[$0.directory] |= 1 << 2 },
        plain(0x52, "directory entry, reserved bit 11") { $0.image[$0.directory] |= 1 << 11 },
        plain(0x52, "directory entry beyond the address width", model: narrow) { $0.image[$0.directory] |= beyond },
        plain(0x58, "PASID table without memory") { $0.image[$0.directory] = GuestImage.hole | 1 },
        plain(0x59, "PASID entry absent") { $0.image[$0.entry] &= ~1 },
    ]

    static let pasidTable: [FaultCase] = [
        entry(0x5a, "PASID entry, reserved bit 10", word: 0, 1 << 10),
        entry(0x5a, "second-stage root beyond the address width", word: 0, beyond, model: narrow),
        entry(0x5a, "the same in pass-through", word: 0, beyond, model: narrow, mode: .scalablePassThrough),
        entry(0x5a, "SSEE in revision 4", word: 0, 1 << 5),
        entry(0x5a, "SSADE where it is not offered", word: 0, 1 << 9, model: .full.with(.secondStageMarks, 0)),
        entry(0x5a, "PASID entry, reserved bit 80", word: 1, 1 << 16),
        entry(0x5a, "PASID entry, reserved bit 86", word: 1, 1 << 22),
        entry(0x5a, "domain id beyond CAP.ND", word: 1, 0x10, model: .full.with(.domains, 0)),
        entry(0x5a, "cache disable without memory types", word: 1, 1 << 25),
        entry(0x5a, "PAT without memory types", word: 1, 1 << 40),
        entry(0x5a, "forced snoop where it is not offered", word: 1, 1 << 24, model: .full.with(.snoopControl, 0)),
        entry(0x5a, "PWT in revision 4", word: 1, 1 << 30),
        entry(0x5a, "SRE where it is not offered", word: 2, 1, model: .full.with(.supervisorRequests, 0)),
        entry(0x5a, "ERE in revision 4", word: 2, 1 << 1),
        entry(0x5a, "EAFE where it is not offered", word: 2, 1 << 7, model: .full.with(.extendedAccessed, 0)),
        entry(0x5a, "PASID entry, reserved bit 136", word: 2, 1 << 8),
        entry(0x5a, "first-stage root beyond the address width", word: 2, beyond, model: narrow),
        entry(0x5a, "PASID entry, reserved bit 192", word: 3, 1),
        entry(0x5a, "PASID entry, reserved bit 511", word: 7, 1 << 63),
        entry(0x5b, "translation type 0", word: 0, 0, clearing: 7 << 6),
        entry(0x5b, "translation type 5", word: 0, 5 << 6, clearing: 7 << 6),
        entry(0x5b, "translation type 7", word: 0, 7 << 6, clearing: 7 << 6),
        entry(
            0x5b, "nesting where it is not offered", word: 0, 3 << 6, model: .full.with(.nesting, 0), clearing: 7 << 6),
        entry(
            0x5b, "pass-through where it is not offered", word: 0, 4 << 6, model: .full.with(.passThrough, 0),
            clearing: 7 << 6),
        entry(0x5b, "second-stage width 0", word: 0, 0, mode: .scalableSecond(4), clearing: 7 << 2),
        entry(
            0x5b, "second-stage width that the unit lacks", word: 0, 3 << 2, model: .full.with(.secondStageWidths, 4),
            mode: .nested(first: 4, second: 4), clearing: 7 << 2),
        entry(0x5b, "five levels where they are not offered", word: 2, 1 << 2, model: .full.with(.firstStage5Level, 0)),
        entry(0x5b, "paging mode 2", word: 2, 2 << 2),
        FaultCase(
            code: 0x5c, what: "execute request with ERE=0", mode: mode, model: .revision3,
            ask: { $0.access = [.execute] }),
        FaultCase(
            code: 0x5c, what: "execute request with ERE=0", mode: .scalableSecond(4), model: .revision3,
            ask: { $0.access = [.execute] }),
        request(0x5d, "supervisor request with SRE=0") { $0.access = [.read, .privileged] },
        FaultCase(
            code: 0x5d, what: "RID_PRIV with SRE=0", mode: .nested(first: 4, second: 4),
            setup: { $0.context.isRequestPrivileged = true }, ask: { $0.pasid = nil }),
    ]
}

extension UnitModel {
    static let withoutPageRequests = UnitModel.full.with {
        $0[.pageRequests] = 0
        $0[.pageRequestDrain] = 0
    }
}
