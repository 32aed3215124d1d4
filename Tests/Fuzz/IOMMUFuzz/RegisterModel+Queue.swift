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
            if let code = check.refusal(descriptor) { return refuse(code) }
            // The head is past a wait before software hears of it; no software can tell.
            self[.iqh] = (self[.iqh] + step) % bytes
            if case .wait(let interrupts, let status) = check.effect(descriptor) {
                wait(interrupts, status, memory)
            }
        }
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
