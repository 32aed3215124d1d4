// SPDX-License-Identifier: LGPL-2.1-or-later
//
// IOAddressSpace - input addresses and what they lead to, whether or not a domain follows. Here: what it is made of,
// its locks and what can be asked. Changes: +Map, +Unmap, +Protect, +Copy, +Ranges; followers: +Mirrors; host threads
// that use it: +Pins.

public import IOMMUCore
internal import Synchronization

/// A space of input addresses: areas of memory mapped in it, ranges that are allowed or reserved, and a choice of free
/// addresses.
///
/// It works with no domain attached. A ``PagingDomain`` made over it has the same mappings: a change of the space
/// reaches every domain over it before the call returns, or, if it fails in one of them, none. Only where taking a
/// change back needs memory that is not there, a domain is emptied instead: its devices fault until a later change
/// finds the memory to fill it again, and nothing escapes.
///
/// Any thread may call, at any time. Calls that change the space wait for one another and for access sections of ports,
/// so they must not be made from inside a section; pins and questions wait for neither.
public final class IOAddressSpace: Sendable {
    /// Where output addresses of host memory without one are chosen, unless told otherwise: 32 TiB from 2^45 on.
    ///
    /// Implementation: above the memory of any guest in practice, and within the 46 bits that small hosts have.
    public static let defaultAutomaticOutput: ClosedRange<OutputAddress> = 0x2000_0000_0000...0x3fff_ffff_ffff

    /// What output addresses lead to.
    public let memory: GuestMemory

    /// Every address and length in it is a multiple of this many bytes, a power of two.
    public let granule: UInt64

    /// Where output addresses of host memory without one are chosen.
    public let automaticOutput: ClosedRange<OutputAddress>

    /// Serialises changes; held during calls to mirrors and to the memory map. Taken before `contents`.
    let changes = Mutex(MirrorTable())

    /// Held for moments only, and never while anybody is waited for. Written under `changes`, but for pins.
    let contents: Mutex<Contents>

    /// Serial numbers of reservations, mirrors, pins and waits: never used twice.
    let serials = Atomic<UInt64>(0)

    /// Makes an empty space: everything is allowed, nothing reserved.
    ///
    /// - Parameters:
    ///   - memory: What output addresses lead to.
    ///   - granule: Every address and length is a multiple of it: a power of two from 1 to 2^30. Below 4096 the space
    ///     works by itself; see ``alignment``.
    ///   - automaticOutput: Where host memory without an output address gets one.
    /// - Throws: ``IOMMUError/invalidArgument`` for another granule.
    public init(
        memory: GuestMemory, granule: UInt64 = 4096,
        automaticOutput: ClosedRange<OutputAddress> = IOAddressSpace.defaultAutomaticOutput
    ) throws(IOMMUError) {
        guard granule.nonzeroBitCount == 1, granule <= 1 << 30 else {
            throw .invalidArgument.with(detail: "a granule of \(granule) bytes is not a power of two up to 2^30")
        }
        self.memory = memory
        self.granule = granule
        self.automaticOutput = automaticOutput
        contents = Mutex(Contents(alignment: granule))
    }

    deinit {
        let placements = contents.withLock { contents in
            var removed: [AreaRecord] = []
            contents.table.remove(touching: 0, .max, into: &removed)
            return removed.compactMap(\.placement)
        }
        // What cannot be let go of now, the memory map keeps until it is drained.
        try? memory.release(placements)
    }

    // MARK: Questions

    /// What every address and length must be a multiple of now, in bytes: ``granule``, and 4096 while a domain is over
    /// the space.
    public var alignment: UInt64 {
        contents.withLock { $0.alignment }
    }

    /// How many areas there are.
    public var areaCount: Int {
        contents.withLock { $0.table.count }
    }

    /// Bytes in all areas; 2^64 - 1 also when everything is mapped.
    public var mappedBytes: UInt64 {
        contents.withLock { UInt64(clamping: $0.table.bytes) }
    }

    /// The area that holds an input address; nil where nothing is mapped.
    public func area(holding iova: IOVA) -> IOArea? {
        contents.withLock { $0.table.area(holding: iova.rawValue).map { IOArea($0) } }
    }

    /// The areas in ascending order. They are read while one iterates: each one stood in the space at that moment, none
    /// twice. `Array(space.areas(...))` of a space that nobody changes is exact.
    public var areas: IOAreas {
        IOAreas(space: self, start: 0)
    }

    /// A serial number.
    func makeSerial() -> UInt64 {
        serials.add(1, ordering: .relaxed).newValue
    }
}

extension IOAddressSpace {
    /// What the lock protects.
    struct Contents {
        var table = AreaTable()
        var ranges = IOVARanges()
        var allocator = IOVAAllocator()
        var alignment: UInt64
        var pins: [UInt64: PinRecord] = [:]
        /// Unmaps that wait for pins to go.
        var waits: [UInt32: PinWait] = [:]

        init(alignment: UInt64) {
            self.alignment = alignment
        }
    }

    /// Runs one change: alone, with the mirrors that exist now, none of them stale.
    func change<Result: Sendable>(
        _ body: (inout MirrorTable, [MirrorTable.Live]) throws(IOMMUError) -> Result
    ) throws(IOMMUError) -> Result {
        var mirrors: [MirrorTable.Live] = []
        // Released outside the lock: the last reference ends a mirror, which calls the space.
        defer { extendLifetime(mirrors) }
        return try changes.withLock { table throws(IOMMUError) in
            mirrors = table.live
            try refillStale(mirrors, &table)
            return try body(&table, mirrors)
        }
    }
}

/// The areas of a space in ascending order, from ``IOAddressSpace/areas``. Keeps the space alive.
public struct IOAreas: Sequence, Sendable {
    let space: IOAddressSpace
    let start: UInt64

    /// Begins with the area that holds `iova`, or with the first one above it.
    public func from(_ iova: IOVA) -> IOAreas {
        IOAreas(space: space, start: iova.rawValue)
    }

    /// Reads the areas in batches.
    public struct Iterator: IteratorProtocol {
        private let space: IOAddressSpace
        private var resume: UInt64?
        private var batch: [IOArea] = []

        init(space: IOAddressSpace, start: UInt64) {
            self.space = space
            resume = start
        }

        /// The next area; nil at the end.
        public mutating func next() -> IOArea? {
            if batch.isEmpty, let start = resume {
                batch = space.areas(from: start, count: 64).reversed()
                let last = batch.first?.last
                resume = last.flatMap { $0 == .max ? nil : $0.rawValue + 1 }
            }
            return batch.popLast()
        }
    }

    /// An iterator over the areas.
    public func makeIterator() -> Iterator {
        Iterator(space: space, start: start)
    }
}

extension IOAddressSpace {
    /// Up to `count` areas, beginning with the one that holds `address` or the first above it.
    func areas(from address: UInt64, count: Int) -> [IOArea] {
        contents.withLock { contents in
            var areas: [IOArea] = []
            contents.table.forEach(touching: address, .max) { area in
                areas.append(IOArea(area))
                return areas.count < count
            }
            return areas
        }
    }
}
