// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Access to the memory of a request inside a section. A request that one first-level entry answers is inlined into the host.

public import CIOMMU

extension Port {
    /// Runs `body` with the memory of a request, inside an access section: until `body` returns, the translation is in force.
    ///
    /// Until then every invalidation and every change of the memory map waits: `body` must be short, and must not wait for anybody
    /// who invalidates. That includes page faults on registered memory that a user-space resolver answers. `body` may use this port,
    /// also for a nested access. The section ends when `body` returns or throws.
    ///
    /// - Parameters:
    ///   - iova: Address of the first byte.
    ///   - count: Bytes wanted, not negative. The pieces may cover less: see ``Segments/isComplete``.
    ///   - access: What `body` will do; without read, write and execute a probe.
    ///   - source: Who asks.
    ///   - pasid: The PASID that the request carries; nil for none.
    ///   - options: How the request is to be treated.
    ///   - body: Gets the pieces.
    /// - Returns: What `body` returns.
    /// - Throws: ``IOMMUError/wraps`` when `iova` + `count` passes the end of the address space; ``IOMMUError/invalidArgument`` for a
    ///   source over 16 bits or unknown bits; what `body` throws. A fault is a result: ``Segments/fault``.
    @inlinable
    public func withAccess<Result: ~Copyable>(
        to iova: IOVA, count: Int, access: AccessRights, source: SourceID, pasid: PASID? = nil,
        options: RequestOptions = [], _ body: (borrowing Segments) throws(IOMMUError) -> Result
    ) throws(IOMMUError) -> Result {
        enter()
        defer { leave() }
        if let run = firstLevelRun(iova, count: count, access: access, source: source, pasid: pasid, options: options) {
            return try body(Segments(run, port: self, access: access, bytesRequested: count))
        }
        let request = Request(
            source: source, pasid: pasid, iova: iova, count: count, access: access, options: options)
        let run = try pushRun(request)
        defer { arena.pop(to: run.start) }
        return try body(Segments(run, port: self, access: access, bytesRequested: count))
    }

    /// The same for a `body` that throws other errors than ``IOMMUError``.
    @inlinable
    @_disfavoredOverload
    public func withAccess<Result: ~Copyable>(
        to iova: IOVA, count: Int, access: AccessRights, source: SourceID, pasid: PASID? = nil,
        options: RequestOptions = [], _ body: (borrowing Segments) throws -> Result
    ) throws -> Result {
        enter()
        defer { leave() }
        if let run = firstLevelRun(iova, count: count, access: access, source: source, pasid: pasid, options: options) {
            return try body(Segments(run, port: self, access: access, bytesRequested: count))
        }
        let request = Request(
            source: source, pasid: pasid, iova: iova, count: count, access: access, options: options)
        let run = try pushRun(request)
        defer { arena.pop(to: run.start) }
        return try body(Segments(run, port: self, access: access, bytesRequested: count))
    }

    /// The whole request in one piece, if one first-level entry answers it. Inside a section.
    @inlinable
    @inline(__always)
    func firstLevelRun(
        _ iova: IOVA, count: Int, access: AccessRights, source: SourceID, pasid: PASID?, options: RequestOptions
    ) -> SegmentRun? {
        guard access.isPlainTransfer, options.isEmpty, count > 0 else { return nil }
        var piece = unsafe ciommu_segment()
        guard
            unsafe ciommu_first_level_lookup(
                handle, source.rawValue, pasid.wire, iova.rawValue, access.rawValue, &piece),
            unsafe piece.length >= UInt64(count)
        else { return nil }
        unsafe piece.length = UInt64(count)
        return unsafe SegmentRun(first: piece, start: 0, count: 1, bytesCovered: count, end: .length)
    }

    /// Translates a request into the arena; the caller pops it. Inside a section.
    @usableFromInline
    func pushRun(_ request: Request) throws(IOMMUError) -> SegmentRun {
        let start = arena.used
        var rest = ciommu_request(request)
        var end = SegmentRun.End.length
        var covered: UInt64 = 0
        repeat {
            let room = unsafe arena.room()
            let capacity = unsafe min(room.count, SegmentArena.limit - (arena.used - start))
            var progress = ciommu_progress.empty
            let status = unsafe ciommu_translate_range(handle, &rest, room.base, UInt32(capacity), &progress)
            guard status == CIOMMU_OK else {
                arena.pop(to: start)
                throw IOMMUError(status)
            }
            arena.push(Int(progress.segments))
            covered += progress.done
            rest.iova &+= progress.done
            rest.length -= progress.done
            if progress.outcome != CIOMMU_TRANSLATED_OK.rawValue {
                end = progress.outcome == CIOMMU_FAULT.rawValue ? .fault(Fault(progress.fault)) : .interrupt
                break
            }
            if progress.segments < UInt32(capacity) {
                break
            }
        } while rest.length != 0 && arena.used - start < SegmentArena.limit
        let count = arena.used - start
        return unsafe SegmentRun(
            first: count == 0 ? ciommu_segment() : arena.base[start], start: start, count: count,
            bytesCovered: Int(covered), end: end)
    }
}
