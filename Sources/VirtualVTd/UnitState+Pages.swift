// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The page-request queue in guest memory: where the next request goes, and what software is told [FORMATS-VTD B10, D2].

internal import IOMMUCore

extension UnitState {
    /// Bytes of a request in the queue.
    static let pageRequestBytes: UInt64 = 32

    private var pageQueueBytes: UInt64 { 4096 << (bank[.pqa] & 7) }

    /// Where the next page request is to be stored; nil when it must be discarded, because the queue is full or an overflow stands.
    mutating func nextPageRequest(_ actions: inout [Action]) -> UInt64? {
        guard bank[.prs] & PageRequestStatus.overflow == 0 else { return nil }
        let tail = bank[.pqt] % pageQueueBytes
        let isFull = (tail + Self.pageRequestBytes) % pageQueueBytes == bank[.pqh] % pageQueueBytes
        if isFull, !broken(.pageTailPassesHead) {
            if !broken(.pageOverflowUntold) { raisePages(PageRequestStatus.overflow, &actions) }
            return nil
        }
        return (bank[.pqa] & ~0xfff) + tail
    }

    /// A request was stored where ``nextPageRequest(_:)`` said.
    mutating func pageRequestStored(_ actions: inout [Action]) {
        bank[.pqt] = (bank[.pqt] + Self.pageRequestBytes) % pageQueueBytes
        raisePages(PageRequestStatus.pending, &actions)
    }

    private mutating func raisePages(_ condition: UInt64, _ actions: inout [Action]) {
        let isQuiet = bank[.prs] == 0
        bank[.prs] |= condition
        if isQuiet { raise(.pageRequest, &actions) }
    }

    /// PRS was written.
    mutating func pageStatusCleared() {
        if bank[.prs] == 0 { withdraw(.pageRequest) }
    }
}
