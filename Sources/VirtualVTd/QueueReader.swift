// SPDX-License-Identifier: LGPL-2.1-or-later
//
// QueueReader - the queues of a unit in words. Addresses and sizes are the guest's: they may wrap, or lie nowhere.

internal import IOMMUCore
internal import IOMMUInvalidation

/// Reads queues for a description.
struct QueueReader {
    typealias Queue = VirtualVTd.StateDescription.Queue
    typealias Entry = VirtualVTd.StateDescription.Entry

    private let state: UnitState
    private let options: VirtualVTd.StateDescription.Options
    private let memory: ((UInt64) -> UInt64?)?

    init(
        _ state: UnitState, _ options: VirtualVTd.StateDescription.Options, _ memory: ((UInt64) -> UInt64?)?
    ) {
        self.state = state
        self.options = options
        self.memory = memory
    }

    func invalidationQueue() -> Queue {
        let bank = state.bank
        let isWide = bank[.iqa] >> 11 & 1 == 1
        let isOn = bank[.gsts] & GlobalCommand.queuedInvalidation != 0
        var doing = isOn ? "on" : "off"
        if isOn, bank[.fsts] & FaultStatus.queueError != 0 { doing = "stopped (FSTS.IQE)" }
        if isOn, bank[.fsts] & FaultStatus.timeOut != 0 { doing = "stopped (FSTS.ITE)" }
        let place = QueuePlace(
            base: bank[.iqa] & ~0xfff, size: 4096 << (bank[.iqa] & 7), entrySize: isWide ? 32 : 16, head: bank[.iqh],
            tail: bank[.iqt], names: ("IQH", "IQT"))
        let judge = DescriptorJudge(state)
        return queue(place, doing, consumed: isOn ? options.consumed : 0) { words, isWaiting, entry in
            let descriptor =
                isWide
                ? InvalidationDescriptor(words[0], words[1], words[2], words[3])
                : InvalidationDescriptor(words[0], words[1])
            entry.kind = descriptor.typeName
            entry.fields = DescriptorText.properties(descriptor)
            // What was consumed was legal when it was: what is legal may have changed.
            if isWaiting { entry.problem = judge?.problem(of: descriptor) }
        }
    }

    func pageRequestQueue() -> Queue {
        let bank = state.bank
        let isOverflown = bank[.prs] & PageRequestStatus.overflow != 0
        let place = QueuePlace(
            base: bank[.pqa] & ~0xfff, size: 4096 << (bank[.pqa] & 7), entrySize: UnitState.pageRequestBytes,
            head: bank[.pqh], tail: bank[.pqt], names: ("PQH", "PQT"))
        let doing = isOverflown ? "discards requests (PRS.PRO)" : "takes requests"
        return queue(place, doing, consumed: options.consumed) { words, _, entry in
            let type = words[0] & 0xff
            entry.kind = type == 1 ? "page request" : "reserved"
            guard type == 1 else {
                entry.problem = "type \(type) is no page request"
                return
            }
            entry.fields = DescriptorText.pageRequest(words)
        }
    }

    /// - Parameter fill: Puts words into words. Hears whether the entry lies between head and tail.
    private func queue(
        _ place: QueuePlace, _ doing: String, consumed: Int, fill: ([UInt64], Bool, inout Entry) -> Void
    ) -> Queue {
        var queue = Queue(
            state: doing, address: hexadecimal(place.base), size: place.size, entrySize: place.entrySize,
            capacity: place.size / place.entrySize, head: hexadecimal(place.head), tail: hexadecimal(place.tail),
            waiting: place.waiting, problems: place.problems, entries: [], consumed: [])
        guard let waiting = place.waiting else { return queue }
        let shown = min(waiting, UInt64(clamping: options.entries))
        let before = min(queue.capacity - waiting, UInt64(clamping: consumed))
        if memory == nil, shown + before > 0 {
            queue.problems.append("guest memory is not available, so nothing is known of the entries")
            return queue
        }
        let first = place.head / place.entrySize
        queue.entries = (0..<shown).map { entry((first + $0) % queue.capacity, place, isWaiting: true, fill) }
        queue.consumed = (0..<before).map {
            entry((first + queue.capacity - before + $0) % queue.capacity, place, isWaiting: false, fill)
        }
        return queue
    }

    private func entry(
        _ index: UInt64, _ place: QueuePlace, isWaiting: Bool, _ fill: ([UInt64], Bool, inout Entry) -> Void
    ) -> Entry {
        let (address, overflow) = place.base.addingReportingOverflow(index * place.entrySize)
        var entry = Entry(
            index: Int(index), address: hexadecimal(address), words: nil, kind: "unknown", fields: [], problem: nil)
        var words: [UInt64] = []
        for offset in stride(from: 0, to: place.entrySize, by: 8) {
            guard !overflow, let word = memory?(address + offset) else {
                entry.problem = "no memory is known there"
                return entry
            }
            words.append(word)
        }
        entry.words = words.map(hexadecimal)
        fill(words, isWaiting, &entry)
        return entry
    }
}

/// Where a queue lies, and whether its head and tail are possible.
struct QueuePlace {
    let base: UInt64
    /// Bytes: a power of two from 4096 to 512 KiB.
    let size: UInt64
    let entrySize: UInt64
    let head: UInt64
    let tail: UInt64
    /// The registers of head and tail.
    let names: (head: String, tail: String)

    /// The entries from head to tail; nil where one of them is impossible.
    var waiting: UInt64? {
        problems.isEmpty ? (tail &+ size &- head) % size / entrySize : nil
    }

    var problems: [String] {
        [(names.head, head), (names.tail, tail)].compactMap { name, offset in
            if offset >= size { return "\(name) \(hexadecimal(offset)) lies beyond the queue of \(size) bytes" }
            if offset % entrySize != 0 {
                return "\(name) \(hexadecimal(offset)) lies inside an entry of \(entrySize) bytes"
            }
            return nil
        }
    }
}

/// Says what the engine would say of a descriptor: on a unit of its own, without memory, that stands where the described one does.
struct DescriptorJudge {
    private let unit: RemappingUnit

    /// Nil where there is no memory for a unit.
    init?(_ state: UnitState) {
        do throws(IOMMUError) {
            unit = try RemappingUnit(
                capabilities: state.capabilities, memory: try GuestMemory(), configuration: .noCache)
            try unit.setRootTable(state.latchedRootTable)
        } catch {
            return nil
        }
    }

    /// Why it is refused; nil for a legal one.
    func problem(of descriptor: InvalidationDescriptor) -> String? {
        do throws(IOMMUError) {
            try unit.invalidate(descriptor: descriptor)
            return nil
        } catch {
            guard error == .badDescriptor else { return nil }
            let code = HardwareError(.iqei, code: error.invalidationQueueError ?? 0)
            return "refused: \(code)" + (error.detail.map { " (\($0))" } ?? "")
        }
    }
}
