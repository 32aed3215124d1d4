// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Fault cases of page walks in scalable mode: codes 70-91.

import IOMMUTestSupport

extension FaultCase {
    private static let narrow = UnitModel.full.with { $0.hostAddressWidth = 46 }
    private static let beyond: UInt64 = 1 << 50
    private static let nestedMode = TableMode.nested(first: 4, second: 4)
    private static let setsSecondMarks: @Sendable (ModeTables) -> Void = { $0.entry.enablesSecondMarks = true }
    private static let takesWriteAway: @Sendable (FaultScene) throws -> Void = {
        try $0.image.protect(region: 0, isWritable: false, in: $0.bench.memory)
    }

    /// One that changes the second-stage entry for the final address, alone and below a first stage.
    private static func second(
        _ code: UInt32, _ what: String, level: Int, failsAt: Int? = nil, model: UnitModel = .full,
        access: Access = [.read],
        _ change: @escaping @Sendable (inout UInt64) -> Void
    ) -> [FaultCase] {
        [(TableMode.scalableSecond(4), FaultAnswer.Stage.second), (nestedMode, .nested)].map { mode, stage in
            FaultCase(
                code: code, what: what, mode: mode, stage: stage, level: failsAt ?? level, model: model,
                damage: { $0.second.update($0.secondInput, level: level, change) }, ask: { $0.access = access })
        }
    }

    /// One that changes a first-stage entry, alone and over a second stage.
    private static func first(
        _ code: UInt32, _ what: String, level: Int, failsAt: Int? = nil, model: UnitModel = .full,
        access: Access = [.read],
        modes: [TableMode] = [.first(4), .nested(first: 4, second: 4)],
        setup: @escaping @Sendable (ModeTables) -> Void = { _ in }, change: @escaping @Sendable (inout UInt64) -> Void
    ) -> [FaultCase] {
        modes.map { mode in
            FaultCase(
                code: code, what: what, mode: mode, stage: .first, level: failsAt ?? level, model: model, setup: setup,
                damage: { $0.first.update(FaultScene.input, level: level, change) }, ask: { $0.access = access })
        }
    }

    /// One in which both stages are sound and the damage lies elsewhere.
    private static func whole(
        _ code: UInt32, _ what: String, _ mode: TableMode, _ stage: FaultAnswer.Stage, level: Int? = nil,
        model: UnitModel = .full, setup: @escaping @Sendable (ModeTables) -> Void = { _ in },
        damage: @escaping @Sendable (FaultScene) throws -> Void = { _ in },
        ask: @escaping @Sendable (inout DMARequest) -> Void = { _ in }
    ) -> FaultCase {
        FaultCase(
            code: code, what: what, mode: mode, stage: stage, level: level, model: model, setup: setup, damage: damage,
            ask: ask)
    }

    /// R in one entry and W in the other: together they allow nothing.
    private static let nothingLeft = second(0x79, "nothing left of R and W", level: 0) { _ in }.map { fault in
        var fault = fault
        fault.damage = { scene in
            scene.second.update(scene.secondInput, level: 1) { $0 &= ~2 }
            scene.second.update(scene.secondInput, level: 0) { $0 &= ~1 }
        }
        fault.isHeldAbove = true
        return fault
    }

