// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The host's own reservations of a space, told from those of its mirrors: for snapshots.

internal import IOMMUCore
internal import Synchronization

extension IOAddressSpace {
    /// What the host reserved, in the order of its making.
    var hostReservations: [(range: ClosedRange<IOVA>, reason: String)] {
        let mirrors = changes.withLock { table in Set(table.entries.map(\.serial)) }
        let reservations = contents.withLock { $0.ranges.reservations }
        return reservations.filter { !mirrors.contains($0.owner) }.map { reservation in
            let range = reservation.range
            return (IOVA(range.lowerBound)...IOVA(range.upperBound), reservation.reason)
        }
    }

    /// Reserves several ranges at once, all or none; otherwise as ``reserve(_:reason:)``.
    func reserve(_ wanted: [(range: ClosedRange<IOVA>, reason: String)]) throws(IOMMUError) -> [IOReservation] {
        let reservations = wanted.map { wanted in
            let range = wanted.range
            return IOVAReservation(
                owner: makeSerial(), range: range.lowerBound.rawValue...range.upperBound.rawValue, reason: wanted.reason
            )
        }
        try change { _, _ throws(IOMMUError) in
            try contents.withLock { contents throws(IOMMUError) in
                try contents.checkNoAreas(in: reservations)
                try contents.ranges.reserve(reservations)
            }
        }
        return reservations.map { IOReservation(serial: $0.owner, space: ObjectIdentifier(self)) }
    }
}
