// SPDX-License-Identifier: LGPL-2.1-or-later
//
// What a snapshot says about spaces of input addresses.

public import IOMMUCore

extension UnitSnapshot {
    /// Input addresses, both inclusive.
    public struct RangeRecord: Hashable, Sendable, Codable {
        /// The first one.
        public var first: IOVA
        /// The last one.
        public var last: IOVA

        /// Makes a record.
        public init(first: IOVA, last: IOVA) {
            self.first = first
            self.last = last
        }
    }

    /// A range that the host reserved itself; what domains reserve comes with them.
    public struct ReservationRecord: Hashable, Sendable, Codable {
        /// The first address.
        public var first: IOVA
        /// The last address, inclusive.
        public var last: IOVA
        /// Why.
        public var reason: String

        /// Makes a record.
        public init(first: IOVA, last: IOVA, reason: String) {
            self.first = first
            self.last = last
            self.reason = reason
        }
    }

    /// An area of a space. Pins are not recorded.
    public struct AreaRecord: Hashable, Sendable, Codable {
        /// What backed it.
        public enum Backing: String, Hashable, Sendable, Codable, CaseIterable {
            /// Host memory.
            case host
            /// A file, from ``AreaRecord/offset`` on.
            case file
            /// Output addresses that the host named.
            case output
        }

        /// The first input address.
        public var first: IOVA
        /// The last input address, inclusive.
        public var last: IOVA
        /// Where ``first`` led.
        public var output: OutputAddress
        /// What devices may do with it.
        public var rights: AccessRights
        /// What backed it.
        public var backing: Backing
        /// Of a file: bytes from its beginning; 0 otherwise.
        public var offset: UInt64

        /// Makes a record.
        public init(
            first: IOVA, last: IOVA, output: OutputAddress, rights: AccessRights, backing: Backing = .output,
            offset: UInt64 = 0
        ) {
            self.first = first
            self.last = last
            self.output = output
            self.rights = rights
            self.backing = backing
            self.offset = offset
        }
    }

    /// A space.
    public struct SpaceRecord: Hashable, Sendable, Codable {
        /// Every address and length is a multiple of it.
        public var granule: UInt64
        /// First output address that the space may choose for host memory.
        public var firstAutomaticOutput: OutputAddress
        /// The last one, inclusive.
        public var lastAutomaticOutput: OutputAddress
        /// The allowed ranges, ascending; none means that everything is.
        public var allowed: [RangeRecord]
        /// The host's reservations, in the order of their making.
        public var reserved: [ReservationRecord]
        /// The areas, ascending.
        public var areas: [AreaRecord]

        /// Makes a record; what is not said is as in a new space.
        public init(
            granule: UInt64 = 4096,
            automaticOutput: ClosedRange<OutputAddress> = IOAddressSpace.defaultAutomaticOutput,
            allowed: [RangeRecord] = [], reserved: [ReservationRecord] = [], areas: [AreaRecord] = []
        ) {
            self.granule = granule
            firstAutomaticOutput = automaticOutput.lowerBound
            lastAutomaticOutput = automaticOutput.upperBound
            self.allowed = allowed
            self.reserved = reserved
            self.areas = areas
        }
    }
}
