// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Damaged snapshots: bytes of the JSON and fields of the value are changed at random. Either an error is thrown and the unit is
// empty, or there is a unit whose own snapshot restores to the same. Nothing else, and never a trap.

import Foundation
import IOMMU
import IOMMUTestSupport
import Testing

@Suite struct SnapshotFuzzTests {
    /// Small enough that no restore takes long.
    private static let limits: UnitSnapshot.Limits = {
        var limits = UnitSnapshot.Limits()
        limits.tables = 64
        return limits
    }()

    private static var rounds: Int {
        ProcessInfo.processInfo.environment["IOMMU_LONG_TESTS"] == nil ? 1500 : 100_000
    }

    /// Restores what may be damaged.
    ///
    /// - Returns: True if it was restored.
    private func tryToRestore(_ bench: HostBench, _ note: Comment, _ read: () throws -> UnitSnapshot) throws -> Bool {
        do {
            let snapshot = try read()
            let restored = try snapshot.restore(into: bench.unit, limits: Self.limits)
            let taken = UnitSnapshot(of: bench.unit)
            #expect(taken.devices.count == snapshot.devices.count, note)
            #expect(taken.domains.count == snapshot.domains.count, note)
            #expect(taken.namespaces.count == snapshot.namespaces.count, note)
            _ = try bench.answers()
            try withExtendedLifetime(restored) { () throws in
                let other = try HostBench()
                let again = try taken.restore(into: other.unit)
                #expect(UnitSnapshot(of: other.unit) == taken, note)
                withExtendedLifetime(again) {}
            }
        } catch {
            #expect(error is IOMMUError || error is DecodingError, note)
            #expect(bench.isEmpty, note)
            return false
        }
        #expect(bench.isEmpty, note)
        return true
    }

    @Test func damagedJSONIsRefusedOrRestored() throws {
        var generator = SeededGenerator.forTest()
        let bench = try HostBench()
        let good = try bench.recordedWorld().json()
        var restored = 0
        for round in 0..<Self.rounds {
            let note = Comment(rawValue: "round \(round), IOMMU_TEST_SEED=\(generator.seed)")
            var bytes = [UInt8](good)
            for _ in 0...generator.below(3) { Self.damage(&bytes, &generator) }
            if try tryToRestore(bench, note, { try UnitSnapshot(json: Data(bytes)) }) { restored += 1 }
        }
        #expect(restored > 0 && restored < Self.rounds, "IOMMU_TEST_SEED=\(generator.seed)")
    }

    private static func damage(_ bytes: inout [UInt8], _ generator: inout SeededGenerator) {
        guard !bytes.isEmpty else { return }
        let place = generator.below(bytes.count)
        switch generator.below(12) {
        case 0: bytes[place] = UInt8(truncatingIfNeeded: generator.next())
        case 1: bytes[place] ^= 1 << UInt8(generator.below(8))
        case 2: bytes.insert(UInt8(truncatingIfNeeded: generator.next()), at: place)
        case 3: bytes.removeSubrange(place..<min(bytes.count, place + 1 + generator.below(4)))
        case 4:
            let length = min(1 + generator.below(60), bytes.count - place)
            bytes.insert(contentsOf: bytes[place..<place + length], at: generator.below(bytes.count))
        default: damageNumber(&bytes, from: place, &generator)
        }
    }

    /// Another digit, or another number, in the first number at or behind a place.
    private static func damageNumber(_ bytes: inout [UInt8], from place: Int, _ generator: inout SeededGenerator) {
        let isDigit: (UInt8) -> Bool = { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
        guard let first = bytes[place...].firstIndex(where: isDigit) else { return }
        if generator.oneIn(2) {
            bytes[first] = UInt8(ascii: "0") + UInt8(generator.below(10))
            return
        }
        let end = bytes[first...].firstIndex { !isDigit($0) } ?? bytes.count
        let numbers = [
            "0", "1", "-1", "2", "4095", "4096", "1048575", "1048576", "4294967295", "9223372036854775807",
            "18446744073709551615", "18446744073709551616", "1e400", "0.5",
        ]
        bytes.replaceSubrange(first..<end, with: Array(generator.pick(numbers).utf8))
    }

    @Test func damagedValuesAreRefusedOrRestored() throws {
        var generator = SeededGenerator.forTest()
        let bench = try HostBench()
        let good = try bench.recordedWorld()
        var restored = 0
        for round in 0..<Self.rounds {
            let note = Comment(rawValue: "round \(round), IOMMU_TEST_SEED=\(generator.seed)")
            var snapshot = good
            for _ in 0...generator.below(3) { snapshot.damage(&generator) }
            if try tryToRestore(bench, note, { snapshot }) { restored += 1 }
        }
        #expect(restored > 0 && restored < Self.rounds, "IOMMU_TEST_SEED=\(generator.seed)")
    }
}

extension SeededGenerator {
    /// A number that is likely to be a border of something.
    fileprivate mutating func border() -> UInt64 {
        let base: UInt64 =
            switch below(4) {
            case 0: 0
            case 1: 1 << UInt64(below(64))
            case 2: .max
            default: next() >> UInt64(below(64))
            }
        return oneIn(2) ? base & ~4095 : base &+ UInt64(below(3)) &- 1
    }

