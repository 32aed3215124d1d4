// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Mapping: check, choose an input address, find or make the output address, tell the mirrors, and only then write it
// down.

public import IOMMUCore
internal import Synchronization

extension IOAddressSpace {
    /// Maps memory. Fails without any change, also when one of several domains over the space cannot follow.
    ///
    /// A chosen address is free and usable, congruent to the output address modulo the largest page that fits in
    /// `length` if there is room for that. Without an allowed list the first and the last page of all addresses are not
    /// chosen, so that 0 never is a good address by accident.
    ///
    /// - Parameters:
    ///   - source: What to map.
    ///   - length: Bytes: a multiple of ``alignment``, not zero.
    ///   - iova: The first input address, a multiple of ``alignment``; nil lets the space choose.
    ///   - rights: Read, write or both. Memory whose rights may grow later is mapped with write first.
    /// - Returns: The first input address.
    /// - Throws: ``IOMMUError/invalidArgument``: zero length, other rights, a host buffer shorter than `length`, a
    ///   descriptor that cannot be mapped. ``IOMMUError/misaligned``. ``IOMMUError/wraps``. ``IOMMUError/overlap``
    ///   names the area that is there. ``IOMMUError/outOfRange``: reserved, not allowed, past the end of the file, or
    ///   beyond what a domain can address. ``IOMMUError/noSpace``: no free input address, or no free output address in
    ///   ``automaticOutput``. ``IOMMUError/readOnly``: a writable area of a descriptor that is not.
    ///   ``IOMMUError/noMemory``. ``IOMMUError/timedOut``: not mapped either; a section of a port did not end.
    @discardableResult
    public func map(
        _ source: AreaSource, length: UInt64, at iova: IOVA? = nil, rights: AccessRights
    ) throws(IOMMUError) -> IOVA {
        try Self.check(length: length, rights: rights)
        if let iova { _ = try Self.last(iova, length) }
        let file = try FileMapping(source, length: length, rights: rights)
        return try change { table, mirrors throws(IOMMUError) in
            var backing = try knownBacking(source, length: length, rights: rights)
            do throws(IOMMUError) {
                let first = try contents.withLock { contents throws(IOMMUError) in
                    try contents.choose(iova, length: length, output: backing?.address.rawValue ?? 0)
                }
                let made: GuestMemory.Backing
                if let backing {
                    made = backing
                } else {
                    made = try makeBacking(source, file, length: length, at: first, rights: rights)
                    backing = made
                }
                let record = AreaRecord(source, made, file, first: first, length: length, rights: rights)
                try mapInMirrors([record], mirrors, &table)
                contents.withLock { contents in
                    contents.table.insert(record)
                    if iova == nil { contents.allocator.commit(last: record.last) }
                }
                return IOVA(first)
            } catch {
                throw giveUp(backing?.placement, after: error)
            }
        }
    }

    /// What a range must fulfil wherever it lies.
    static func check(length: UInt64, rights: AccessRights) throws(IOMMUError) {
        guard length > 0 else { throw .invalidArgument.with(detail: "a length of zero") }
        try check(rights)
    }

    /// An area is readable, writable or both, and nothing else.
    static func check(_ rights: AccessRights) throws(IOMMUError) {
        guard !rights.isEmpty, rights.isSubset(of: [.read, .write]) else {
            throw .invalidArgument.with(detail: "an area has rights R, W or RW, not \(rights)")
        }
    }

    /// The last address of a range that is not empty.
    static func last(_ first: IOVA, _ length: UInt64) throws(IOMMUError) -> UInt64 {
        let (last, overflow) = first.rawValue.addingReportingOverflow(length - 1)
        guard !overflow else {
            throw .wraps.with(detail: "\(length) bytes from \(first) on pass the end of the address space")
        }
        return last
    }

    /// The backing that exists already, with one more user if it is the library's.
    private func knownBacking(
        _ source: AreaSource, length: UInt64, rights: AccessRights
    ) throws(IOMMUError) -> GuestMemory.Backing? {
        switch source.storage {
        case .file: return nil
        case .output(let address):
            guard length - 1 <= .max - address.rawValue else {
                throw .wraps.with(detail: "\(length) bytes from output address \(address) on pass the end")
            }
            let alignment = min(contents.withLock { $0.alignment }, 4096)
            guard address.rawValue % alignment == 0 else {
                throw .misaligned.with(detail: "the output address \(address) is not a multiple of \(alignment)")
            }
            return GuestMemory.Backing(address: address, rights: [.read, .write], placement: nil)
        case .host(let host, let count):
            guard host != 0, length <= UInt64(count) else {
                throw .invalidArgument.with(detail: "a host buffer of \(count) bytes for an area of \(length)")
            }
            let buffer = unsafe UnsafeMutableRawBufferPointer(
                start: UnsafeMutableRawPointer(bitPattern: host), count: Int(length))
            return try unsafe memory.reuse(buffer, rights: rights)
        }
    }

