// SPDX-License-Identifier: LGPL-2.1-or-later
//
// RegisterExplanation - where the recorder's registers depart from the architecture, by kind. Those, and no others.

internal import IOMMU
internal import IOMMUCapture

/// Why a register may read differently from the recording.
enum RegisterExplanation: String, Hashable, Sendable {
    /// A fault-recording register with the recorder's legacy code of a condition that has a scalable code.
    case legacyCode
    /// PV of a fault without PASID (PP clear): the recorder leaves ones there.
    case absentPASID
    /// The recorder keeps one record for the repeated faults of a source, in its own way.
    case faultCompressed

    /// Nil for a difference that nothing explains.
    init?(_ access: EventStream.RegisterAccess, _ value: UInt64, _ capabilities: Capabilities) {
        let records = capabilities.faultRecordingOffset..<capabilities.faultRecordingOffset + 16 * capabilities.faultRecordingRegisters
        let offset = Int(access.offset)
        guard records.contains(offset), access.size == 4, (offset - records.lowerBound) % 16 == 12 else { return nil }
        // Bits 127:96: FR in 7:0, PV in 27:8, AT in 29:28.
        let differs = access.value ^ value
        if differs & ~0x0fff_ff00 == 0 {
            self = .absentPASID
        } else if differs & ~0xff == 0,
            Explanation.scalableCodes(for: UInt8(access.value & 0xff)).contains(UInt32(value & 0xff))
        {
            self = .legacyCode
        } else {
            return nil
        }
    }
}

/// What a replay through registers compared.
public struct RegisterCounts: Hashable, Sendable, Codable {
    /// Register reads.
    public var reads = 0
    /// Known departures of the recorder in them, by kind.
    public var explained: [String: Int] = [:]
    /// Status words of wait descriptors.
    public var statusWrites = 0
    /// Messages of devices that were remapped.
    public var interrupts = 0
    /// Interrupts of the unit itself.
    public var signals = 0

    /// All zero.
    public init() {}
}
