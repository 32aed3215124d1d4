// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Changing the rights of what is mapped. A part of an area becomes an area of its own.

public import IOMMUCore
internal import Synchronization

extension IOAddressSpace {
    /// Gives a range other rights. All of it is mapped; areas that it cuts are split, and their parts are then unmapped
    /// one by one. After the return nobody uses a right that was taken away. Fails without any change.
    ///
    /// - Parameters:
    ///   - iova: The first input address, a multiple of ``alignment``.
    ///   - length: Bytes: a multiple of ``alignment``, not zero.
    ///   - rights: Read, write or both.
    /// - Throws: ``IOMMUError/notFound`` names an address that is not mapped. ``IOMMUError/readOnly``: write, for an
    ///   area, named, whose memory was made available for reading only. ``IOMMUError/inUse``: a pin of an accessor,
    ///   named, has a right that would go, or an area is being unmapped. ``IOMMUError/invalidArgument``,
    ///   ``IOMMUError/misaligned``, ``IOMMUError/wraps``, ``IOMMUError/noMemory``. ``IOMMUError/timedOut``: changed,
    ///   but an access section that began before may still use the old rights.
    public func protect(_ iova: IOVA, length: UInt64, rights: AccessRights) throws(IOMMUError) {
        try Self.check(length: length, rights: rights)
        let first = iova.rawValue
        let last = try Self.last(iova, length)
        let isLate = try change { table, mirrors throws(IOMMUError) in
            let parts = try contents.withLock { contents throws(IOMMUError) in
                try contents.protectable(first, last, rights)
            }
            // Every cut makes one more user of the backing.
            let cuts = contents.withLock { contents in
                [first, last &+ 1].compactMap { contents.table.areaCut(at: $0)?.placement }
            }
            for placement in cuts { memory.retain(placement) }
            let isLate: Bool
            do throws(IOMMUError) {
                isLate = try protectInMirrors(parts, rights, mirrors, &table)
            } catch {
                // Never the last user, so nothing is unregistered.
                try? memory.release(cuts)
                throw error
            }
            contents.withLock { contents in
                contents.cut(at: first)
                contents.cut(at: last &+ 1)
                contents.table.update(touching: first, last) { $0.rights = rights }
            }
            return isLate
        }
        if isLate {
            throw .timedOut.with(detail: "changed, but an older access section may still use the old rights")
        }
    }
}

extension IOAddressSpace.Contents {
    /// The parts of areas in the range, with the rights that they have, if they may get the new ones.
    func protectable(_ first: UInt64, _ last: UInt64, _ rights: AccessRights) throws(IOMMUError) -> [AreaRecord] {
        try checkAligned(first, length: last - first &+ 1)
        var parts: [AreaRecord] = []
        var isPinned = false
        try forEachArea(covering: first, last) { area throws(IOMMUError) in
            if rights.contains(.write), !area.isWritable {
                throw .readOnly.with(detail: "the memory of \(area.name) was made available for reading only")
            }
            isPinned = isPinned || area.pins > 0
            parts.append(area.part(max(area.first, first), min(area.last, last)))
        }
        if isPinned, let pin = pin(touching: first, last, beyond: rights) {
            let name = addressRange(pin.first, pin.last)
            throw .inUse.with(detail: "the accessor \(pin.accessor.name) has \(name) pinned for \(pin.rights)")
        }
        return parts
    }

    /// Splits the area that an address cuts, if any.
    mutating func cut(at address: UInt64) {
        guard let area = table.areaCut(at: address), table.split(at: address) else { return }
        recountPins(area.first, area.last)
    }
}

extension AreaTable {
    /// The area that `address` lies in, unless it is its first one.
    func areaCut(at address: UInt64) -> AreaRecord? {
        guard let area = area(holding: address), area.first < address else { return nil }
        return area
    }
}
