// SPDX-License-Identifier: LGPL-2.1-or-later
//
// IOAccessor - a part of the host that uses the memory of a space by itself: an emulated device that does its DMA in
// software.

public import IOMMUCore

/// Somebody in the host who pins areas of a space, and lets go of them when they are to be unmapped.
///
/// Any thread may call, at any time, also inside an access section. It keeps its space alive.
public final class IOAccessor: Sendable {
    /// The space whose areas it pins.
    public let space: IOAddressSpace

    /// Names it in errors.
    public let name: String

    /// What an unmap calls.
    let letGo: @Sendable (ClosedRange<IOVA>) -> Void

    /// Makes an accessor, which has no pins.
    ///
    /// - Parameters:
    ///   - space: The space.
    ///   - name: Names it in the error of an unmap that it held back.
    ///   - letGo: Called when areas are to be unmapped that it holds pins of: it is to release every pin that touches
    ///     the range, here or soon, on any thread. It runs on the unmapping thread, outside every lock, and may call
    ///     the space.
    public init(space: IOAddressSpace, name: String, letGo: @escaping @Sendable (ClosedRange<IOVA>) -> Void) {
        self.space = space
        self.name = name
        self.letGo = letGo
    }

    /// Pins a range, so that its areas cannot be unmapped, and its rights not be taken away, before the pin is
    /// released.
    ///
    /// - Parameters:
    ///   - iova: The first input address, of any alignment.
    ///   - length: Bytes, not zero.
    ///   - rights: What the memory is to be used for: read, write or both.
    /// - Throws: ``IOMMUError/notFound``: not all of it is mapped; ``IOMMUError/readOnly``: an area, named, is not
    ///   writable; ``IOMMUError/inUse``: an area, named, is being unmapped; ``IOMMUError/invalidArgument``: zero
    ///   length, other rights, or an area that is not readable; ``IOMMUError/wraps``.
    public func pin(
        _ iova: IOVA, length: UInt64, rights: AccessRights = [.read, .write]
    ) throws(IOMMUError) -> IOPin {
        try IOAddressSpace.check(length: length, rights: rights)
        let last = try IOAddressSpace.last(iova, length)
        let record = PinRecord(first: iova.rawValue, last: last, rights: rights, accessor: self)
        return try space.pin(record)
    }
}

/// A pinned range of a space. Let go of by ``release()``, or when the last reference to it goes.
public final class IOPin: Sendable {
    /// A piece of a pinned range that lies in one area.
    @safe
    public struct Segment: Hashable, Sendable {
        /// The first input address.
        public let iova: IOVA
        /// Where it leads.
        public let output: OutputAddress
        /// Bytes.
        public let length: UInt64
        let hostAddress: UInt

        /// Its bytes in the host's memory; nil for an area made of output addresses, whose memory the space does not
        /// know.
        ///
        /// Unsafe: valid until the pin is released; only what the pin's rights allow.
        @unsafe
        public var host: UnsafeMutableRawBufferPointer? {
            guard let start = unsafe UnsafeMutableRawPointer(bitPattern: hostAddress) else { return nil }
            return unsafe UnsafeMutableRawBufferPointer(start: start, count: Int(length))
        }
    }

    /// Whose pin this is; kept alive.
    public let accessor: IOAccessor

    /// The pieces, in ascending order; together they are the pinned range.
    public let segments: [Segment]

    private let serial: UInt64

    init(accessor: IOAccessor, segments: [Segment], serial: UInt64) {
        self.accessor = accessor
        self.segments = segments
        self.serial = serial
    }

    deinit {
        release()
    }

    /// Lets go of the range. Nobody may use the segments any more. Once more is harmless.
    public func release() {
        accessor.space.unpin(serial)
    }
}
