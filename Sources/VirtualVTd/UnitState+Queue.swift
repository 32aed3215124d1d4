// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The invalidation queue: where it lies, what is to be fetched next, and where it stops [FORMATS-VTD B8, C4].

internal import IOMMUCore

/// Descriptors that lie in a row.
struct QueuePart: Equatable, Sendable {
    /// Output address of the first one.
    let address: UInt64
    let count: Int
    /// All that are before the tail, these included.
    let waiting: Int
    let isWide: Bool

    var bytes: Int { count * (isWide ? 32 : 16) }
}

/// Why a descriptor at the head stops the queue.
enum QueueStop: Equatable, Sendable {
    /// IQE, with IQEI: the head stays there.
    case refused(code: Int)
    /// ITE: a device, or nobody in particular, did not finish in time.
    case timedOut(source: UInt16?)
}

extension UnitState {
    private var isWide: Bool { bank[.iqa] >> 11 & 1 == 1 }
    /// Bytes of the queue, whatever the width of its descriptors.
    private var queueBytes: UInt64 { 4096 << (bank[.iqa] & 7) }
    private var descriptorBytes: UInt64 { isWide ? 32 : 16 }
    private var isQueueOn: Bool { bank[.gsts] & GlobalCommand.queuedInvalidation != 0 }
    /// Nothing is fetched until software has cleared these.
    private var isStopped: Bool { bank[.fsts] & (FaultStatus.queueError | FaultStatus.timeOut) != 0 }

    /// IQT was written.
    func tailMoved(_ actions: inout [Action]) {
        if isQueueOn { actions.append(.work(.queue)) }
    }

    /// What is fetched next: up to the tail, the end of the page, or `limit` descriptors. Beyond a page there may be no memory, which must
    /// be found when the head stands there. Nil when there is nothing, or the queue is off or stopped; an impossible tail stops it.
    mutating func nextPart(limit: Int, _ actions: inout [Action]) -> QueuePart? {
        guard isQueueOn, !isStopped || broken(.stopIgnored) else { return nil }
        let (head, tail) = (bank[.iqh], bank[.iqt])
        guard head != tail else { return nil }
        if tail >= queueBytes || tail % descriptorBytes != 0, !broken(.tailUnchecked) {
            stop(.refused(code: tail >= queueBytes ? 1 : 6), &actions)
            return nil
        }
        // Only a change of IQA while the queue is on can leave the head outside, or between two descriptors.
        guard head < queueBytes, head % descriptorBytes == 0 else {
            stop(.refused(code: 1), &actions)
            return nil
        }
        let page = (head | 0xfff) + 1
        let end = tail > head ? min(tail, page) : page
        let count = min(Int((end - head) / descriptorBytes), limit)
        let waiting = Int((tail > head ? tail - head : queueBytes - head + tail) / descriptorBytes)
        return QueuePart(address: (bank[.iqa] & ~0xfff) + head, count: count, waiting: waiting, isWide: isWide)
    }

    /// Descriptors were consumed.
    mutating func headMoved(by count: Int) {
        guard isQueueOn else { return }
        let end = broken(.headWrapsEarly) ? queueBytes - descriptorBytes : queueBytes
        bank[.iqh] = (bank[.iqh] + UInt64(count) * descriptorBytes) % end
    }

    /// Fetching ends until software has cleared the cause. Source ids and codes are kept while a cause stands [FORMATS-VTD B8].
    mutating func stop(_ cause: QueueStop, _ actions: inout [Action]) {
        switch cause {
        case .refused(let code):
            bank[.iqercd] = bank[.iqercd] & ~0xf | UInt64(code) & 0xf
            raiseFault(FaultStatus.queueError, &actions)
        case .timedOut(let source):
            if bank[.fsts] & FaultStatus.timeOut == 0 {
                bank[.iqercd] = bank[.iqercd] & ~(0xffff << 32) | UInt64(source ?? 0) << 32
            }
            raiseFault(FaultStatus.timeOut, &actions)
        }
    }

    /// A device answered as it must not: noted, nothing stops.
    mutating func completionFailed(source: UInt16?, _ actions: inout [Action]) {
        if bank[.fsts] & FaultStatus.completionError == 0 {
            bank[.iqercd] = bank[.iqercd] & ~(0xffff << 48) | UInt64(source ?? 0) << 48
        }
        raiseFault(FaultStatus.completionError, &actions)
    }

    /// A wait descriptor with IF is complete: one event until software has seen it.
    mutating func waitCompleted(_ actions: inout [Action]) {
        guard bank[.ics] & 1 == 0 else { return }
        bank[.ics] |= 1
        raise(.completion, &actions)
    }

    /// ICS was written.
    mutating func completionCleared() {
        if bank[.ics] & 1 == 0 { withdraw(.completion) }
    }
}
