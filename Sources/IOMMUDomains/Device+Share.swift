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
    public enum SharedPASIDPolicy: UInt32, Hashable, Sendable, CaseIterable, Codable {
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

/// `{"kind": "whole"}`, `{"kind": "parent"}` or `{"kind": "slice", "first": 16, "last": 31, "policy": 0}`.
extension Device.Share: Codable {
    private enum Key: String, CodingKey {
        case kind, first, last, policy
    }

    private enum Kind: String, Codable {
        case whole, parent, slice
    }

    /// Reads a share.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: Key.self)
        switch try container.decode(Kind.self, forKey: .kind) {
        case .whole: self = .whole
        case .parent: self = .parent
        case .slice:
            let first = try container.decode(PASID.self, forKey: .first)
            let last = try container.decode(PASID.self, forKey: .last)
            guard first <= last else {
                throw DecodingError.dataCorruptedError(
                    forKey: .last, in: container, debugDescription: "a slice ends before it begins")
            }
            self = .slice(
                first...last, policy: try container.decode(Device.SharedPASIDPolicy.self, forKey: .policy))
        }
    }

    /// Writes a share.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: Key.self)
        switch self {
        case .whole: try container.encode(Kind.whole, forKey: .kind)
        case .parent: try container.encode(Kind.parent, forKey: .kind)
        case .slice(let pasids, let policy):
            try container.encode(Kind.slice, forKey: .kind)
            try container.encode(pasids.lowerBound, forKey: .first)
            try container.encode(pasids.upperBound, forKey: .last)
            try container.encode(policy, forKey: .policy)
        }
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
