// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Target "snapshots": JSON, or records made of bytes; behind a V, the state of a virtual unit (FrontSnapshots.swift). Restoring throws and leaves the unit empty, or makes a unit whose own snapshot
// restores to the same.

import IOMMU
import IOMMUTestSupport

import struct Foundation.Data
import class Foundation.JSONDecoder

final class SnapshotsTarget {
    /// Small enough that no restore takes long.
    private static let limits: UnitSnapshot.Limits = {
        var limits = UnitSnapshot.Limits()
        limits.tables = 64
        limits.spaces = 8
        limits.domains = 16
        limits.devices = 16
        limits.attachments = 64
        limits.namespaces = 8
        limits.bindings = 64
        return limits
    }()

    private let fronts: FrontSnapshots
    private let first: Subject
    private let second: Subject

    /// A unit that is empty between inputs.
    private struct Subject {
        let image: GuestImage
        let unit: RemappingUnit
        let port: Port

        init() throws {
            image = GuestImage(regions: [.init(address: GuestImage.ram, pages: 4)])
            let memory = try GuestMemory()
            try image.register(in: memory)
            unit = try RemappingUnit(capabilities: .full, memory: memory, configuration: TestBench.smallCaches)
            port = try unit.makePort()
        }

        func checkIsEmpty(_ context: String) {
            expect(
                UnitSnapshot(of: unit), UnitSnapshot(description: unit.unitDescription),
                "\(context): the unit is not empty")
        }
    }

    init() {
        do {
            (first, second, fronts) = (try Subject(), try Subject(), try FrontSnapshots())
        } catch {
            finding("no unit: \(error)")
        }
    }

    func run(_ bytes: [UInt8]) throws {
        // JSON begins with a brace; records do not.
        if bytes.first == UInt8(ascii: "{") {
            restore { try JSONDecoder().decode(UnitSnapshot.self, from: Data(bytes)) }
        } else if bytes.first == UInt8(ascii: "V") {
            try fronts.run(bytes.dropFirst())
        } else {
            var reader = SnapshotReader(bytes)
            let snapshot = reader.snapshot(first.unit.unitDescription)
            restore { snapshot }
        }
    }

    private func restore(_ read: () throws -> UnitSnapshot) {
        do {
            let snapshot = try read()
            try restore(snapshot)
        } catch let error as IOMMUError {
            if "\(error)".isEmpty { finding("an error without words") }
            first.checkIsEmpty("after \(error)")
        } catch is DecodingError {
            first.checkIsEmpty("after JSON that is none")
        } catch {
            finding("neither an error of the library nor of decoding: \(error)")
        }
        first.checkIsEmpty("at the end")
    }

    private func restore(_ snapshot: UnitSnapshot) throws {
        let restored = try snapshot.restore(into: first.unit, limits: Self.limits)
        var taken = UnitSnapshot(of: first.unit)
        if FuzzDamage.snapshotWithoutDevice.isWanted { taken.devices = taken.devices.dropLast() }
        if FuzzDamage.snapshotWithoutAttachment.isWanted {
            for index in taken.devices.indices { _ = taken.devices[index].attachments.popLast() }
        }
        expect(taken.devices.count, snapshot.devices.count, "devices")
        expect(taken.domains.count, snapshot.domains.count, "domains")
        expect(taken.namespaces.map(\.bindings.count), snapshot.namespaces.map(\.bindings.count), "namespaces")
        expect(taken.devices.map(\.id), snapshot.devices.map(\.id), "ids")
        expect(restored.devices.count, snapshot.devices.count, "restored devices")
        expect(restored.spaces.count, snapshot.spaces.count, "restored spaces")
        let before = try answers(first, snapshot)
        do {
            // What a unit says of itself is always sound.
            let again = try taken.restore(into: second.unit, limits: Self.limits)
            expect(UnitSnapshot(of: second.unit), taken, "the snapshot of what a snapshot made")
            expect(try answers(second, snapshot), before, "answers of what a snapshot made")
            withExtendedLifetime(again) {}
        } catch {
            finding("a unit's own snapshot is refused: \(error)\n\(taken)")
        }
        second.checkIsEmpty("the second unit")
        withExtendedLifetime(restored) {}
    }

    private func answers(_ subject: Subject, _ snapshot: UnitSnapshot) throws -> [TranslationResult] {
        var answers: [TranslationResult] = []
        for device in snapshot.devices.prefix(4) {
            for pasid in [nil] + device.attachments.prefix(2).map(\.pasid) {
                for iova: IOVA in [0, 0x1000, 0x20_0000, 0x4000_0000, 0xffff_ffff_f000] {
                    answers.append(
                        try subject.port.translate(
                            iova, access: .read, source: device.source, pasid: pasid, options: .noFault))
                }
            }
        }
        return answers
    }
}
