// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Which input addresses of a space may be used.

public import IOMMUCore
internal import Synchronization

/// Names a reservation of one space.
public struct IOReservation: Hashable, Sendable {
    /// Never used twice, so that a stale token cannot take back somebody else's reservation.
    let serial: UInt64
    let space: ObjectIdentifier
}

extension IOAddressSpace {
    /// Replaces the list of allowed ranges; an empty one allows everything. What is mapped already stays, wherever it
    /// is.
    ///
    /// From then on these ranges stay usable: a reservation, or a domain that needs one, that touches them is refused.
    ///
    /// Choice: an area at a given address must lie in them too, as [FORMATS-IOMMUFD 2.5] has it.
    ///
    /// - Throws: ``IOMMUError/invalidArgument``: two overlap, or one is a single byte [FORMATS-IOMMUFD 2.4];
    ///   ``IOMMUError/inUse``: one is reserved in part. The old list then stays.
    public func allow(_ ranges: [ClosedRange<IOVA>]) throws(IOMMUError) {
        let plain = ranges.map { $0.lowerBound.rawValue...$0.upperBound.rawValue }
        try change { _, _ throws(IOMMUError) in
            try contents.withLock { contents throws(IOMMUError) in try contents.ranges.allow(plain) }
        }
    }

    /// Reserves a range: nothing is mapped in it until the reservation is taken back. Reservations may overlap.
    ///
    /// - Parameters:
    ///   - range: Input addresses, inclusive.
    ///   - reason: What for: part of the error of a map that is refused.
    /// - Throws: ``IOMMUError/inUse``: an area, named, is mapped in it, or it touches an explicitly allowed range.
    public func reserve(_ range: ClosedRange<IOVA>, reason: String) throws(IOMMUError) -> IOReservation {
        let serial = makeSerial()
        let reservation = IOVAReservation(
            owner: serial, range: range.lowerBound.rawValue...range.upperBound.rawValue, reason: reason)
        try change { _, _ throws(IOMMUError) in
            try contents.withLock { contents throws(IOMMUError) in
                try contents.checkNoAreas(in: [reservation])
                try contents.ranges.reserve([reservation])
            }
        }
        return IOReservation(serial: serial, space: ObjectIdentifier(self))
    }

    /// Takes a reservation back.
    ///
    /// - Throws: ``IOMMUError/notFound`` for a token of another space, or one that was taken back.
    public func unreserve(_ reservation: IOReservation) throws(IOMMUError) {
        let isKnown =
            reservation.space == ObjectIdentifier(self)
            && contents.withLock { $0.ranges.unreserve(owner: reservation.serial) }
        guard isKnown else { throw .notFound.with(detail: "no such reservation in this space") }
    }

    /// The list that ``allow(_:)`` set, in ascending order; empty when everything is allowed.
    public var allowedRanges: [ClosedRange<IOVA>] {
        contents.withLock { $0.ranges.allowed.map { IOVA($0.lowerBound)...IOVA($0.upperBound) } }
    }

    /// What is reserved, by the host and by domains, in ascending order, joined where it touches.
    public var reservedRanges: [ClosedRange<IOVA>] {
        contents.withLock { $0.ranges.reserved.map { IOVA($0.lowerBound)...IOVA($0.upperBound) } }
    }

    /// What is allowed and not reserved, in ascending order, joined where it touches; mapped or not.
    public var usableRanges: [ClosedRange<IOVA>] {
        contents.withLock { $0.ranges.usable.map { IOVA($0.lowerBound)...IOVA($0.upperBound) } }
    }
}

extension IOAddressSpace.Contents {
    /// Refuses reservations over areas.
    func checkNoAreas(in reservations: [IOVAReservation]) throws(IOMMUError) {
        for reservation in reservations {
            let range = reservation.range
            if let area = table.firstArea(touching: range.lowerBound, range.upperBound) {
                throw .inUse.with(detail: "\(area.name) is mapped where this is to be reserved: \(reservation.reason)")
            }
        }
    }

    /// Refuses an alignment that an area lacks.
    func checkAlignment(_ alignment: UInt64) throws(IOMMUError) {
        var culprit: AreaRecord?
        table.forEach(touching: 0, .max) { area in
            if (area.first | area.length | area.output) & (alignment - 1) != 0 { culprit = copy area }
            return culprit == nil
        }
        if let culprit {
            let output = String(culprit.output, radix: 16)
            throw .misaligned.with(
                detail: "\(culprit.name), which leads to 0x\(output), is not aligned to \(alignment)")
        }
    }
}
