// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The invalidation queue of the model: descriptor by descriptor from head to tail, until one is refused [FORMATS-VTD B8, C].

import IOMMUTestSupport

extension RegisterModel {
    private var isWide: Bool { self[.iqa] >> 11 & 1 == 1 }

    /// The queue's bytes and those of a descriptor.
    var queueShape: (bytes: UInt64, step: UInt64) { (4096 << (self[.iqa] & 7), isWide ? 32 : 16) }

    /// Whether head and tail are places of descriptors: what a driver leaves behind, unless it moves a queue that is on.
    var isHeadSound: Bool {
        self[.iqh] < queueShape.bytes && self[.iqh] % queueShape.step == 0
    }

    mutating func runQueue(_ memory: GuardedImage) {
        let (bytes, step) = queueShape
        let check = ReferenceDescriptorCheck(model: unit, tableMode: tableMode)
        var part = QueuePart()
        while isQueueOn, self[.fsts] & 0x50 == 0, self[.iqh] != self[.iqt] {
            let tail = self[.iqt]
            if tail >= bytes || tail % step != 0 { return refuse(tail >= bytes ? 1 : 6) }
            guard isHeadSound else { return refuse(1) }
            let place = self[.iqa] & ~0xfff + self[.iqh]
            guard memory.isVisible(place, step) else { return refuse(2) }
            if stores.contains(where: { $0.address + 4 > place && $0.address < place + step }) {
                isQueueUncertain = true
                return
            }
            var descriptor = Descriptor(0)
            descriptor.words = (0..<step / 8).map { memory.load(place + 8 * $0) }
            // A wait that drains page requests is alone.
            let isDrain = unit.has(.pageRequests) && descriptor.words[0] & 0x8f == 0x85
            if isDrain, part.count > 0 {
                end(&part)
                continue
            }
            if let code = check.refusal(descriptor) {
                end(&part)
                return refuse(code)
            }
            // The head is past a wait before software hears of it; no software can tell.
            self[.iqh] = (self[.iqh] + step) % bytes
            part.count += 1
            switch check.effect(descriptor) {
            case .wait(let interrupts, let status):
                complete(&part)
                // After a time-out waits are aborted.
                if !part.isLate { wait(interrupts, status, memory) }
            case .deviceTLB(let source, let pasid, let isGlobal, let first, let last):
                part.drops.append(
                    DeviceDrop(source: source, pasid: pasid, isGlobal: isGlobal, first: first, last: last))
            default: break
            }
            if isDrain || self[.iqh] % 4096 == 0 || self[.iqh] == tail { end(&part) }
        }
    }

    /// Devices are asked, and answer as they do.
    private mutating func complete(_ part: inout QueuePart) {
        let drops = part.drops.filter { devices[$0.source]?.isBlocked == false }
        part.drops = []
        asked += drops
        for source in Set(drops.map(\.source)) {
            guard let manner = devices[source]?.manner else { continue }
            if manner.isSilent {
                part.late.insert(source)
            } else if manner == .wrong {
                part.wrong.insert(source)
            } else {
                continue
            }
            devices[source]?.isBlocked = true
        }
    }

    /// What was fetched at once is done: errors of devices show.
    private mutating func end(_ part: inout QueuePart) {
        complete(&part)
        blame(part.wrong, 1 << 5, shift: 48)
        blame(part.late, 1 << 6, shift: 32)
        part = QueuePart()
    }

    /// Source ids are kept while an error stands. Of several devices it is one.
    private mutating func blame(_ sources: Set<UInt64>, _ condition: UInt64, shift: UInt64) {
        guard let first = sources.first else { return }
        if self[.fsts] & condition == 0 {
            self[.iqercd] = self[.iqercd] & ~(0xffff << shift) | first << shift
            if sources.count > 1 { loose[GuestRegister.iqercd.number, default: 0] |= 0xffff << shift }
        }
        setFault(condition)
    }

    private mutating func wait(_ interrupts: Bool, _ status: DescriptorStatus?, _ memory: GuardedImage) {
        if let status, memory.isVisible(status.address, 4, isWritten: true) {
            stores.append((status.address, status.data))
        }
        guard interrupts, self[.ics] == 0 else { return }
        self[.ics] = 1
        raise(.completion)
    }

    private mutating func refuse(_ code: Int) {
        self[.iqercd] = self[.iqercd] & ~15 | UInt64(code)
        setFault(1 << 4)
    }
}

/// A device with a cache of its own.
struct ModelDevice {
    var manner = FuzzDevice.Manner.fine
    /// It failed, and was not asked again since.
    var isBlocked = false
}

/// Descriptors that are fetched at once: up to the end of a page, or a wait that drains page requests.
private struct QueuePart {
    var count = 0
    /// Not asked for yet.
    var drops: [DeviceDrop] = []
    var late: Set<UInt64> = []
    var wrong: Set<UInt64> = []

    var isLate: Bool { !late.isEmpty }
}
