// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Pins: taken and released under the lock of the contents alone, so that neither waits for a change, a domain or a
// section.

internal import IOMMUCore
internal import Synchronization

extension IOAddressSpace {
    func pin(_ record: PinRecord) throws(IOMMUError) -> IOPin {
        let serial = makeSerial()
        let segments = try contents.withLock { contents throws(IOMMUError) in
            let segments = try contents.pinnable(record)
            contents.pins[serial] = record
            contents.table.update(touching: record.first, record.last) { $0.pins += 1 }
            return segments
        }
        return IOPin(accessor: record.accessor, segments: segments, serial: serial)
    }

    func unpin(_ serial: UInt64) {
        let record = contents.withLock { contents in
            guard let record = contents.pins.removeValue(forKey: serial) else { return nil as PinRecord? }
            contents.table.update(touching: record.first, record.last) { $0.pins -= 1 }
            for wait in contents.waits.values { wait.signal() }
            return record
        }
        // Outside the lock: it refers to the accessor, and that to this space.
        extendLifetime(record)
    }
}

extension IOAddressSpace.Contents {
    /// The segments of a pin, if all of its range is mapped and may be used so.
    func pinnable(_ pin: PinRecord) throws(IOMMUError) -> [IOPin.Segment] {
        var segments: [IOPin.Segment] = []
        try forEachArea(covering: pin.first, pin.last) { area throws(IOMMUError) in
            if !pin.rights.isSubset(of: area.rights) {
                let kind: IOMMUError =
                    pin.rights.contains(.write) && !area.rights.contains(.write) ? .readOnly : .invalidArgument
                throw kind.with(detail: "\(area.name) grants \(area.rights), not \(pin.rights)")
            }
            let part = area.part(max(area.first, pin.first), min(area.last, pin.last))
            segments.append(
                IOPin.Segment(
                    iova: IOVA(part.first), output: OutputAddress(part.output), length: part.length,
                    hostAddress: part.host))
        }
        return segments
    }

    /// Calls `body` for every area of a range that is mapped without a hole.
    ///
    /// - Throws: ``IOMMUError/notFound`` at a hole, ``IOMMUError/inUse`` at an area that is being unmapped; what `body`
    ///   throws.
    func forEachArea(
        covering first: UInt64, _ last: UInt64, _ body: (AreaRecord) throws(IOMMUError) -> Void
    ) throws(IOMMUError) {
        var refusal: IOMMUError?
        // The first address not yet seen; nil after the last.
        var next: UInt64? = first
        table.forEach(touching: first, last) { area in
            guard let expected = next, area.first <= expected else { return false }
            do throws(IOMMUError) {
                if area.leavingFor != 0, !broken(.leavingPinned) { throw area.leavingRefusal }
                try body(area)
            } catch {
                refusal = error
                return false
            }
            next = area.last >= last ? nil : area.last + 1
            return next != nil
        }
        if let refusal { throw refusal }
        if let next {
            throw .notFound.with(
                detail: "\(addressRange(first, last)) is not all mapped: 0x\(String(next, radix: 16)) is not")
        }
    }
}