    static let secondStage: [FaultCase] =
        second(0x78, "lower table without memory", level: 1, failsAt: 0) { $0 = GuestImage.hole | 3 }
        + second(0x79, "absent page", level: 0) { $0 &= ~3 }
        + nothingLeft
        + second(0x7a, "reserved bit 62", level: 1) { $0 |= 1 << 62 }
        + second(0x7a, "large page at level 3", level: 3) { $0 |= 1 << 7 }
        + second(0x7a, "misaligned 2 MiB page", level: 1) { $0 = 0x4000_1083 }
        + second(0x7a, "page beyond the address width", level: 0, model: narrow) { $0 |= beyond }
        + second(0x85, "write to a page without W", level: 0, access: [.write]) { $0 &= ~2 }
        + second(0x86, "read of a page without R", level: 0) { $0 &= ~1 }
        + second(0x86, "read below an entry without R", level: 1, failsAt: 0) { $0 &= ~1 }.map { $0.heldAbove() }
        + second(0x87, "result in the interrupt range", level: 0) { $0 = 0xfee0_0003 }
        + [
            whole(
                0x7b, "root page without memory", .scalableSecond(4), .second, level: 3,
                damage: { $0.image[$0.entry] = GuestImage.hole | $0.image[$0.entry] & 0xfff }
            ).heldAbove(),
            whole(
                0x7b, "root page without memory", nestedMode, .nested, level: 3,
                damage: { $0.image[$0.entry] = GuestImage.hole | $0.image[$0.entry] & 0xfff }
            ).heldAbove(),
            whole(
                0x7c, "marks without snooped walks", .scalableSecond(4), .second, level: 3,
                setup: {
                    setsSecondMarks($0)
                    $0.entry.snoopsWalks = false
                }),
            whole(
                0x7d, "marks in read-only memory", .scalableSecond(4), .second, level: 3, setup: setsSecondMarks,
                damage: takesWriteAway),
            whole(
                0x7d, "marks in read-only memory", nestedMode, .nested, level: 3, setup: setsSecondMarks,
                damage: takesWriteAway),
            whole(
                0x82, "execute request, page without X", .scalableSecond(4), .second, level: 0, model: .revision3,
                setup: {
                    $0.entry.allowsExecute = true
                    $0.entry.enablesSecondExecute = true
                },
                damage: { $0.second.update(FaultScene.input, level: 0) { $0 &= ~4 } }, ask: { $0.access = [.execute] }),
            whole(
                0x83, "pass-through above the address width", .scalablePassThrough, .none, ask: { $0.iova = 1 << 52 }),
            whole(
                0x83, "translated request above the address width", .first(4), .none,
                ask: { request in
                    request.kind = .translated
                    request.iova = 1 << 52
                }),
            whole(0x84, "input above the tables' width", .scalableSecond(4), .second, ask: { $0.iova = 1 << 48 }),
            whole(
                0x84, "input above the tables' width", .scalableSecond(3), .second,
                setup: { tables in
                    tables.second?.map(FaultScene.input, to: FaultScene.output)
                }, ask: { $0.iova = 1 << 39 }),
            whole(
                0x84, "input above the guest address width", .scalableSecond(5), .second,
                model: .full.with(.maximumGuestAddressWidth, 51), ask: { $0.iova = 1 << 52 }),
            whole(
                0x87, "pass-through to the interrupt range with PASID", .scalablePassThrough, .none,
                ask: { $0.iova = 0xfeef_fff8 }),
            whole(
                0x87, "translated request to the interrupt range", .first(4), .none,
                ask: { request in
                    request.kind = .translated
                    request.iova = 0xfee0_0000
                }),
        ]

    static let firstStage: [FaultCase] =
        first(0x70, "lower table without memory", level: 1, failsAt: 0, modes: [.first(4)]) { $0 = GuestImage.hole | 7 }
        + first(0x71, "absent page", level: 0) { $0 &= ~1 }
        + first(0x71, "absent page, its other bits ignored", level: 1) { $0 = 0x000f_ffff_ffff_fffe }
        + first(0x72, "large page at level 3", level: 3) { $0 |= 1 << 7 }
        + first(0x72, "misaligned 2 MiB page", level: 1) { $0 = 0x4010_0087 }
        + first(0x72, "misaligned 1 GiB page", level: 2) { $0 = 0x4020_0087 }
        + first(0x72, "1 GiB page where it is not offered", level: 2, model: .full.with(.firstStage1GiB, 0)) {
            $0 = 0x4000_0087
        }
        + first(0x72, "page beyond the address width", level: 0, model: narrow, modes: [.first(4)]) { $0 |= beyond }
        + first(0x72, "XD without NXE in revision 3", level: 2, model: .revision3) { $0 |= 1 << 63 }
        + first(0x81, "user request to a supervisor page", level: 0) { $0 &= ~4 }
        + first(0x81, "user request below a supervisor entry", level: 2) { $0 &= ~4 }
        + first(0x85, "write to a read-only page", level: 0, access: [.write]) { $0 &= ~2 }
        + first(0x85, "write below a read-only entry", level: 3, access: [.write]) { $0 &= ~2 }
        + first(
            0x85, "supervisor write under WPE", level: 0, access: [.write, .privileged],
            setup: {
                $0.entry.allowsSupervisor = true
                $0.entry.protectsSupervisor = true
            }, change: { $0 &= ~2 })
        + first(
            0x82, "execute request, XD", level: 1, failsAt: 0, model: .revision3, access: [.execute],
            setup: {
                $0.entry.allowsExecute = true
                $0.entry.hasExecuteDisable = true
            }, change: { $0 |= 1 << 63 }
        ).map { $0.heldAbove() }
        + first(
            0x82, "supervisor execute request to a user page under SMEP", level: 0, model: .revision3,
            access: [.execute, .privileged],
            setup: {
                $0.entry.allowsExecute = true
                $0.entry.allowsSupervisor = true
                $0.entry.hasSupervisorProtection = true
            }, change: { _ in })
        + first(0x87, "result in the interrupt range", level: 0, modes: [.first(4)]) { $0 = 0xfee0_0007 }
        + [
            whole(
                0x73, "root page without memory", .first(4), .first, level: 3,
                damage: { scene in
                    scene.image[scene.entry + 16] = GuestImage.hole | scene.image[scene.entry + 16] & 0xfff
                }
            ).heldAbove(),
            whole(0x80, "input not canonical for 4 levels", .first(4), .first, ask: { $0.iova = 1 << 47 }),
            whole(
                0x80, "input not canonical for 4 levels", nestedMode, .first, ask: { $0.iova = 0xffff_7fff_ffff_f000 }),
            whole(0x80, "input not canonical for 5 levels", .first(5), .first, ask: { $0.iova = 1 << 56 }),
            whole(
                0x90, "marks without snooped walks", .first(4), .first, level: 3,
                setup: { $0.entry.snoopsWalks = false }),
            whole(0x91, "marks in read-only memory", .first(4), .first, level: 3, damage: takesWriteAway),
            whole(0x91, "marks in read-only memory", nestedMode, .first, level: 3, damage: takesWriteAway),
        ]

