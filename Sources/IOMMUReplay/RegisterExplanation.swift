// SPDX-License-Identifier: LGPL-2.1-or-later
//
// RegisterExplanation - where the recorder's registers depart from the architecture, by kind. Those, and no others.

internal import IOMMU
internal import IOMMUCapture

/// Why a fault-recording register may read differently from the recording.
enum RegisterExplanation: String, Hashable, Sendable {
    /// The recorder's legacy code of a condition that has a scalable code.
    case legacyCode
    /// PV of a fault without PASID (PP clear), which means nothing: the recorder leaves ones there.
    case absentPASID
    /// PP of a request without PASID, whose PASID the context entry implied: the recorder sets it [FORMATS-VTD B7].
    case impliedPASID

    /// Nil for a difference that nothing explains.
    init?(_ access: EventStream.RegisterAccess, _ value: UInt64, _ capabilities: Capabilities) {
        let offset = Int(access.offset) - capabilities.faultRecordingOffset
        guard access.size == 4, (0..<16 * capabilities.faultRecordingRegisters).contains(offset) else { return nil }
        let difference = access.value ^ value
        switch offset % 16 {
        case 8 where difference == 1 << 31 && value >> 31 == 0:
            self = .impliedPASID
        // FR in bits 7:0, PV in 27:8.
        case 12 where difference & ~0x0fff_ff00 == 0:
            self = .absentPASID
        case 12 where difference & ~0xff == 0:
            let codes = Explanation.scalableCodes(for: UInt8(access.value & 0xff))
            guard codes.contains(UInt32(value & 0xff)) else { return nil }
            self = .legacyCode
        default:
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
