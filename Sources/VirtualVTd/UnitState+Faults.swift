// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Fault recording: the ring of fault-recording registers, the status that sums them up, and the fault event [FORMATS-VTD B6, B7].

internal import IOMMUCore
internal import IOMMUFaults

extension UnitState {
    /// Sets a bit of FSTS. The event is raised when none of its conditions stood before.
    mutating func raiseFault(_ condition: UInt64, _ actions: inout [Action]) {
        let before = bank[.fsts]
        bank[.fsts] = before | condition
        if before & FaultStatus.conditions == 0 { raise(.fault, &actions) }
    }

    /// Records a fault. It is lost while an overflow stands; one of a source that has a record which software has not cleared is
    /// the same one to it [FORMATS-VTD B7].
    mutating func record(_ fault: FaultRecordingRegister, _ actions: inout [Action]) {
        guard bank[.fsts] & FaultStatus.primaryOverflow == 0 else { return }
        let isKnown = (0..<capabilities.faultRecordingRegisters).contains { index in
            isPending(index) && (bank[.frcdHigh(index)] ^ fault.high) & 0xffff == 0
        }
        if isKnown, !broken(.sourceRecordedAgain) { return }
        guard !isPending(nextRecord) else {
            if !broken(.fullRingUntold) { raiseFault(FaultStatus.primaryOverflow, &actions) }
            return
        }
        bank[.frcdLow(nextRecord)] = fault.low
        bank[.frcdHigh(nextRecord)] = fault.high | 1 << 63
        if bank[.fsts] & FaultStatus.primaryPending == 0 || broken(.faultIndexMoves) {
            let index = UInt64(nextRecord) << FaultStatus.recordIndexShift
            bank[.fsts] = bank[.fsts] & ~FaultStatus.recordIndex | index
        }
        nextRecord = (nextRecord + 1) % capabilities.faultRecordingRegisters
        raiseFault(FaultStatus.primaryPending, &actions)
    }

    private func isPending(_ index: Int) -> Bool {
        bank[.frcdHigh(index)] >> 63 == 1
    }

    /// A record was cleared, perhaps the last one.
    mutating func recordCleared() {
        if !(0..<capabilities.faultRecordingRegisters).contains(where: isPending) || broken(.pendingFaultForgotten) {
            bank[.fsts] &= ~FaultStatus.primaryPending
        }
        withdrawFault()
    }

    /// Bits of FSTS were cleared. What had stopped the queue may be gone.
    mutating func faultStatusCleared(from before: UInt64, _ actions: inout [Action]) {
        withdrawFault()
        let stops = FaultStatus.queueError | FaultStatus.timeOut
        if before & stops != 0, bank[.fsts] & stops == 0 {
            tailMoved(&actions)
        }
    }

    private mutating func withdrawFault() {
        if bank[.fsts] & FaultStatus.conditions == 0 { withdraw(.fault) }
    }
}
