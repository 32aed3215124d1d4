// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Faults and events of the model: the ring of records, the status that sums them up, and interrupts with a mask
// [FORMATS-VTD B6, B7, B10].

import IOMMU
import IOMMUTestSupport

/// A fault as a record must show it.
struct ModelFault {
    var low: UInt64
    var high: UInt64
    /// Bits of the halves that the notes do not decide.
    var looseLow: UInt64 = 0
    var looseHigh: UInt64 = 0

    /// Of a DMA request that was answered with `code`.
    init(_ request: DMARequest, code: UInt32, addressWidth: Int) {
        let writes = request.access.contains(.write)
        let reads = request.access.contains(.read) || request.access.contains(.execute)
        low = request.iova & ~0xfff & UInt64.max >> UInt64(64 - addressWidth)
        high = UInt64(request.source) | UInt64(code) << 32
        if reads { high |= 1 << 62 }
        if reads && writes { high |= 1 << 28 }
        high |= [DMARequest.Kind.translationRequest: 1, .translated: 2][request.kind, default: 0] << 60
        if let pasid = request.explicitPASID {
            high |= 1 << 31 | UInt64(pasid) << 40
            if request.access.contains(.privileged) { high |= 1 << 29 }
            if request.access.contains(.execute) { high |= 1 << 30 }
        }
    }

    /// Of an interrupt message: the index is in bits 63:48.
    init(interrupt index: UInt64, source: UInt16, code: UInt32) {
        low = index << 48
        high = UInt64(source) | UInt64(code) << 32
        // Of a message without an index there is none.
        if code == 0x25 || code == 0x20 { looseLow = 0xffff << 48 }
    }

    /// As a unit has recorded it.
    init(found low: UInt64, _ high: UInt64) {
        self.low = low
        self.high = high & ~(1 << 63)
    }
}

extension RegisterModel {
    /// Takes what devices met into the registers, as every access does.
    mutating func collect() {
        for fault in uncollected { record(fault) }
        uncollected = []
    }

    private mutating func record(_ fault: ModelFault) {
        // Lost while an overflow stands; one of a source that has a record already is the same to software.
        guard self[.fsts] & 1 == 0 else { return }
        let isKnown = (0..<rules.records).contains {
            isPending($0) && self[.recordHigh($0)] & 0xffff == fault.high & 0xffff
        }
        if isKnown { return }
        guard !isPending(nextRecord) else { return setFault(1) }
        let (low, high) = (GuestRegister.recordLow(nextRecord), GuestRegister.recordHigh(nextRecord))
        self[low] = fault.low
        self[high] = fault.high | 1 << 63
        loose[low.number] = fault.looseLow
        loose[high.number] = fault.looseHigh
        if self[.fsts] & 2 == 0 { self[.fsts] = self[.fsts] & ~0xff00 | UInt64(nextRecord) << 8 }
        nextRecord = (nextRecord + 1) % rules.records
        setFault(2)
    }

    private func isPending(_ index: Int) -> Bool { self[.recordHigh(index)] >> 63 == 1 }

    /// PPF is F of any record.
    mutating func updatePending() {
        if !(0..<rules.records).contains(where: isPending) { self[.fsts] &= ~2 }
        if self[.fsts] & 0x73 == 0 { withdraw(.fault) }
    }

    /// Sets a condition of FSTS: an event when there was none before.
    mutating func setFault(_ condition: UInt64) {
        let wasQuiet = self[.fsts] & 0x73 == 0
        self[.fsts] |= condition
        if wasQuiet { raise(.fault) }
    }

    // MARK: Events

    private func message(_ event: GuestEvent) -> Signal {
        Signal(address: self[.upper(event)] << 32 | self[.address(event)], data: self[.data(event)])
    }

    mutating func raise(_ event: GuestEvent) {
        if self[.control(event)] >> 31 == 1 {
            self[.control(event)] |= 1 << 30
        } else {
            signal(event)
        }
    }

    private mutating func signal(_ event: GuestEvent) {
        signals.append(message(event))
        guard clearsCompletion, unit.ecap >> 1 & 1 == 1 else { return }
        self[.ics] = 0
        withdraw(.completion)
    }

    mutating func unmask(_ event: GuestEvent) {
        guard self[.control(event)] == 1 << 30 else { return }
        self[.control(event)] = 0
        signal(event)
    }

    mutating func withdraw(_ event: GuestEvent) {
        self[.control(event)] &= ~(1 << 30)
    }

    // MARK: Page requests

    /// Requests of one group come, each with the words that its place in the queue must then hold.
    ///
    /// - Returns: What is to be found in memory.
    mutating func takePages(_ requests: [[UInt64]], _ memory: GuardedImage) -> [(address: UInt64, words: [UInt64])] {
        var found: [(address: UInt64, words: [UInt64])] = []
        let bytes = UInt64(4096) << (self[.pqa] & 7)
        for words in requests {
            if self[.prs] & 2 != 0 { break }
            let tail = self[.pqt] % bytes
            if (tail + 32) % bytes == self[.pqh] % bytes {
                setPages(2)
                break
            }
            let place = self[.pqa] & ~0xfff + tail
            guard memory.isVisible(place, 32, isWritten: true) else { break }
            found.append((place, words))
            self[.pqt] = (tail + 32) % bytes
            setPages(1)
        }
        return found
    }

    private mutating func setPages(_ condition: UInt64) {
        let wasQuiet = self[.prs] == 0
        self[.prs] |= condition
        if wasQuiet { raise(.pageRequest) }
    }
}
