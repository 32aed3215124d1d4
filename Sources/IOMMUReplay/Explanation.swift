// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Explanation - the recorder's known departures from the specification, by kind. Those, and no others.

/// Why an answer of the engine may differ from the recorder's.
public enum Explanation: String, Hashable, Sendable, CaseIterable {
    /// A cached entry of the recorder without the right that was asked answers with its rights; the engine faults.
    case permissionOnHit
    /// In scalable mode the recorder uses legacy codes for second-stage, root and context faults; the engine uses the scalable
    /// code of the same condition.
    case legacyCode
    /// The recorder takes an all-zero PASID entry for an invalid one (5B); for the engine it is absent (59).
    case absentPasidEntry
    /// The recorder does not compare a PASID with the size of the directory; the engine faults (46).
    case pasidBound
    /// The recorder had evicted the entry and walked a table that the guest had changed but not yet invalidated; the engine still
    /// held the answer, which it may until the invalidation.
    case stillCached

    /// Scalable codes of the condition that a legacy code stands for [FORMATS-VTD A8, E].
    static func scalableCodes(for legacy: UInt8) -> [UInt32] {
        switch legacy {
        case 1: [0x39]
        case 2: [0x41]
        case 4: [0x84]
        case 5: [0x85, 0x79]
        case 6: [0x86, 0x79]
        default: []
        }
    }
}

/// Where a difference belongs.
enum Judgement: Hashable, Sendable {
    /// No difference after all.
    case agreed
    /// A known departure of the recorder.
    case explained(Explanation)
    /// A defect, of the engine or of the recording.
    case unexplained
}
