// SPDX-License-Identifier: LGPL-2.1-or-later
//
// IOVARanges - which input addresses of a space may be used: the host's allowed list, minus what is reserved and why.

package import IOMMUCore

/// A range that nothing may be mapped in.
package struct IOVAReservation: Sendable {
    /// Names who reserved it; one owner may have several ranges.
    package let owner: UInt64
    package let range: ClosedRange<UInt64>
    /// Why, for errors.
    package let reason: String
}

/// The allowed list and the reservations of a space, with what follows from them.
package struct IOVARanges: Sendable {
    /// Sorted and disjoint; empty means that everything is allowed.
    package private(set) var allowed: [ClosedRange<UInt64>] = []
    /// In the order of their making; ranges of different owners may overlap.
    package private(set) var reservations: [IOVAReservation] = []
    /// Allowed minus reserved: sorted, disjoint, and no two touch.
    package private(set) var usable: [ClosedRange<UInt64>] = [0...UInt64.max]

    package init() {}

    /// Replaces the allowed list.
    ///
    /// - Throws: ``IOMMUError/invalidArgument`` for a range of one byte or less or for an overlap; ``IOMMUError/inUse``
    ///   for a range that is reserved in part.
    package mutating func allow(_ ranges: [ClosedRange<UInt64>]) throws(IOMMUError) {
        let sorted = ranges.sorted { $0.lowerBound < $1.lowerBound }
        for (index, range) in sorted.enumerated() {
            let name = addressRange(range.lowerBound, range.upperBound)
            guard range.lowerBound < range.upperBound else {
                throw .invalidArgument.with(detail: "the allowed range \(name) has one byte only")
            }
            if index > 0, sorted[index - 1].upperBound >= range.lowerBound {
                throw .invalidArgument.with(detail: "the allowed range \(name) overlaps the one before it")
            }
            if let reservation = reservation(touching: range) {
                throw .inUse.with(detail: "the allowed range \(name) is reserved in part: \(reservation.reason)")
            }
        }
        allowed = sorted
        refresh()
    }

    /// Reserves ranges for an owner.
    ///
    /// - Throws: ``IOMMUError/inUse`` when one touches an explicitly allowed range: what was allowed stays so.
    package mutating func reserve(_ added: [IOVAReservation]) throws(IOMMUError) {
        for reservation in added {
            if let range = allowed.first(where: { $0.overlaps(reservation.range) }) {
                let name = addressRange(range.lowerBound, range.upperBound)
                throw .inUse.with(
                    detail: "\(name) was allowed explicitly and would become reserved: \(reservation.reason)")
            }
        }
        reservations += added
        refresh()
    }

    /// Takes back everything that an owner reserved.
    ///
    /// - Returns: False if that was nothing.
    package mutating func unreserve(owner: UInt64) -> Bool {
        let before = reservations.count
        reservations.removeAll { $0.owner == owner }
        refresh()
        return reservations.count != before
    }

    /// A reservation that touches the range.
    package func reservation(touching range: ClosedRange<UInt64>) -> IOVAReservation? {
        reservations.first { $0.range.overlaps(range) }
    }

    /// What is reserved: sorted, disjoint, and no two touch.
    package var reserved: [ClosedRange<UInt64>] {
        Self.merged(reservations.map(\.range))
    }

    /// Refuses a range that is not usable whole.
    ///
    /// - Throws: ``IOMMUError/outOfRange`` with the reason.
    package func check(_ range: ClosedRange<UInt64>) throws(IOMMUError) {
        if usable.contains(where: { $0.lowerBound <= range.lowerBound && range.upperBound <= $0.upperBound }) { return }
        let name = addressRange(range.lowerBound, range.upperBound)
        if let reservation = reservation(touching: range) {
            let taken = addressRange(reservation.range.lowerBound, reservation.range.upperBound)
            throw .outOfRange.with(detail: "\(name) touches \(taken), which is reserved: \(reservation.reason)")
        }
        throw .outOfRange.with(detail: "\(name) lies outside the allowed ranges")
    }

    private mutating func refresh() {
        usable = Self.merged(allowed.isEmpty ? [0...UInt64.max] : allowed)
        for hole in reserved where !broken(.reservedUsable) {
            usable = usable.flatMap { Self.subtract(hole, from: $0) }
        }
    }

    /// Sorted, with ranges that touch or overlap joined.
    private static func merged(_ ranges: [ClosedRange<UInt64>]) -> [ClosedRange<UInt64>] {
        var result: [ClosedRange<UInt64>] = []
        for range in ranges.sorted(by: { $0.lowerBound < $1.lowerBound }) {
            if let last = result.last, last.upperBound == .max || range.lowerBound <= last.upperBound + 1 {
                result[result.count - 1] = last.lowerBound...max(last.upperBound, range.upperBound)
            } else {
                result.append(range)
            }
        }
        return result
    }

    private static func subtract(
        _ hole: ClosedRange<UInt64>, from range: ClosedRange<UInt64>
    ) -> [ClosedRange<UInt64>] {
        guard hole.overlaps(range) else { return [range] }
        var rest: [ClosedRange<UInt64>] = []
        if range.lowerBound < hole.lowerBound { rest.append(range.lowerBound...hole.lowerBound - 1) }
        if hole.upperBound < range.upperBound { rest.append(hole.upperBound + 1...range.upperBound) }
        return rest
    }
}
