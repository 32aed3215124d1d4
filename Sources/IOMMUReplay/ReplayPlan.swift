// SPDX-License-Identifier: LGPL-2.1-or-later
//
// ReplayPlan - the event stream cut into runs of translations with one state change between: what may run at the same time,
// and what must not. Made once, used by every pass.

package import IOMMUCapture

/// What a replay does, in order.
package struct ReplayPlan: Sendable {
    /// A word of guest memory that changes.
    package struct Store: Sendable {
        package let address: UInt64
        package let value: UInt64

        package init(address: UInt64, value: UInt64) {
            self.address = address
            self.value = value
        }
    }

    /// What ends a run.
    package enum Change: Sendable {
        /// The stream ends.
        case end
        /// A word changes that was read before: index in ``ReplayPlan/stores``.
        case store(Int)
        /// An invalidation: index in ``EventStream/descriptors``, and whether the guest moved the queue's tail since the one before.
        case descriptor(Int, isFirst: Bool)
        /// The root table is latched (GCMD.SRTP).
        case rootTable(UInt64)
        /// Translation is switched (GCMD.TE).
        case translation(Bool)
    }

    /// A run and the change that ends it.
    package struct Segment: Sendable {
        /// Words that were not known before the run: applied before it. Nothing in the run, nor before, can have read them.
        package var firstSeen: Range<Int>
        /// The run: indices in ``EventStream/translations``.
        package var translations: Range<Int>
        package var change: Change
    }

    /// More pages than this are no tables of a recording but a damaged one.
    static let greatestPageCount = 32_768

    /// Addresses of the pages that hold tables, sorted.
    package let pages: [UInt64]
    /// Every change of memory, in order.
    package let stores: [Store]
    /// The runs, in order.
    package let segments: [Segment]

    /// Plans a stream.
    package init(_ stream: EventStream) throws(CaptureError) {
        pages = try Self.tablePages(stream)
        var builder = PlanBuilder(pages: pages)
        for event in stream.events {
            let index = Int(event.index)
            switch event.kind {
            case .translation: builder.translation(index)
            case .memoryWrite: builder.memory(stream.memoryWrites[index])
            case .descriptor: builder.descriptor(index)
            case .registerWrite: builder.register(stream.registerWrites[index])
            case .registerRead, .interrupt, .signal: break
            }
        }
        builder.close(.end)
        stores = builder.stores
        segments = builder.segments
    }

    /// Every page that the unit read a table or a descriptor from, or updated an entry in.
    private static func tablePages(_ stream: EventStream) throws(CaptureError) -> [UInt64] {
        var pages: Set<UInt64> = []
        var last = UInt64.max
        for write in stream.memoryWrites where write.size == 8 && write.address & ~0xfff != last {
            last = write.address & ~0xfff
            guard last >> 52 == 0 else {
                throw CaptureError(file: stream.file, line: Int(write.line), "the address has more than 52 bits")
            }
            guard pages.count < greatestPageCount || pages.contains(last) else {
                throw CaptureError(
                    file: stream.file, line: Int(write.line), "touches more than \(greatestPageCount) pages of tables")
            }
            pages.insert(last)
        }
        return pages.sorted()
    }
}

/// Follows the state of memory and registers through a stream.
private struct PlanBuilder {
    private(set) var stores: [ReplayPlan.Store] = []
    private(set) var segments: [ReplayPlan.Segment] = []

    private var open: ReplayPlan.Segment
    private let slots: [UInt64: Int]
    private var words: [UInt64]
    private var isKnown: [Bool]
    private var recent = (page: UInt64.max, slot: 0)
    private var rootTableAddress: UInt64 = 0
    private var isEnabled = false
    private var tailMoved = true

    init(pages: [UInt64]) {
        open = ReplayPlan.Segment(firstSeen: 0..<0, translations: 0..<0, change: .end)
        slots = Dictionary(uniqueKeysWithValues: pages.enumerated().map { ($0.element, $0.offset) })
        words = Array(repeating: 0, count: pages.count * 512)
        isKnown = Array(repeating: false, count: pages.count * 512)
    }

    mutating func translation(_ index: Int) {
        open.translations = open.translations.lowerBound..<index + 1
    }

    mutating func descriptor(_ index: Int) {
        close(.descriptor(index, isFirst: tailMoved))
        tailMoved = false
    }

    /// Ends the open run.
    mutating func close(_ change: ReplayPlan.Change) {
        open.change = change
        segments.append(open)
        let next = open.translations.upperBound
        open = ReplayPlan.Segment(firstSeen: stores.count..<stores.count, translations: next..<next, change: .end)
    }

    mutating func memory(_ write: EventStream.MemoryWrite) {
        guard let place = place(of: write.address) else { return }
        // A narrow write is a part of its word.
        let shift = (write.address & 7) * 8
        let bits: UInt64 = write.size == 8 ? .max : ((1 << (UInt64(write.size) * 8)) - 1) << shift
        let value = (words[place] & ~bits) | (write.size == 8 ? write.value : write.value << shift)
        guard value != words[place] || !isKnown[place] else { return }
        let isFirst = !isKnown[place]
        words[place] = value
        isKnown[place] = true
        stores.append(ReplayPlan.Store(address: write.address & ~7, value: value))
        if isFirst {
            open.firstSeen = open.firstSeen.lowerBound..<stores.count
        } else {
            close(.store(stores.count - 1))
        }
    }

    mutating func register(_ write: EventStream.RegisterAccess) {
        switch (write.offset, write.size) {
        case (0x20, 8):
            rootTableAddress = write.value
        case (0x20, _):
            rootTableAddress = (rootTableAddress & ~0xffff_ffff) | write.value
        case (0x24, _):
            rootTableAddress = (rootTableAddress & 0xffff_ffff) | write.value << 32
        case (0x18, _):
            command(write.value)
        case (0x88, _):
            tailMoved = true
        default:
            break
        }
    }

    /// GCMD [FORMATS-VTD B4]. SRTP is a one-shot, TE a level.
    private mutating func command(_ value: UInt64) {
        if value >> 30 & 1 != 0 {
            close(.rootTable(rootTableAddress))
        }
        let enable = value >> 31 & 1 != 0
        if enable != isEnabled {
            isEnabled = enable
            close(.translation(enable))
        }
    }

    /// Index of a word in ``words``; nil for a page without tables.
    private mutating func place(of address: UInt64) -> Int? {
        let page = address & ~0xfff
        if page != recent.page {
            guard let slot = slots[page] else { return nil }
            recent = (page, slot)
        }
        return recent.slot * 512 + Int(address >> 3 & 511)
    }
}
