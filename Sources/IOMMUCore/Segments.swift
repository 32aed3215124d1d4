// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Segments - the host memory of one request, inside an access section and never outside of it: neither copyable nor escapable,
// as is every span that it gives.

public import CIOMMU

/// The memory of one request, piece by piece. Lives as long as the closure that an access of a ``Port`` calls.
///
/// The compiler keeps it there: storing it, returning it, capturing it in an escaping closure, and doing any of this with a span
/// that it gave, do not compile.
///
/// ```swift
/// port.withAccess(to: 0x1000, count: 512, access: .read, source: nvme) { segments in
///     kept = segments.bytes(of: 0)   // error: lifetime-dependent variable 'kept' escapes its scope
/// }
/// ```
///
/// The guest's processors may read and write the same memory at the same time. Load what is to be relied on once.
@safe
public struct Segments: ~Copyable, ~Escapable {
    @usableFromInline
    let run: SegmentRun

    /// Of the port, which this cannot outlive: so no reference counting on a hit.
    @usableFromInline
    unowned(unsafe) let arena: SegmentArena

    /// What the request asked for.
    public let access: AccessRights

    /// How many bytes the request asked for.
    public let bytesRequested: Int

    @inlinable
    @_lifetime(borrow port)
    init(_ run: SegmentRun, port: borrowing Port, access: AccessRights, bytesRequested: Int) {
        self.run = run
        unsafe arena = port.arena
        self.access = access
        self.bytesRequested = bytesRequested
    }

    /// How many pieces there are. None when the first byte's page refused the access, or nothing was asked for.
    @inlinable
    public var count: Int { run.count }

    /// The positions of the pieces.
    @inlinable
    public var indices: Range<Int> { 0..<run.count }

    /// Bytes that the pieces cover, from the first one on.
    @inlinable
    public var bytesCovered: Int { run.bytesCovered }

    /// The pieces cover the whole request. They may not be reachable for all that: see ``Segment/isReachable``.
    @inlinable
    public var isComplete: Bool { run.bytesCovered == bytesRequested }

    /// The fault that ended the pieces early; nil if none did. An incomplete request without ``fault`` and ``isInterrupt`` had more
    /// than 65,536 pieces: ask again from where they end.
    public var fault: Fault? {
        if case .fault(let fault) = run.end { fault } else { nil }
    }

    /// The byte after the pieces is an interrupt message, not memory [FORMATS-VTD A11].
    public var isInterrupt: Bool {
        if case .interrupt = run.end { true } else { false }
    }

    /// One piece.
    ///
    /// - Precondition: `index` is one of ``indices``.
    @inlinable
    public subscript(index: Int) -> Segment {
        unsafe Segment(piece(index))
    }

    /// The bytes of one piece, to read; nil if it is not reachable.
    ///
    /// - Precondition: `index` is one of ``indices``, and the request asked for read or execute.
    @inlinable
    @_lifetime(copy self)
    public func bytes(of index: Int) -> RawSpan? {
        precondition(access.rawValue & 5 != 0, "the access does not read")
        let piece = unsafe piece(index)
        guard let host = unsafe piece.host else { return nil }
        let span = unsafe RawSpan(_unsafeStart: host, byteCount: Int(piece.length))
        return unsafe _overrideLifetime(span, copying: self)
    }

    /// Calls `body` with the bytes of one piece, to read and write; nil, without a call, if it is not reachable. The dirty log does
    /// not hear of what `body` writes.
    ///
    /// - Precondition: `index` is one of ``indices``, and the request asked for write.
    @inlinable
    public func withMutableBytes<Result: ~Copyable, Failure: Error>(
        of index: Int, _ body: (inout MutableRawSpan) throws(Failure) -> Result
    ) throws(Failure) -> Result? {
        precondition(access.contains(.write), "the access does not write")
        let piece = unsafe piece(index)
        guard let host = unsafe piece.host else { return nil }
        var span = unsafe MutableRawSpan(_unsafeStart: host, byteCount: Int(piece.length))
        return try body(&span)
    }

    /// Calls `body` with the address of one piece, to read; nil, without a call, if it is not reachable.
    ///
    /// Unsafe: the address is good until the access section ends.
    ///
    /// - Precondition: As for ``bytes(of:)``.
    @unsafe
    @inlinable
    public func withUnsafeBytes<Result: ~Copyable, Failure: Error>(
        of index: Int, _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
    ) throws(Failure) -> Result? {
        precondition(access.rawValue & 5 != 0, "the access does not read")
        let piece = unsafe piece(index)
        guard let host = unsafe piece.host else { return nil }
        return try unsafe body(UnsafeRawBufferPointer(start: host, count: Int(piece.length)))
    }

    /// Calls `body` with the address of one piece, to read and write; nil, without a call, if it is not reachable. The dirty log
    /// does not hear of what `body` writes.
    ///
    /// Unsafe: the address is good until the access section ends.
    ///
    /// - Precondition: As for ``withMutableBytes(of:_:)``.
    @unsafe
    @inlinable
    public func withUnsafeMutableBytes<Result: ~Copyable, Failure: Error>(
        of index: Int, _ body: (UnsafeMutableRawBufferPointer) throws(Failure) -> Result
    ) throws(Failure) -> Result? {
        precondition(access.contains(.write), "the access does not write")
        let piece = unsafe piece(index)
        guard let host = unsafe piece.host else { return nil }
        return try unsafe body(UnsafeMutableRawBufferPointer(start: host, count: Int(piece.length)))
    }

    @inlinable
    func piece(_ index: Int) -> ciommu_segment {
        precondition(index >= 0 && index < run.count, "a request has pieces 0 to its count - 1")
        return unsafe index == 0 ? run.first : arena.base[run.start + index]
    }
}

/// Where the pieces of one request are, and what ended them. Its first piece is kept here: a hit has no other.
@safe
@usableFromInline
struct SegmentRun {
    @usableFromInline
    enum End {
        case length
        case fault(Fault)
        case interrupt
    }

    @usableFromInline
    var first: ciommu_segment
    /// Position of the first piece in the port's arena, once there are more.
    @usableFromInline
    var start: Int
    @usableFromInline
    var count: Int
    @usableFromInline
    var bytesCovered: Int
    @usableFromInline
    var end: End

    @inlinable
    init(first: ciommu_segment, start: Int, count: Int, bytesCovered: Int, end: End) {
        unsafe self.first = unsafe first
        self.start = start
        self.count = count
        self.bytesCovered = bytesCovered
        self.end = end
    }
}