    fileprivate mutating func anyPASID() -> PASID {
        pasid(UInt32(truncatingIfNeeded: border()) & 0xfffff)
    }

    /// A position in something with `count` elements, or just beside it.
    fileprivate mutating func position(_ count: Int) -> Int {
        oneIn(4) ? below(count + 3) - 1 : below(max(count, 1))
    }
}

extension Array {
    /// Removes, repeats, swaps or changes one element.
    fileprivate mutating func damage(
        _ generator: inout SeededGenerator, _ change: (inout Element, inout SeededGenerator) -> Void
    ) {
        guard !isEmpty else { return }
        let index = generator.below(count)
        switch generator.below(8) {
        case 0: remove(at: index)
        case 1: append(self[index])
        case 2: swapAt(index, generator.below(count))
        default: change(&self[index], &generator)
        }
    }
}

extension UnitSnapshot {
    fileprivate mutating func damage(_ generator: inout SeededGenerator) {
        let spaceCount = spaces.count
        let domainCount = domains.count
        switch generator.below(4) {
        case 0: spaces.damage(&generator) { $0.damage(&$1) }
        case 1:
            domains.damage(&generator) { domain, generator in
                switch domain {
                case .paging(var record):
                    record.damage(&generator, spaceCount)
                    domain = .paging(record)
                case .nested(var record):
                    switch generator.below(4) {
                    case 0: record.parent = generator.position(domainCount)
                    case 1: record.firstStage.root = IOVA(generator.border())
                    case 2: record.firstStage.addressWidth = Int(truncatingIfNeeded: generator.border())
                    default: record.firstStage.options = .init(rawValue: generator.border() & 15)
                    }
                    domain = .nested(record)
                }
            }
        case 2: devices.damage(&generator) { $0.damage(&$1, domainCount) }
        default:
            namespaces.damage(&generator) { namespace, generator in
                switch generator.below(3) {
                case 0: namespace.first = generator.anyPASID()
                case 1: namespace.last = generator.anyPASID()
                default:
                    namespace.bindings.damage(&generator) { binding, generator in
                        if generator.oneIn(2) {
                            binding.guest = generator.anyPASID()
                        } else {
                            binding.host = generator.anyPASID()
                        }
                    }
                }
            }
        }
    }
}

extension UnitSnapshot.SpaceRecord {
    fileprivate mutating func damage(_ generator: inout SeededGenerator) {
        switch generator.below(6) {
        case 0: granule = generator.border()
        case 1: firstAutomaticOutput = OutputAddress(generator.border())
        case 2: allowed.damage(&generator) { $0.first = IOVA($1.border()) }
        case 3: reserved.damage(&generator) { $0.last = IOVA($1.border()) }
        default:
            areas.damage(&generator) { area, generator in
                switch generator.below(5) {
                case 0: area.first = IOVA(generator.border())
                case 1: area.last = IOVA(generator.border())
                case 2: area.output = OutputAddress(generator.border())
                case 3: area.rights = AccessRights(rawValue: UInt32(generator.below(8)))
                default: area.offset = generator.border()
                }
            }
        }
    }
}

extension UnitSnapshot.PagingRecord {
    fileprivate mutating func damage(_ generator: inout SeededGenerator, _ spaceCount: Int) {
        switch generator.below(7) {
        case 0: options = UInt32(generator.below(5))
        case 1: addressWidth = generator.pick([39, 48, 57, 0, 64, -1, .max])
        case 2: largestPage = generator.pick([nil, 12, 21, 30, 0, 48])
        case 3: space = generator.oneIn(2) ? nil : generator.position(spaceCount)
        case 4: tracking = generator.pick(UnitSnapshot.TrackingRecord.allCases)
        default:
            mappings.damage(&generator) { mapping, generator in
                switch generator.below(4) {
                case 0: mapping.first = IOVA(generator.border())
                case 1: mapping.last = IOVA(generator.border())
                case 2: mapping.output = OutputAddress(generator.border())
                default: mapping.rights = AccessRights(rawValue: UInt32(generator.below(8)))
                }
            }
        }
    }
}

extension UnitSnapshot.DeviceRecord {
    fileprivate mutating func damage(_ generator: inout SeededGenerator, _ domainCount: Int) {
        switch generator.below(6) {
        case 0: id = DeviceID(UInt64(generator.below(16)))
        case 1: source = SourceID(UInt32(truncatingIfNeeded: generator.border()))
        case 2:
            let ends = [generator.anyPASID(), generator.anyPASID()].sorted()
            let policy = generator.pick(Device.SharedPASIDPolicy.allCases)
            share = generator.pick([.whole, .parent, .slice(ends[0]...ends[1], policy: policy)])
        case 3:
            let address = OutputAddress(generator.border())
            table = PASIDTable(pasidBits: generator.below(24), ridPASID: generator.anyPASID(), address: address)
            if generator.oneIn(2) { attachments = [] }
        default:
            attachments.damage(&generator) { attachment, generator in
                if generator.oneIn(2) {
                    attachment.pasid = generator.oneIn(3) ? nil : generator.anyPASID()
                } else {
                    attachment.domain = generator.pick([
                        .identity, .blocked, .domain(generator.position(domainCount)),
                    ])
                }
            }
        }
    }
}
