// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Copying mappings: the same memory at another place of the same or another space.

public import IOMMUCore
internal import Synchronization

extension IOAddressSpace {
    /// Maps what another space, or this one, has mapped in a range. The memory stays available until the last of both
    /// is unmapped. Fails without any change.
    ///
    /// - Parameters:
    ///   - source: The space to copy from, over the same ``memory``.
    ///   - sourceIOVA: The first input address there; it need not begin an area.
    ///   - length: Bytes: a multiple of ``alignment``, not zero.
    ///   - iova: Where to map it here; nil lets the space choose.
    ///   - rights: Read, write or both. Not the source's rights count, but what its memory was made available for.
    /// - Returns: The first input address here.
    /// - Throws: ``IOMMUError/notFound`` names a source address that is not mapped; ``IOMMUError/inUse`` a source area
    ///   that is being unmapped; ``IOMMUError/readOnly`` one whose memory is for reading only.
    ///   ``IOMMUError/invalidArgument`` for another memory map. ``IOMMUError/misaligned`` also for source areas whose
    ///   bounds are no multiples of this space's ``alignment``. Otherwise as ``map(_:length:at:rights:)``.
    public func copy(
        from source: IOAddressSpace, _ sourceIOVA: IOVA, length: UInt64, at iova: IOVA? = nil, rights: AccessRights
    ) throws(IOMMUError) -> IOVA {
        try Self.check(length: length, rights: rights)
        guard source.memory === memory else {
            throw .invalidArgument.with(detail: "the spaces are not over the same memory map")
        }
        let sourceLast = try Self.last(sourceIOVA, length)
        if let iova { _ = try Self.last(iova, length) }
        let parts = try source.borrow(sourceIOVA.rawValue, sourceLast, rights)
        do throws(IOMMUError) {
            return try change { table, mirrors throws(IOMMUError) in
                let (first, areas) = try contents.withLock { contents throws(IOMMUError) in
                    let first = try contents.choose(iova, length: length, output: parts[0].output)
                    return (first, try contents.moved(parts, to: first, rights))
                }
                try mapInMirrors(areas, mirrors, &table)
                contents.withLock { contents in
                    for area in areas { contents.table.insert(area) }
                    if iova == nil { contents.allocator.commit(last: first + (length - 1)) }
                }
                return IOVA(first)
            }
        } catch {
            var failure = error
            for placement in parts.compactMap(\.placement) {
                failure = giveUp(placement, after: failure)
            }
            throw failure
        }
    }

    /// The parts of areas in a range, each with one more user of its backing, for which the caller is responsible.
    private func borrow(_ first: UInt64, _ last: UInt64, _ rights: AccessRights) throws(IOMMUError) -> [AreaRecord] {
        try change { _, _ throws(IOMMUError) in
            let parts = try contents.withLock { contents throws(IOMMUError) in
                var parts: [AreaRecord] = []
                try contents.forEachArea(covering: first, last) { area throws(IOMMUError) in
                    if rights.contains(.write), !area.isWritable {
                        throw .readOnly.with(detail: "the memory of \(area.name) was made available for reading only")
                    }
                    parts.append(area.part(max(area.first, first), min(area.last, last)))
                }
                return parts
            }
            // No area goes while this change lasts, so every placement still has a user.
            for placement in parts.compactMap(\.placement) { memory.retain(placement) }
            return parts
        }
    }
}

extension IOAddressSpace.Contents {
    /// The records of adjacent parts at their new place.
    func moved(_ parts: [AreaRecord], to first: UInt64, _ rights: AccessRights) throws(IOMMUError) -> [AreaRecord] {
        var next = first
        var areas: [AreaRecord] = []
        for part in parts {
            guard (part.length | next) % alignment == 0, part.output % min(alignment, 4096) == 0 else {
                throw .misaligned.with(
                    detail: "\(part.name) of the source has bounds that are no multiples of \(alignment)")
            }
            var area = part
            area.first = next
            area.last = next + (part.length - 1)
            area.rights = rights
            area.pins = 0
            areas.append(area)
            next = area.last &+ 1
        }
        return areas
    }
}
