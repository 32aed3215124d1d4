// SPDX-License-Identifier: LGPL-2.1-or-later
//
// What a snapshot says about domains.

public import IOMMUCore

extension UnitSnapshot {
    /// Input addresses that a domain maps by itself, and where they lead: a run of pages with the same rights.
    public struct MappingRecord: Hashable, Sendable, Codable {
        /// The first input address.
        public var first: IOVA
        /// The last input address, inclusive.
        public var last: IOVA
        /// Where ``first`` leads.
        public var output: OutputAddress
        /// What devices may do there.
        public var rights: AccessRights

        /// Makes a record.
        public init(first: IOVA, last: IOVA, output: OutputAddress, rights: AccessRights) {
            self.first = first
            self.last = last
            self.output = output
            self.rights = rights
        }
    }

    /// A paging domain.
    public struct PagingRecord: Hashable, Sendable, Codable {
        /// ``PagingDomain/options``.
        public var options: UInt32
        /// Bits of input addresses.
        public var addressWidth: Int
        /// Base-2 logarithm of the largest page that it may use; nil for the largest that the unit offers.
        public var largestPage: UInt32?
        /// Position of the space that it follows; nil if the host fills it.
        public var space: Int?
        /// What the host mapped in it, ascending; none for a domain over a space.
        public var mappings: [MappingRecord]
        /// Dirty tracking. Restored, every page is clean.
        public var tracking: TrackingRecord

        /// Makes a record.
        public init(
            options: PagingDomain.Options = [], addressWidth: Int = 48, largestPage: PageSize? = nil, space: Int? = nil,
            mappings: [MappingRecord] = [], tracking: TrackingRecord = .off
        ) {
            self.options = options.rawValue
            self.addressWidth = addressWidth
            self.largestPage = largestPage?.rawValue
            self.space = space
            self.mappings = mappings
            self.tracking = tracking
        }
    }

    /// Whether a domain tracks what is written, and how.
    public enum TrackingRecord: String, Hashable, Sendable, Codable, CaseIterable {
        /// It does not.
        case off
        /// By pages as they are.
        case on
        /// By pages of 4 KiB: larger ones are split.
        case splitting
    }

    /// A nested domain.
    public struct NestedRecord: Hashable, Sendable, Codable {
        /// Position of the paging domain under it, which comes before it.
        public var parent: Int
        /// The guest's tables.
        public var firstStage: FirstStage

        /// Makes a record.
        public init(parent: Int, firstStage: FirstStage) {
            self.parent = parent
            self.firstStage = firstStage
        }
    }

    /// A domain that the host made.
    public enum DomainRecord: Hashable, Sendable {
        /// A paging domain.
        case paging(PagingRecord)
        /// A nested domain.
        case nested(NestedRecord)
    }
}

/// `{"paging": {...}}` or `{"nested": {...}}`.
extension UnitSnapshot.DomainRecord: Codable {
    private enum Key: String, CodingKey {
        case paging, nested
    }

    /// Reads a domain.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: Key.self)
        guard container.allKeys.count == 1 else {
            throw DecodingError.dataCorrupted(
                DecodingError.Context(
                    codingPath: decoder.codingPath, debugDescription: "a domain is either paging or nested"))
        }
        if container.contains(.paging) {
            self = .paging(try container.decode(UnitSnapshot.PagingRecord.self, forKey: .paging))
        } else {
            self = .nested(try container.decode(UnitSnapshot.NestedRecord.self, forKey: .nested))
        }
    }

    /// Writes a domain.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: Key.self)
        switch self {
        case .paging(let record): try container.encode(record, forKey: .paging)
        case .nested(let record): try container.encode(record, forKey: .nested)
        }
    }
}
