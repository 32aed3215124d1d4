// SPDX-License-Identifier: LGPL-2.1-or-later
//
// PageIntake - page requests on their way to the guest: whole groups come from the engine and are stored in the guest's queue; its
// responses go back.

internal import IOMMUCore
internal import IOMMUFaults
internal import IOMMUInvalidation
internal import Synchronization

/// Takes groups from the engine, in the order in which they were complete, and keeps the book of them.
final class PageIntake: Sendable {
    /// Calls `handler` for each group; ends with this object.
    private let queue: PageQueue
    private let book: Mutex<PageBook>

    /// - Parameters:
    ///   - timeout: How long the guest may take to answer a group; nil for ever.
    ///   - link: Groups go to this unit, once it is there.
    /// - Throws: As `PageQueue.init(guestTablesOf:)`.
    init(_ unit: RemappingUnit, timeout: Duration?, _ link: FrontLink) throws(IOMMUError) {
        var configuration = PageQueue.Configuration()
        configuration.timeout = timeout
        configuration.sharesAnswers = false  // the guest sees, and answers, what each device asks for
        book = Mutex(PageBook())
        // On the thread that finds the group: it only puts it in line.
        queue = try PageQueue(
            guestTablesOf: unit, configuration: configuration, executor: HandlerExecutor { $0() }
        ) { group in
            guard let front = link.front, let pages = front.pages else { return }
            pages.take(group, front)
        }
    }

    private func take(_ group: PageGroup, _ front: VirtualVTd) {
        let returned = book.withLock { book in
            let returned = book.takeReturned(group)
            if let returned, returned.response == nil { book.store(group, as: returned.name) }
            if returned == nil { book.append(group) }
            return returned
        }
        if let returned {
            if let response = returned.response { try? group.respond(response) }
        } else {
            front.change { _, actions in actions.append(.work(.pages)) }
        }
    }

    /// Groups that are to be stored.
    var waiting: Int { book.withLock { $0.waiting.count } }

    /// The oldest of them, and the name that the guest is to answer it by.
    func next() -> (PageGroup, PageGroupName)? {
        book.withLock { book in
            guard let group = book.takeFirst() else { return nil }
            return (group, book.name(group))
        }
    }

    /// The guest will find a group in its queue.
    func store(_ group: PageGroup, as name: PageGroupName) {
        book.withLock { $0.store(group, as: name) }
    }

    /// A page-group response of the guest's. One that names no group changes nothing.
    func respond(_ name: PageGroupName, _ response: PageResponse) {
        let group = book.withLock { $0.take(name, for: response) }
        try? group?.respond(response)
    }

    /// What a snapshot keeps.
    var states: [VirtualVTd.PageGroupState] { book.withLock { $0.states } }

    /// Forgets everything, and expects what another unit has left. What devices have asked this one for is answered with `invalid`.
    func restart(_ moved: [VirtualVTd.PageGroupState] = []) {
        let lost = book.withLock { $0.restart(moved) }
        for group in lost { try? group.respond(.invalid) }
    }

    /// Asks again, in a device's name, for what it asked for elsewhere.
    ///
    /// - Parameters:
    ///   - source: Who its requests come from.
    ///   - owns: Whether a PASID is one that it asks with.
    ///   - send: Sends a request in its name.
    func resume(
        _ source: SourceID, owns: (PASID?) -> Bool, send: (PageRequest) throws(IOMMUError) -> Void
    ) throws(IOMMUError) {
        let expected = book.withLock { $0.moved }.filter { state in
            state.source == source && state.deviceIndex != nil && owns(state.pasid)
        }
        for state in expected {
            book.withLock { $0.beginReturn(state) }
            defer { book.withLock { $0.endReturn(state) } }
            for request in state.requests { try send(request) }
        }
    }
}

extension VirtualVTd {
    /// Stores what is in line in the guest's queue. By the thread that does works. What comes meanwhile has put a work of its own in
    /// line.
    func storePages() {
        guard let pages else { return }
        for _ in 0..<pages.waiting {
            guard let (group, name) = pages.next() else { return }
            store(group, as: name, pages)
        }
    }

    /// Stores a group, request by request. One that finds the queue full is answered so that the device asks again [FORMATS-VTD D2].
    private func store(_ group: PageGroup, as name: PageGroupName, _ pages: PageIntake) {
        for (number, page) in group.pages.enumerated() {
            let isLast = number == group.pages.count - 1
            let request = PageRequest(
                page.address, access: page.access, pasid: group.pasid, group: name.group, isLast: isLast,
                privateData: isLast ? group.privateData : nil)
            guard let words = try? request.descriptor(from: group.source) else { return }
            guard let place = change({ state, actions in state.nextPageRequest(&actions) }) else {
                try? group.respond(.success)
                return
            }
            // Where no memory is the request is lost to the guest, as on hardware; its deadline answers the device.
            guard engine.store(words, at: place) else { return }
            if isLast { pages.store(group, as: name) }
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
