// SPDX-License-Identifier: LGPL-2.1-or-later
//
// FaultCollector - has faults put into a unit's registers soon after they happened, for guests that wait for the fault event.

internal import Dispatch
internal import Synchronization

/// Collects on a queue of Dispatch's, once for all notices that come before it gets to it.
///
/// The engine gives notice when its queue is no longer empty, and again only after somebody has emptied it. So whoever leaves something
/// there gives the notice himself, and comes again after whatever else waits in the queue of Dispatch's.
///
/// Not on the engine's event thread, which gives the notices: whoever holds the unit last ends the engine, and that thread must not.
final class FaultCollector: Sendable {
    private let link: FrontLink
    private let queue = DispatchQueue(label: "iommu-vtd-faults")
    private let isScheduled = Atomic(false)

    init(_ link: FrontLink) {
        self.link = link
    }

    /// There is something to collect.
    @Sendable func notice() {
        guard !isScheduled.exchange(true, ordering: .acquiringAndReleasing) else { return }
        queue.async { [self] in
            isScheduled.store(false, ordering: .releasing)
            if link.front?.collectPart() == true { notice() }
        }
    }
}
