// SPDX-License-Identifier: LGPL-2.1-or-later
//
// WorkQueue - works in the order in which they were put in line, one at a time: on a queue of Dispatch's, or on the thread that
// starts them.

internal import Dispatch
internal import Synchronization

/// Does works one after the other.
///
/// Protocol: any thread appends, under the lock. Whoever finds nobody at work does all that is there; one that comes meanwhile
/// leaves its works to that one, and returns: in inline processing `start` then waits until they are done.
final class WorkQueue: Sendable {
    private struct Line {
        var works: [UnitState.Work] = []
        var isBusy = false
    }

    private let line = Mutex(Line())
    private let processing: VirtualVTd.Processing
    private let worker = DispatchQueue(label: "iommu-vtd")

    init(_ processing: VirtualVTd.Processing) {
        self.processing = processing
    }

    func append(_ work: UnitState.Work) {
        line.withLock { $0.works.append(work) }
    }

    /// Does what is in line: at once, or soon on the worker.
    func start(_ perform: @escaping @Sendable (UnitState.Work) -> Void) {
        switch processing {
        case .worker: worker.async { self.run(perform) }
        case .inline: worker.sync { self.run(perform) }
        }
    }

    /// Waits until everything that was put in line before is done.
    func finish() {
        worker.sync {}
    }

    private func run(_ perform: (UnitState.Work) -> Void) {
        while let work = line.withLock({ $0.works.isEmpty ? nil : $0.works.removeFirst() }) {
            perform(work)
        }
    }
}