    /// Registers host memory at an output address that is congruent to the input address modulo a large page, if there
    /// is room.
    private func makeBacking(
        _ source: AreaSource, _ file: FileMapping?, length: UInt64, at first: UInt64, rights: AccessRights
    ) throws(IOMMUError) -> GuestMemory.Backing {
        let buffer: UnsafeMutableRawBufferPointer
        if let file {
            unsafe buffer = unsafe file.bytes
        } else if case .host(let host, _) = source.storage {
            unsafe buffer = unsafe UnsafeMutableRawBufferPointer(
                start: UnsafeMutableRawPointer(bitPattern: host), count: Int(length))
        } else {
            preconditionFailure("output addresses are a backing by themselves")
        }
        for pageLog2 in [30, 21, 12] where pageLog2 == 12 || length >= 1 << pageLog2 {
            let wish = GuestMemory.Wish(
                range: automaticOutput, alignmentLog2: pageLog2, offset: first & ((1 << pageLog2) - 1) & ~4095)
            do throws(IOMMUError) {
                return try unsafe memory.register(buffer, wish, rights: rights, keeper: file)
            } catch .noSpace where pageLog2 > 12 {
                continue
            } catch .noSpace {
                let name = addressRange(automaticOutput.lowerBound.rawValue, automaticOutput.upperBound.rawValue)
                throw .noSpace.with(detail: "no room for \(length) bytes in the output addresses \(name)")
            }
        }
        preconditionFailure("the smallest page ends the loop")
    }

    /// Gives one use of a placement back after a failure.
    ///
    /// - Returns: The failure, which says so if the memory may still be in use.
    func giveUp(_ placement: MemoryPlacement?, after error: IOMMUError) -> IOMMUError {
        guard let placement else { return error }
        do throws(IOMMUError) {
            try memory.release([placement])
            return error
        } catch _ {
            let text = error.detail.map { $0 + "; " } ?? ""
            return error.with(detail: text + "drain the memory map before the host memory is freed")
        }
    }
}

extension IOAddressSpace.Contents {
    /// Refuses what is not a multiple of the alignment.
    func checkAligned(_ first: UInt64, length: UInt64) throws(IOMMUError) {
        guard (first | length) & (alignment - 1) == 0 else {
            let (start, size) = (String(first, radix: 16), String(length, radix: 16))
            throw .misaligned.with(detail: "0x\(start) or the length 0x\(size) is not a multiple of \(alignment)")
        }
    }

    /// The first address of a new area: the given one, if it is free and usable, or a chosen one.
    mutating func choose(_ iova: IOVA?, length: UInt64, output: UInt64) throws(IOMMUError) -> UInt64 {
        try checkAligned(iova?.rawValue ?? 0, length: length)
        guard let iova else { return try chooseAny(length: length, output: output) }
        let first = iova.rawValue
        let last = first + (length - 1)
        if let area = table.firstArea(touching: first, last) {
            throw .overlap.with(detail: "\(addressRange(first, last)) overlaps \(area.name)")
        }
        try ranges.check(first...last)
        return first
    }

    private mutating func chooseAny(length: UInt64, output: UInt64) throws(IOMMUError) -> UInt64 {
        let wish = IOVAAllocator.Wish(length: length, alignment: alignment, output: output)
        var usable = ranges.usable
        if ranges.allowed.isEmpty {
            let page = max(alignment, 4096)
            usable = usable.compactMap { range in
                let first = max(range.lowerBound, page)
                let last = min(range.upperBound, .max - page)
                return first <= last ? first...last : nil
            }
        }
        guard let first = allocator.allocate(wish, usable: usable, table: &table) else {
            throw .noSpace.with(detail: "no \(length) usable bytes of input addresses are free in one piece")
        }
        return first
    }
}

extension AreaRecord {
    init(
        _ source: AreaSource, _ backing: GuestMemory.Backing, _ file: FileMapping?, first: UInt64, length: UInt64,
        rights: AccessRights
    ) {
        var host: UInt = 0
        var kind = Source.output
        if let file {
            host = unsafe UInt(bitPattern: file.bytes.baseAddress)
            kind = .file
        } else if case .host(let address, _) = source.storage {
            host = address
            kind = .host
        }
        self.init(
            first: first, last: first + (length - 1), output: backing.address.rawValue, host: host,
            placement: backing.placement, rights: rights, source: kind, isWritable: backing.rights.contains(.write))
    }
}

extension FileMapping {
    /// The mapping that a source needs; nil if it is not a file.
    convenience init?(_ source: AreaSource, length: UInt64, rights: AccessRights) throws(IOMMUError) {
        guard case .file(let descriptor, let offset) = source.storage else { return nil }
        try self.init(
            descriptor: descriptor, offset: offset, length: length, isWritable: rights.contains(.write))
    }
}
