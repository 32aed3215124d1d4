// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Device.Share - what of a source id a device owns, and who answers for a PASID that two of them own.

internal import CIOMMU
public import IOMMUCore

extension Device {
    /// What of its source id a device owns.
    public enum Share: Hashable, Sendable {
        /// All of it, alone.
        case whole
        /// Requests without PASID, and PASIDs in nobody's slice. One device of a source id may be it.
        case parent
        /// The PASIDs of a slice (SIOV [B-A2]); no requests without PASID. Needs ECAP.PASID, and PASIDs within ECAP.PSS.
        case slice(ClosedRange<PASID>, policy: SharedPASIDPolicy = .refused)

        /// The slice, if it is one.
        public var pasids: ClosedRange<PASID>? {
            if case .slice(let pasids, _) = self { pasids } else { nil }
        }
    }

    /// To whom a fault or an error of a PASID that lies in two slices belongs [B-A3]. Slices may overlap only if all that meet have
    /// the same policy, and it is not ``refused``.
    public enum SharedPASIDPolicy: UInt32, Hashable, Sendable, CaseIterable {
        /// Slices must not overlap.
        case refused = 0
        /// To the device that was made first.
        case firstMatching
        /// To every one of them.
        case all
        /// To the parent device of the source id.
        case parent
    }
}

extension Device.Share: CustomStringConvertible {
    /// A phrase such as `PASIDs 16...31, shared PASIDs refused`.
    public var description: String {
        switch self {
        case .whole: "the whole source id"
        case .parent: "the source id but for slices"
        case .slice(let pasids, let policy):
            "PASIDs \(pasids.lowerBound)...\(pasids.upperBound), shared PASIDs \(policy)"
        }
    }
}

extension Device.SharedPASIDPolicy: CustomStringConvertible {
    /// A lower-case English phrase.
    public var description: String {
        switch self {
        case .refused: "refused"
        case .firstMatching: "to the first device"
        case .all: "to all devices"
        case .parent: "to the parent device"
        }
    }
}
