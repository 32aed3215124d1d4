// SPDX-License-Identifier: LGPL-2.1-or-later
//
// InvalidationBatch - a linear array of invalidation entries in a native format [B-D1], built in place. How it is
// applied is in RemappingUnit+Apply.swift.

internal import CIOMMU
public import IOMMUCore

/// A linear array of native invalidation entries: no ring, no wrap [B-D1].
///
/// Entries are kept as bytes, exactly as hardware or the kernel's interface would read them, and are not checked before
/// the batch is applied: a bad entry is a result of that ([B-D2]), and names its index. A value; a copy shares its
/// bytes until one changes.
///
/// ```swift
/// var batch = try InvalidationBatch(.vtdQueue128)
/// try batch.append(.iotlb(domain: 3))
/// try batch.append(.wait(status: (address: 0x8000, data: 1)))
/// let result = try unit.apply(batch)
/// ```
public struct InvalidationBatch: Hashable, Sendable {
    /// Most entries of a batch: 2^19, which is more than the largest queue of hardware has.
    public static let maximumCount = Int(CIOMMU_BATCH_COUNT_MAX)

    /// Most bytes from entry to entry.
    public static let maximumEntryLength = Int(CIOMMU_BATCH_ENTRY_MAX)

    /// What the entries are.
    public let format: Format

    /// Bytes from entry to entry: at least ``Format/entryLength``. What an entry has beyond its format must be zero.
    public let entryLength: Int

    /// Entries. Zero is legal: applying it asks only whether the unit knows the format.
    public private(set) var count = 0

    /// The entries, one after the other.
    public private(set) var bytes: [UInt8] = []

    /// Makes an empty batch.
    ///
    /// - Parameters:
    ///   - format: What the entries are.
    ///   - entryLength: Bytes from entry to entry; nil for the format's own length. What is beyond it is filled with
    ///     zeroes.
    ///   - capacity: Entries to reserve memory for.
    /// - Throws: ``IOMMUError/invalidArgument`` for a length that is less than the format's or over
    ///   ``maximumEntryLength``.
    public init(_ format: Format, entryLength: Int? = nil, capacity: Int = 0) throws(IOMMUError) {
        let length = entryLength ?? format.entryLength
        try Self.check(entryLength: length, format)
        self.format = format
        self.entryLength = length
        bytes.reserveCapacity(min(max(capacity, 0), Self.maximumCount) * length)
    }

    /// Makes a batch from entries that exist already, which are copied.
    ///
    /// What a guest may change meanwhile is better applied in place: `RemappingUnit.apply(rawEntries:…)` copies each
    /// entry once.
    ///
    /// - Parameters:
    ///   - format: What the entries are.
    ///   - entries: The entries; a whole number of them.
    ///   - entryLength: Bytes from entry to entry; nil for the format's own length.
    /// - Throws: ``IOMMUError/invalidArgument`` as for ``init(_:entryLength:capacity:)``, for a part of an entry at the
    ///   end, and for more than ``maximumCount`` entries.
    public init(_ format: Format, copying entries: RawSpan, entryLength: Int? = nil) throws(IOMMUError) {
        let length = entryLength ?? format.entryLength
        count = try Self.count(byteCount: entries.byteCount, entryLength: length, format)
        self.format = format
        self.entryLength = length
        bytes = unsafe entries.withUnsafeBytes { unsafe [UInt8]($0) }
    }

    /// Makes a batch from bytes; otherwise as ``init(_:copying:entryLength:)-(_,RawSpan,_)``.
    public init(_ format: Format, copying entries: [UInt8], entryLength: Int? = nil) throws(IOMMUError) {
        let length = entryLength ?? format.entryLength
        count = try Self.count(byteCount: entries.count, entryLength: length, format)
        self.format = format
        self.entryLength = length
        bytes = entries
    }

    /// Makes a batch from host memory, which must be readable during the call; otherwise as
    /// ``init(_:copying:entryLength:)-(_,RawSpan,_)``.
    @unsafe
    public init(
        _ format: Format, copying entries: UnsafeRawBufferPointer, entryLength: Int? = nil
    ) throws(IOMMUError) {
        let length = entryLength ?? format.entryLength
        count = try Self.count(byteCount: entries.count, entryLength: length, format)
        self.format = format
        self.entryLength = length
        bytes = unsafe [UInt8](entries)
    }

    /// No entries.
    public var isEmpty: Bool { count == 0 }

    /// Adds a queue descriptor. A 128-bit one is widened for ``Format/vtdQueue256``.
    ///
    /// - Throws: ``IOMMUError/invalidArgument`` for a batch of stage-1 entries, a 256-bit descriptor in a batch of
    ///   128-bit ones, and for a batch that is full: nothing changed.
    public mutating func append(_ descriptor: InvalidationDescriptor) throws(IOMMUError) {
        switch format.kind {
        case .vtdStageOne:
            throw .invalidArgument.with(detail: "a queue descriptor in a batch of stage-1 entries")
        case .vtdQueue128 where descriptor.isWide:
            throw .invalidArgument.with(detail: "a 256-bit descriptor in a batch of 128-bit ones")
        case .vtdQueue128:
            try append([descriptor.q0, descriptor.q1, 0, 0])
        case .vtdQueue256:
            let wide = descriptor.widened
            try append([wide.q0, wide.q1, wide.q2, wide.q3])
        }
    }

    /// Adds a stage-1 entry.
    ///
    /// - Throws: ``IOMMUError/invalidArgument`` for a batch of queue descriptors, and for a batch that is full: nothing
    ///   changed.
    public mutating func append(_ entry: StageOneEntry) throws(IOMMUError) {
        guard format.kind == .vtdStageOne else {
            throw .invalidArgument.with(detail: "a stage-1 entry in a batch of queue descriptors")
        }
        try append([entry.address.rawValue, entry.pageCount, entry.leafOnly ? 1 : 0, 0])
    }

    /// Takes all entries out; memory stays reserved.
    public mutating func removeAll() {
        bytes.removeAll(keepingCapacity: true)
        count = 0
    }

    /// The words of an entry that belong to its format, the least significant first, in host byte order.
    ///
    /// - Precondition: `index` is less than ``count``.
    public func words(at index: Int) -> [UInt64] {
        precondition(index >= 0 && index < count, "there is no such entry")
        return unsafe bytes.span.bytes.withUnsafeBytes { bytes in
            (0..<format.entryLength / 8).map { word in
                unsafe bytes.loadUnaligned(fromByteOffset: index * entryLength + word * 8, as: UInt64.self)
            }
        }
    }

    /// Adds the first words of four, as many as the format has, and the zeroes after them.
    private mutating func append(_ words: InlineArray<4, UInt64>) throws(IOMMUError) {
        guard count < Self.maximumCount else {
            throw .invalidArgument.with(detail: "a batch has at most \(Self.maximumCount) entries")
        }
        for index in 0..<format.entryLength / 8 {
            unsafe withUnsafeBytes(of: words[index]) { unsafe bytes.append(contentsOf: $0) }
        }
        bytes.append(contentsOf: repeatElement(0, count: entryLength - format.entryLength))
        count += 1
    }
}
