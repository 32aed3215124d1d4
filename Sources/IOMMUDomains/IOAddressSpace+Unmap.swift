// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Unmapping whole areas: ask accessors to let go of their pins and wait for them outside every lock, then take the
// areas out of the mirrors and the table, then give up their backing.

public import IOMMUCore
internal import Synchronization

extension IOAddressSpace {
    /// Unmaps every area in a range. After the return no device and no accessor uses them.
    ///
    /// Accessors that hold pins in the range are asked to let go, outside every lock, and waited for. Meanwhile nobody
    /// can pin, change or copy these areas.
    ///
    /// Choice: areas are unmapped as a whole, as the kernel's interface has it; a range that cuts one is refused, and
    /// here, other than there, nothing is unmapped then [FORMATS-IOMMUFD 2.8].
    ///
    /// - Parameters:
    ///   - iova: The first input address.
    ///   - length: Bytes, not zero. The range may be larger than what is mapped in it.
    ///   - patience: How long accessors may take.
    /// - Returns: How many bytes were unmapped.
    /// - Throws: ``IOMMUError/notFound``: nothing is mapped there, or an area, named, is cut. ``IOMMUError/inUse``: an
    ///   accessor, named, did not let go in time, or another unmap waits for the same area.
    ///   ``IOMMUError/invalidArgument`` for zero; ``IOMMUError/wraps``; ``IOMMUError/noMemory`` when a large page of a
    ///   domain could not be split. All of them: nothing changed. ``IOMMUError/timedOut``: unmapped, but an access
    ///   section that began before may still use the memory: ``GuestMemory/drain()`` until it returns.
    @discardableResult
    public func unmap(
        _ iova: IOVA, length: UInt64, patience: Duration = .seconds(1)
    ) throws(IOMMUError) -> UInt64 {
        guard length > 0 else { throw .invalidArgument.with(detail: "a length of zero") }
        let bytes = try unmap(iova.rawValue, Self.last(iova, length), patience: patience)
        guard bytes > 0 else {
            throw .notFound.with(
                detail: "nothing is mapped in \(addressRange(iova.rawValue, iova.rawValue + (length - 1)))")
        }
        return UInt64(clamping: bytes)
    }

    /// Unmaps everything; an empty space is no error. Otherwise as ``unmap(_:length:patience:)``.
    ///
    /// - Returns: How many bytes were unmapped; 2^64 - 1 also for all of them.
    @discardableResult
    public func unmapAll(patience: Duration = .seconds(1)) throws(IOMMUError) -> UInt64 {
        UInt64(clamping: try unmap(0, .max, patience: patience))
    }

    private func unmap(_ first: UInt64, _ last: UInt64, patience: Duration) throws(IOMMUError) -> UInt128 {
        let removal: Removal
        if let unpinned = try unmapUnpinned(first, last) {
            removal = unpinned
        } else {
            removal = try unmapPinned(first, last, patience)
        }
        try memory.release(removal.areas.compactMap(\.placement))
        if removal.isLate {
            throw .timedOut.with(detail: "unmapped, but an older access section of a domain may still use the areas")
        }
        return removal.areas.reduce(0) { $0 + UInt128($1.length) }
    }

    /// Asks and waits for the pins in a range to go, and unmaps it. Areas that come into the range meanwhile go with
    /// the others.
    private func unmapPinned(
        _ first: UInt64, _ last: UInt64, _ patience: Duration
    ) throws(IOMMUError) -> Removal {
        let wait = PinWait(patience: patience)
        let mark = UInt32(truncatingIfNeeded: makeSerial()) | 1 << 31
        contents.withLock { $0.waits[mark] = wait }
        defer { contents.withLock { $0.endWait(mark, first, last) } }
        while true {
            let accessors = try change { _, _ throws(IOMMUError) in
                try contents.withLock { contents throws(IOMMUError) in
                    _ = try contents.checkWhole(first, last, mark: mark)
                    // No new pin from here on.
                    contents.table.update(touching: first, last) { $0.leavingFor = mark }
                    return contents.accessors(touching: first, last)
                }
            }
            for accessor in accessors {
                accessor.letGo(IOVA(first)...IOVA(last))
            }
            while let holder = contents.withLock({ $0.accessors(touching: first, last).first }) {
                guard wait.waitForChange() else {
                    let range = addressRange(first, last)
                    throw .inUse.with(
                        detail: "the accessor \(holder.name) did not let go of \(range) within \(patience)")
                }
            }
            if let removal = try unmapUnpinned(first, last, mark: mark) { return removal }
        }
    }

