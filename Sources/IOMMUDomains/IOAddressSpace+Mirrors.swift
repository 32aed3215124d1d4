// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The mirrors of a space: every change reaches all of them or none. Taking a change back may itself fail for want of
// memory (a large page must be split again); then the mirror is emptied, which needs none: its devices fault and
// nothing escapes.

package import IOMMUCore
internal import Synchronization

extension IOAddressSpace {
    /// Adds a mirror: reserves its ranges and maps all areas in it, or changes nothing.
    ///
    /// - Returns: The serial number to remove it with.
    /// - Throws: ``IOMMUError/misaligned`` naming an area that it cannot map; ``IOMMUError/inUse`` for an area, or an
    ///   explicitly allowed range, where it can map nothing; what the mirror throws.
    package func add(_ mirror: any SpaceMirror) throws(IOMMUError) -> UInt64 {
        let serial = makeSerial()
        try change { table, _ throws(IOMMUError) in
            let alignment = mirror.mirrorAlignment
            let reservations = mirror.mirrorReservations.map { reservation in
                let range = reservation.range
                return IOVAReservation(
                    owner: serial, range: range.lowerBound.rawValue...range.upperBound.rawValue,
                    reason: reservation.reason)
            }
            var ranges = try contents.withLock { contents throws(IOMMUError) in
                try contents.checkAlignment(alignment)
                try contents.checkNoAreas(in: reservations)
                return contents.ranges
            }
            try ranges.reserve(reservations)
            do throws(IOMMUError) {
                try fill(mirror)
            } catch {
                try? mirror.mirrorUnmapAll()
                throw error
            }
            table.entries.append(MirrorTable.Entry(serial: serial, alignment: alignment, mirror: mirror))
            let required = requiredAlignment(table)
            contents.withLock { contents in
                contents.ranges = ranges
                contents.alignment = required
            }
        }
        return serial
    }

    /// Forgets a mirror, which is going to be destroyed or is being destroyed: nothing in it is unmapped. Never waits
    /// for pins.
    package func remove(mirror serial: UInt64) {
        changes.withLock { table in
            table.entries.removeAll { $0.serial == serial }
            let required = requiredAlignment(table)
            contents.withLock { contents in
                _ = contents.ranges.unreserve(owner: serial)
                contents.alignment = required
            }
        }
    }

    private func requiredAlignment(_ table: MirrorTable) -> UInt64 {
        table.entries.reduce(granule) { max($0, $1.alignment) }
    }

    /// Maps every area in an empty mirror.
    private func fill(_ mirror: any SpaceMirror) throws(IOMMUError) {
        var next: UInt64? = 0
        while let start = next {
            let batch = areas(from: start, count: 256)
            for area in batch {
                try mirror.mirrorMap(area.first, length: area.length, to: area.output, rights: area.rights)
            }
            let last = batch.last?.last ?? .max
            next = last == .max ? nil : last.rawValue + 1
        }
    }

    /// Brings back what a failure left empty.
    ///
    /// - Throws: What the mirror throws; it stays empty and stale.
    func refillStale(_ mirrors: [MirrorTable.Live], _ table: inout MirrorTable) throws(IOMMUError) {
        for entry in table.entries where entry.isStale {
            guard let live = mirrors.first(where: { $0.serial == entry.serial }) else { continue }
            do throws(IOMMUError) {
                try fill(live.mirror)
            } catch {
                try? live.mirror.mirrorUnmapAll()
                throw error.with(
                    detail: "a domain over the space was emptied by an earlier failure and cannot be filled again")
            }
            table.setStale(false, serial: entry.serial)
        }
    }

    /// Runs `undo` on a mirror; when that fails too, starts the mirror afresh from the areas in the table.
    private func takeBack(
        _ live: MirrorTable.Live, _ table: inout MirrorTable, _ undo: (any SpaceMirror) throws(IOMMUError) -> Void
    ) {
        do throws(IOMMUError) {
            try undo(live.mirror)
        } catch .timedOut {
            // Taken back; a section that began before may run on for a while.
        } catch {
            try? live.mirror.mirrorUnmapAll()
            do throws(IOMMUError) {
                try fill(live.mirror)
            } catch {
                try? live.mirror.mirrorUnmapAll()
                table.setStale(true, serial: live.serial)
            }
        }
    }

    /// Maps areas, which are adjacent and not yet in the table, in all mirrors or in none.
    func mapInMirrors(
        _ areas: [AreaRecord], _ mirrors: [MirrorTable.Live], _ table: inout MirrorTable
    ) throws(IOMMUError) {
        for (index, live) in mirrors.enumerated() {
            var mapped: UInt64 = 0
            do throws(IOMMUError) {
                for area in areas {
                    try live.mirror.mirrorMap(
                        IOVA(area.first), length: area.length, to: OutputAddress(area.output), rights: area.rights)
                    mapped += area.length
                }
            } catch {
                let first = IOVA(areas[0].first)
                let whole = areas.reduce(0) { $0 + $1.length }
                for (other, length) in mirrors[..<index].map({ ($0, whole) }) + [(live, mapped)]
                where length > 0 && !broken(.halfMapKept) {
                    takeBack(other, &table) { mirror throws(IOMMUError) in
                        try mirror.mirrorUnmap(first, length: length)
                    }
                }
                throw error
            }
        }
    }

    /// Unmaps areas, which are still in the table, in all mirrors or in none.
    ///
    /// - Returns: True if a section that began before may still use them.
    func unmapInMirrors(
        _ areas: [AreaRecord], _ mirrors: [MirrorTable.Live], _ table: inout MirrorTable
    ) throws(IOMMUError) -> Bool {
        guard let first = areas.first?.first, let last = areas.last?.last else { return false }
        var isLate = false
        for (index, live) in mirrors.enumerated() where index == 0 || !broken(.mirrorUntold) {
            do throws(IOMMUError) {
                if last - first == .max {
                    try live.mirror.mirrorUnmapAll()
                } else {
                    try live.mirror.mirrorUnmap(IOVA(first), length: last - first + 1)
                }
            } catch .timedOut {
                isLate = true
            } catch {
                for other in mirrors[..<index] {
                    takeBack(other, &table) { mirror throws(IOMMUError) in
                        for area in areas {
                            try mirror.mirrorMap(
                                IOVA(area.first), length: area.length, to: OutputAddress(area.output),
                                rights: area.rights)
                        }
                    }
                }
                throw error
            }
        }
        return isLate
    }

    /// Gives parts of areas, which are adjacent and have their old rights in `parts`, new rights in all mirrors or in
    /// none.
    ///
    /// - Returns: True if a section that began before may still use the old rights.
    func protectInMirrors(
        _ parts: [AreaRecord], _ rights: AccessRights, _ mirrors: [MirrorTable.Live], _ table: inout MirrorTable
    ) throws(IOMMUError) -> Bool {
        guard let first = parts.first?.first, let last = parts.last?.last else { return false }
        var isLate = false
        for (index, live) in mirrors.enumerated() {
            do throws(IOMMUError) {
                try live.mirror.mirrorProtect(IOVA(first), length: last - first + 1, rights: rights)
            } catch .timedOut {
                isLate = true
            } catch {
                for other in mirrors[..<index] {
                    takeBack(other, &table) { mirror throws(IOMMUError) in
                        for part in parts {
                            try mirror.mirrorProtect(IOVA(part.first), length: part.length, rights: part.rights)
                        }
                    }
                }
                throw error
            }
        }
        return isLate
    }
}