    static let nested: [FaultCase] = [
        whole(
            0x70, "lower table maps to no memory", nestedMode, .first, level: 0,
            damage: { scene in
                let page = scene.first.entryPointer(FaultScene.input, level: 0)
                scene.second.setEntry(page, level: 0, GuestImage.hole | 7)
            }),
        whole(
            0x73, "root page maps to no memory", nestedMode, .first, level: 3,
            damage: { scene in
                scene.second.setEntry(scene.first.root, level: 0, GuestImage.hole | 7)
            }),
        whole(
            0x74, "entry beyond the guest address width", nestedMode, .first, level: 1,
            model: .full.with(.maximumGuestAddressWidth, 47),
            damage: { $0.first.update(FaultScene.input, level: 1) { $0 |= beyond } }),
        whole(
            0x74, "page beyond the guest address width", nestedMode, .first, level: 0,
            model: .full.with(.maximumGuestAddressWidth, 47),
            damage: { $0.first.update(FaultScene.input, level: 0) { $0 |= beyond } }),
        whole(
            0x74, "root beyond the guest address width", nestedMode, .first, level: 3,
            model: .full.with(.maximumGuestAddressWidth, 47), damage: { $0.image[$0.entry + 16] |= beyond }
        ).heldAbove(),
        whole(
            0x75, "no permission to read the root page", nestedMode, .first, level: 3,
            damage: { scene in
                scene.second.update(scene.first.root, level: 0) { $0 &= ~1 }
            }),
        whole(
            0x76, "no permission to read a lower table", nestedMode, .first, level: 0,
            damage: { scene in
                scene.second.update(scene.first.entryPointer(FaultScene.input, level: 0), level: 0) { $0 &= ~1 }
            }),
        whole(
            0x77, "no permission to mark the root page", nestedMode, .first, level: 3,
            damage: { scene in
                scene.second.update(scene.first.root, level: 0) { $0 &= ~2 }
            }),
        whole(
            0x77, "no permission to mark a lower table", nestedMode, .first, level: 0,
            damage: { scene in
                scene.second.update(scene.first.entryPointer(FaultScene.input, level: 0), level: 0) { $0 &= ~2 }
            }),
        whole(
            0x79, "first-stage table not mapped", nestedMode, .nested, level: 0,
            damage: { scene in
                scene.second.update(scene.first.entryPointer(FaultScene.input, level: 0), level: 0) { $0 = 0 }
            }),
        whole(
            0x84, "first-stage root above the tables' width", nestedMode, .nested,
            damage: { $0.image[$0.entry + 16] |= beyond }
        ).heldAbove(),
        whole(
            0x82, "execute request, second-stage page without X", nestedMode, .nested, level: 0, model: .revision3,
            setup: {
                $0.entry.allowsExecute = true
                $0.entry.enablesSecondExecute = true
            },
            damage: { $0.second.update(FaultScene.place, level: 0) { $0 &= ~4 } }, ask: { $0.access = [.execute] }),
        whole(
            0x90, "marks without snooped walks", nestedMode, .first, level: 3, setup: { $0.entry.snoopsWalks = false }),
        whole(
            0x7c, "second-stage marks without snooped walks", nestedMode, .nested, level: 3,
            setup: {
                setsSecondMarks($0)
                $0.entry.snoopsWalks = false
            }),
    ]
}
