// SPDX-License-Identifier: LGPL-2.1-or-later
//
// WorkQueue - works in the order in which they were put in line, one at a time: on a queue of Dispatch's, or on the thread that
// starts them.

internal import Dispatch
internal import Glibc
internal import IOMMUCore
internal import Synchronization

/// Does works one after the other.
///
/// Protocol: any thread appends, and then starts. The line has one place for each kind of work: one that comes while its like
/// still waits takes that place, so that whatever a guest writes, the line stays short. Whoever performs a work reads what it is
/// about (the tail of a queue) after it has left the line, so nothing that was asked for before is missed. One thread at a time
/// performs, under `performing`; `performer` names it, for whoever asks whether that is himself: only then does it matter, so
/// relaxed order is enough.
///
/// On the worker, one block of Dispatch's at most waits or runs: `isScheduled` is set with the work that needs it, and cleared under the
/// same lock that found the line empty. Inline, every thread that starts takes what is in line once: what others append meanwhile they
/// perform themselves. Only what was appended from inside a work is its own, for starting from inside returns at once.
final class WorkQueue: Sendable {
    private struct Line: Sendable {
        var works: [UnitState.Work] = []
        /// A block will come, or runs.
        var isScheduled = false
        /// Something was appended from inside a work.
        var isOwed = false

        mutating func append(_ work: UnitState.Work) {
            if let place = works.firstIndex(where: { $0.kind == work.kind }) {
                works[place] = work
            } else {
                works.append(work)
            }
        }

        mutating func takeFirst() -> UnitState.Work? {
            works.isEmpty ? nil : works.removeFirst()
        }
    }

    private let line = Mutex(Line())
    private let performing = Mutex(())
    private let performer = Atomic<pthread_t>(0)
    private let processing: VirtualVTd.Processing
    private let worker = DispatchQueue(label: "iommu-vtd")

    init(_ processing: VirtualVTd.Processing) {
        self.processing = processing
    }

    /// Puts a work in line, instead of one of its kind that waits there.
    func append(_ work: UnitState.Work) {
        let isInside = isInside
        line.withLock { line in
            line.append(work)
            if isInside { line.isOwed = true }
        }
    }

    /// Does what is in line: before it returns, or soon on the worker.
    func start(_ owner: VirtualVTd) {
        guard !isInside else { return }
        switch processing {
        case .inline:
            exclusively { performWhatWaits(owner) }
        case .worker:
            let isMine = line.withLock { line in
                defer { line.isScheduled = true }
                return !line.isScheduled
            }
            if isMine { worker.async { [weak owner] in self.exclusively { self.performAll(owner) } } }
        }
    }

    /// Returns when everything that was appended before is done; from inside a work, at once.
    func finish(_ owner: VirtualVTd) {
        guard !isInside else { return }
        // Who is to schedule a block may not have done so yet: what still waits is done here.
        exclusively { performWhatWaits(owner) }
    }

    /// Works in line. For tests.
    var count: Int { line.withLock { $0.works.count } }

    private var isInside: Bool { performer.load(ordering: .relaxed) == pthread_self() }

    private func exclusively(_ body: () -> Void) {
        if broken(.worksAtOnce) { return body() }
        performing.withLock { _ in
            performer.store(pthread_self(), ordering: .relaxed)
            body()
            performer.store(0, ordering: .relaxed)
        }
    }

    /// What is in line now, and what that appends itself.
    private func performWhatWaits(_ owner: VirtualVTd) {
        var left = line.withLock { $0.works.count }
        while left > 0 {
            while left > 0, let work = line.withLock({ $0.takeFirst() }) {
                owner.perform(work)
                left -= 1
            }
            left = line.withLock { line in
                defer { line.isOwed = false }
                return line.isOwed && !broken(.owedWorkForgotten) ? line.works.count : 0
            }
        }
    }

    private func performAll(_ owner: VirtualVTd?) {
        while let work = line.withLock({ line in
            let work = line.takeFirst()
            if work == nil, !broken(.workerDozes) { line.isScheduled = false }
            return work
        }) {
            owner?.perform(work)
        }
        if broken(.workerDozes), usleep(100) == 0 { line.withLock { $0.isScheduled = false } }
    }
}

extension UnitState.Work {
    /// What can wait only once.
    fileprivate var kind: Int {
        switch self {
        case .rootTable: 0
        case .translation: 1
        case .interruptTable: 2
        case .interruptSwitches: 3
        case .queueEnable: 4
        case .queue: 5
        case .contextCommand: 6
        case .iotlbCommand: 7
        case .pages: 8
        }
    }
}
