// SPDX-License-Identifier: LGPL-2.1-or-later
//
// WorkQueue - works in the order in which they were put in line, one at a time: on a queue of Dispatch's, or on the thread that
// starts them.

internal import Dispatch
internal import Synchronization

/// Does works one after the other.
///
/// Protocol: any thread appends, under the lock, and then starts. The serial queue lets one thread at a time take works, until there are
/// none; so whoever comes after it finds its works done. What a work itself, or the host that it calls, puts in line is done by the
/// same loop: starting from inside returns at once.
final class WorkQueue: Sendable {
    private let line = Mutex<[UnitState.Work]>([])
    private let processing: VirtualVTd.Processing
    private let worker = DispatchQueue(label: "iommu-vtd")
    /// Says that the caller runs on `worker`.
    private let key = DispatchSpecificKey<Bool>()

    init(_ processing: VirtualVTd.Processing) {
        self.processing = processing
        worker.setSpecific(key: key, value: true)
    }

    func append(_ work: UnitState.Work) {
        line.withLock { $0.append(work) }
    }

    /// Does what is in line: before it returns, or soon on the worker.
    func start(_ perform: @escaping @Sendable (UnitState.Work) -> Void) {
        guard !isInside else { return }
        switch processing {
        case .worker: worker.async { self.run(perform) }
        case .inline: worker.sync { self.run(perform) }
        }
    }

    /// Waits until everything that was started before is done; not from inside a work.
    func finish() {
        guard !isInside else { return }
        worker.sync {}
    }

    private var isInside: Bool { DispatchQueue.getSpecific(key: key) == true }

    private func run(_ perform: (UnitState.Work) -> Void) {
        while let work = line.withLock({ $0.isEmpty ? nil : $0.removeFirst() }) {
            perform(work)
        }
    }
}
