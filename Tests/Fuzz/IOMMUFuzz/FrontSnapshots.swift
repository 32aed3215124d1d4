// SPDX-License-Identifier: LGPL-2.1-or-later
//
// States of virtual units in target "snapshots": JSON, or a sound state of which bytes change anything at all. What is not refused is
// described and restored; a guest lives on with it, and the unit's own state restores elsewhere.

import IOMMU
import IOMMUTestSupport
import VirtualVTd

import struct Foundation.Data
import class Foundation.JSONDecoder
import class Foundation.JSONEncoder
import class Foundation.JSONSerialization
import class Foundation.NSNumber

final class FrontSnapshots {
    private let profile: RegistersProfile
    private let image: GuardedImage
    private let first: RegistersSubject
    private let second: RegistersSubject

    init() throws {
        profile = try RegistersProfile.all()[0]
        image = try GuardedImage(RegistersProfile.regions)
        first = try RegistersSubject(profile, image.memory, isInline: true)
        second = try RegistersSubject(profile, image.memory, isInline: true)
    }

    func run(_ bytes: ArraySlice<UInt8>) throws {
        image.clear()
        for (address, value) in profile.content { image.store(value, at: address) }
        try first.plugDevice()
        try second.plugDevice()
        do {
            let json = bytes.first == UInt8(ascii: "{") ? Data(bytes) : try changed(FuzzInput(Array(bytes)))
            try restore(JSONDecoder().decode(VirtualVTd.Snapshot.self, from: json))
        } catch let error as IOMMUError {
            if "\(error)".isEmpty { finding("an error without words") }
        } catch is DecodingError {
            // JSON that is no state.
        }
        for subject in [first, second] {
            subject.unplugDevice()
            try subject.front.reset()
        }
    }

    private func restore(_ snapshot: VirtualVTd.Snapshot) throws {
        let image = image
        let words = try VirtualVTd.StateDescription(snapshot) { image.isVisible($0, 8) ? image.load($0) : nil }
        if words.text(all: true).isEmpty { finding("a description without words") }
        try first.front.restore(snapshot)
        let taken = first.front.snapshot()
        do {
            try second.front.restore(taken)
        } catch {
            finding("a unit's own state is refused: \(error)\n\(taken)")
        }
        expect(second.front.snapshot(), taken, "the state of what a state made")
        try liveOn(first)
    }

    /// The guest goes on, and its devices.
    private func liveOn(_ subject: RegistersSubject) throws {
        if let interface = subject.interface { try? subject.front.resumePageRequests(of: interface) }
        // Enables everything, moves tails, clears errors, unmasks, and invalidates by registers.
        let writes: [(Int, UInt64)] = [
            (0x18, 1 << 26 | 1 << 30 | 1 << 31), (0x88, 0x20), (0x34, 0x71), (0x88, 0x40), (0x38, 0), (0xa0, 0),
            (0xe0, 0),
            (0x18, 1 << 24 | 1 << 25 | 1 << 30), (0x2c, 1 << 31 | 1 << 29), (0x18, 1 << 26 | 1 << 31),
        ]
        for (offset, value) in writes { try subject.front.write(offset, size: 4, value) }
        for source in [0x10, 0x18] as [UInt32] {
            _ = try subject.port.translate(0x1000_0000, access: .read, source: SourceID(source))
            _ = try subject.port.signalInterrupt(address: 0xfee0_0010, data: 0, source: SourceID(source)) { _ in }
        }
        try? subject.interface?.request(PageRequest(0x5000, access: .read, pasid: PASID(3)!, group: 1))
        for offset in stride(from: 0, to: 0x600, by: 4) { _ = subject.front.read(offset, size: 4) }
        if subject.front.worksInLine > 9 { finding("works are in line") }
    }

    // MARK: Changes

    /// A state with a group of page requests in it, then whatever bytes say.
    private func changed(_ input: FuzzInput) throws -> Data {
        var input = input
        try first.front.write(0x20, size: 8, profile.roots[1])
        try first.front.write(0x18, size: 4, 1 << 30)
        try first.front.write(0x18, size: 4, 1 << 31)
        try first.front.write(0xd0, size: 8, RegistersProfile.pages)
        try first.interface?.request(PageRequest(0x1000_0000, access: .read, pasid: PASID(3)!, group: 7))
        let sound = try JSONEncoder().encode(first.front.snapshot())
        try first.front.reset()
        try first.plugDevice()
        guard var fields = try JSONSerialization.jsonObject(with: sound) as? [String: Any] else {
            finding("a state is no object")
        }
        for _ in 0...(input.byte() & 3) {
            let name = fields.keys.sorted()[Int(input.byte()) % fields.count]
            // What the unit offers is compared as a whole: it is seldom of use to change it.
            if ["cap", "ecap", "revision", "version", "hostAddressWidth", "unitVersion"].contains(name),
                input.byte() < 0xf0
            {
                continue
            }
            fields[name] = change(fields[name] as Any, &input)
        }
        return try JSONSerialization.data(withJSONObject: fields)
    }

    private func change(_ value: Any, _ input: inout FuzzInput) -> Any {
        let how = input.byte()
        switch value {
        case var list as [Any]:
            let place = list.isEmpty ? 0 : Int(input.number(2)) % list.count
            switch how & 7 {
            case 0: return Array(list.dropLast())
            case 1: return list.isEmpty ? list : list + [list[place]]
            case 2: return [Any]()
            case 3: return list.isEmpty ? list : [Any](repeating: list[place], count: 1 + Int(input.number(2) & 0x7ff))
            default:
                if !list.isEmpty { list[place] = change(list[place], &input) }
                return list
            }
        case var fields as [String: Any]:
            guard !fields.isEmpty else { return fields }
            let name = fields.keys.sorted()[Int(input.byte()) % fields.count]
            fields[name] = how == 0 ? nil : change(fields[name] as Any, &input)
            return fields
        case let number as NSNumber:
            switch how & 7 {
            case 0: return NSNumber(value: 0)
            case 1: return NSNumber(value: UInt64.max)
            case 2: return NSNumber(value: Int64(-1))
            case 3: return NSNumber(value: input.number(8))
            case 4: return NSNumber(value: UInt32(truncatingIfNeeded: input.number(4)))
            default: return NSNumber(value: number.uint64Value ^ 1 << UInt64(input.byte() & 63))
            }
        default: return how & 1 == 0 ? NSNumber(value: how) : [Any]()
        }
    }
}
