// SPDX-License-Identifier: LGPL-2.1-or-later
//
// PageIntake - page requests on their way to the guest: whole groups come from the engine and are stored in the guest's queue; its
// responses go back.

internal import IOMMUCore
internal import IOMMUFaults
internal import IOMMUInvalidation
internal import Synchronization

/// Takes groups from the engine, in the order in which they were complete.
final class PageIntake: Sendable {
    private let queue: PageQueue
    private let waiting = Mutex<[PageGroup]>([])

    /// - Parameter link: Groups go to this unit, once it is there.
    /// - Throws: As `PageQueue.init(guestTablesOf:)`.
    init(_ unit: RemappingUnit, _ link: FrontLink) throws(IOMMUError) {
        // On the thread that finds the group: it only puts it in line.
        queue = try PageQueue(guestTablesOf: unit, executor: HandlerExecutor { $0() }) { group in
            guard let front = link.front else { return }
            front.pages?.waiting.withLock { $0.append(group) }
            front.change { _, actions in actions.append(.work(.pages)) }
        }
    }

    /// The oldest group that was not stored yet.
    func next() -> PageGroup? {
        waiting.withLock { $0.isEmpty ? nil : $0.removeFirst() }
    }

    /// A page-group response of the guest's. One that names no group changes nothing.
    func respond(_ name: PageGroupName, _ response: PageResponse) {
        try? queue.respond(to: name, response)
    }
}

extension VirtualVTd {
    /// Stores what is in line in the guest's queue. By the thread that does works.
    func storePages() {
        while let group = pages?.next() {
            store(group)
        }
    }

    /// Stores a group, request by request. One that finds the queue full is answered so that the device asks again [FORMATS-VTD D2].
    private func store(_ group: PageGroup) {
        for (index, page) in group.pages.enumerated() {
            let isLast = index == group.pages.count - 1
            let request = PageRequest(
                page.address, access: page.access, pasid: group.pasid, group: group.group ?? 0, isLast: isLast,
                privateData: isLast ? group.privateData : nil)
            guard let words = try? request.descriptor(from: group.source) else { return }
            guard let place = change({ state, actions in state.nextPageRequest(&actions) }) else {
                try? group.respond(.success)
                return
            }
            // Where no memory is the request is lost to the guest, as on hardware; its deadline answers the device.
            guard engine.store(words, at: place) else { return }
            change { state, actions in state.pageRequestStored(&actions) }
        }
    }

    /// A page-group response descriptor was consumed [FORMATS-VTD C2 type 9].
    func answerPages(_ descriptor: InvalidationDescriptor) {
        let words = [descriptor.q0, descriptor.q1, descriptor.q2, descriptor.q3]
        guard let (name, response) = try? PageGroupName.decode(words) else { return }
        pages?.respond(name, response)
    }
}