    /// What an unmap took out.
    private struct Removal: Sendable {
        var areas: [AreaRecord] = []
        /// A section that began before may still use them.
        var isLate = false
    }

    /// Unmaps a range unless one of its areas is pinned: then nil, and nothing changed.
    private func unmapUnpinned(
        _ first: UInt64, _ last: UInt64, mark: UInt32 = 0
    ) throws(IOMMUError) -> Removal? {
        try change { table, mirrors throws(IOMMUError) -> Removal? in
            var removal = Removal()
            let isPinned = try contents.withLock { contents throws(IOMMUError) in
                if try contents.checkWhole(first, last, mark: mark) { return true }
                if mirrors.isEmpty {
                    contents.table.remove(touching: first, last, into: &removal.areas)
                } else {
                    removal.areas = contents.records(touching: first, last)
                }
                return false
            }
            if isPinned, !broken(.pinsIgnored) { return nil }
            if mirrors.isEmpty || removal.areas.isEmpty { return removal }
            // From here on a pin would be one of memory that goes: the mark keeps pins away, without a wait.
            removal.isLate = try withoutNewPins(first, last, mark) { () throws(IOMMUError) in
                try unmapInMirrors(removal.areas, mirrors, &table)
            }
            contents.withLock { contents in
                removal.areas.removeAll(keepingCapacity: true)
                contents.table.remove(touching: first, last, into: &removal.areas)
            }
            return removal
        }
    }

    /// Marks the areas as leaving while `body` runs; if it fails they stay, with the mark of the wait that they had.
    private func withoutNewPins(
        _ first: UInt64, _ last: UInt64, _ mark: UInt32, _ body: () throws(IOMMUError) -> Bool
    ) throws(IOMMUError) -> Bool {
        contents.withLock { $0.table.update(touching: first, last) { $0.leavingFor = .max } }
        do throws(IOMMUError) {
            return try body()
        } catch {
            contents.withLock { $0.table.update(touching: first, last) { $0.leavingFor = mark } }
            throw error
        }
    }
}

extension IOAddressSpace.Contents {
    /// Refuses a range that cuts an area, or meets one that another unmap waits for.
    ///
    /// - Returns: True if an area in it is pinned.
    func checkWhole(_ first: UInt64, _ last: UInt64, mark: UInt32) throws(IOMMUError) -> Bool {
        var refusal: IOMMUError?
        var isPinned = false
        table.forEach(touching: first, last) { area in
            if area.first < first || area.last > last {
                refusal = .notFound.with(
                    detail: "\(addressRange(first, last)) cuts \(area.name), which goes as a whole or not")
            } else if area.leavingFor != 0, area.leavingFor != mark {
                refusal = area.leavingRefusal
            }
            isPinned = isPinned || area.pins > 0
            return refusal == nil
        }
        if let refusal { throw refusal }
        return isPinned
    }

    /// The areas that touch a range.
    func records(touching first: UInt64, _ last: UInt64) -> [AreaRecord] {
        var records: [AreaRecord] = []
        table.forEach(touching: first, last) { area in
            records.append(copy area)
            return true
        }
        return records
    }

    /// An unmap stops waiting: what it marked and did not remove may be used again.
    mutating func endWait(_ mark: UInt32, _ first: UInt64, _ last: UInt64) {
        waits[mark] = nil
        table.update(touching: first, last) { area in
            if area.leavingFor == mark { area.leavingFor = 0 }
        }
    }
}

extension AreaRecord {
    /// The refusal of everything that an unmap under way forbids.
    var leavingRefusal: IOMMUError {
        .inUse.with(detail: "\(name) is being unmapped")
    }
}
