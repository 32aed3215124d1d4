// SPDX-License-Identifier: LGPL-2.1-or-later
//
// SnapshotForm - a snapshot that a test fills in, through its JSON: also with what no unit would write.

import Foundation
import IOMMU
import IOMMUTestSupport
import VirtualVTd

/// A snapshot in the making: of a unit after power-on, or what another one holds.
struct SnapshotForm {
    private var json: [String: Any]
    private(set) var registers: [UInt32]

    init(_ capabilities: Capabilities = .full) throws {
        try self.init(VTdMachine(capabilities).front.snapshot())
    }

    init(_ snapshot: VirtualVTd.Snapshot) throws {
        registers = snapshot.registers
        json = try JSONSerialization.jsonObject(with: JSONEncoder().encode(snapshot)) as? [String: Any] ?? [:]
        // Exactly, whatever a number of JSON keeps.
        for (key, value) in [("cap", snapshot.cap), ("ecap", snapshot.ecap)] { json[key] = NSNumber(value: value) }
    }

    /// Replaces a member.
    mutating func set(_ key: String, _ value: UInt64) {
        json[key] = NSNumber(value: value)
    }

    mutating func set(_ key: String, _ value: Int) {
        json[key] = NSNumber(value: value)
    }

    /// Puts a value into a register of 64 bits, whatever a guest may write there.
    mutating func put(_ offset: Int, _ value: UInt64, size: Int = 8) {
        registers[offset / 4] = UInt32(truncatingIfNeeded: value)
        if size == 8 { registers[offset / 4 + 1] = UInt32(truncatingIfNeeded: value >> 32) }
    }

    /// Replaces all registers.
    mutating func put(_ words: [UInt32]) {
        registers = words
    }

    func data() throws -> Data {
        var json = json
        json["registers"] = registers.map { NSNumber(value: $0) }
        return try JSONSerialization.data(withJSONObject: json)
    }

    func snapshot() throws -> VirtualVTd.Snapshot {
        try JSONDecoder().decode(VirtualVTd.Snapshot.self, from: data())
    }

    func describe(
        _ options: VirtualVTd.StateDescription.Options = .init(), memory: ((UInt64) -> UInt64?)? = nil
    ) throws -> VirtualVTd.StateDescription {
        try VirtualVTd.StateDescription(snapshot(), options: options, memory: memory)
    }
}

extension VirtualVTd.StateDescription {
    /// A register by name.
    subscript(name: String) -> RegisterState? {
        registers.first { $0.name == name }
    }
}

extension VirtualVTd.StateDescription.RegisterState {
    /// Fields that are not as after power-on, as text.
    var changed: String {
        fields.filter { !$0.isAtReset }.map { "\($0.name)=\($0.value)" }.joined(separator: " ")
    }
}

extension VirtualVTd.StateDescription.Entry {
    /// Kind and fields as text.
    var phrase: String {
        let words = fields.map { $0.value.isEmpty ? $0.name : "\($0.name) \($0.value)" }
        return ([kind] + words).joined(separator: ", ")
    }
}
