// SPDX-License-Identifier: LGPL-2.1-or-later
//
// What a snapshot says about devices and PASID namespaces.

public import IOMMUCore

extension UnitSnapshot {
    /// What is attached somewhere.
    public enum TargetRecord: Hashable, Sendable {
        /// The unit's identity domain.
        case identity
        /// The unit's blocked domain.
        case blocked
        /// The domain at this position.
        case domain(Int)
    }

    /// Something that is attached to a device.
    public struct AttachmentRecord: Hashable, Sendable, Codable {
        /// The PASID; nil for requests without one.
        public var pasid: PASID?
        /// What is attached.
        public var domain: TargetRecord

        /// Makes a record.
        public init(pasid: PASID? = nil, domain: TargetRecord) {
            self.pasid = pasid
            self.domain = domain
        }
    }

    /// A device.
    public struct DeviceRecord: Hashable, Sendable, Codable {
        /// The host's name for it.
        public var id: DeviceID
        /// Who its requests come from.
        public var source: SourceID
        /// What of the source id it owns.
        public var share: Device.Share
        /// What is attached: first for requests without PASID, then by PASID.
        public var attachments: [AttachmentRecord]
        /// The guest's table that is bound instead, if any.
        public var table: PASIDTable?

        /// Makes a record.
        public init(
            id: DeviceID, source: SourceID, share: Device.Share = .whole, attachments: [AttachmentRecord] = [],
            table: PASIDTable? = nil
        ) {
            self.id = id
            self.source = source
            self.share = share
            self.attachments = attachments
            self.table = table
        }
    }

    /// A PASID namespace.
    public struct NamespaceRecord: Hashable, Sendable, Codable {
        /// The first host PASID that it hands out.
        public var first: PASID
        /// The last one, inclusive.
        public var last: PASID
        /// What is bound, by guest PASID.
        public var bindings: [PASIDNamespace.Binding]

        /// Makes a record.
        public init(hostPASIDs: ClosedRange<PASID>, bindings: [PASIDNamespace.Binding] = []) {
            first = hostPASIDs.lowerBound
            last = hostPASIDs.upperBound
            self.bindings = bindings
        }
    }
}

/// `"identity"`, `"blocked"`, or the position of a domain.
extension UnitSnapshot.TargetRecord: Codable {
    /// Reads a target.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        if let position = try? container.decode(Int.self) {
            self = .domain(position)
            return
        }
        switch try container.decode(String.self) {
        case "identity": self = .identity
        case "blocked": self = .blocked
        case let other:
            throw DecodingError.dataCorruptedError(in: container, debugDescription: "\"\(other)\" is no domain")
        }
    }

    /// Writes a target.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        switch self {
        case .identity: try container.encode("identity")
        case .blocked: try container.encode("blocked")
        case .domain(let position): try container.encode(position)
        }
    }
}
