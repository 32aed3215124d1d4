// SPDX-License-Identifier: LGPL-2.1-or-later
//
// PageBook - the groups of page requests that are on their way to the guest, or in its queue and not answered, by the names that its
// responses will use.

internal import IOMMUCore
internal import IOMMUFaults

/// What a unit remembers of page requests. Not for threads: PageIntake guards it.
struct PageBook {
    /// Complete, and not in the guest's queue yet; oldest first.
    private(set) var waiting: [PageGroup] = []
    /// In the guest's queue. Groups of one name are answered in the order in which they came.
    private var stored: [PageGroupName: [PageGroup]] = [:]
    private var storedCount = 0
    /// In the guest's queue since before a migration; their devices have not come back for them.
    private(set) var moved: [VirtualVTd.PageGroupState] = []
    /// Groups of `moved` that their device asks for again at this moment.
    private var returning: [VirtualVTd.PageGroupState] = []
    /// The index that the next group without one gets.
    private var nextIndex = 0

    /// Implementation: groups that ended otherwise, such as by a detach, are looked for once so many are kept; the engine has 1,024 open
    /// ones at most.
    private static let pruneAt = 2048
    /// Choice: of those that were moved so many are expected. The last unit had no more of its own; what is older has come through several
    /// units without its device.
    private static let movedMost = 1024
    /// Groups in a snapshot: those that were moved to the unit, and those that it has asked for itself.
    static let statesMost = 2 * movedMost

    // MARK: To the guest

    mutating func append(_ group: PageGroup) {
        if waiting.count >= Self.pruneAt { waiting.removeAll { !$0.isOpen } }
        waiting.append(group)
    }

    mutating func takeFirst() -> PageGroup? {
        waiting.isEmpty ? nil : waiting.removeFirst()
    }

    /// The name that the guest answers a group by: its own index, or one that no open group of its PASID has.
    mutating func name(_ group: PageGroup) -> PageGroupName {
        var name = PageGroupName(source: group.source, pasid: group.pasid, group: group.group ?? nextIndex)
        guard group.group == nil else { return name }
        // Choice: when every index is in use the next one is used twice, and answers go to the older group first.
        for _ in 0..<512 where isInUse(name) { name.group = (name.group + 1) % 512 }
        nextIndex = (name.group + 1) % 512
        return name
    }

    private func isInUse(_ name: PageGroupName) -> Bool {
        stored[name]?.contains(where: \.isOpen) == true || moved.contains { $0.name == name }
    }

    /// The guest will find it in its queue.
    mutating func store(_ group: PageGroup, as name: PageGroupName) {
        if storedCount >= Self.pruneAt { prune() }
        stored[name, default: []].append(group)
        storedCount += 1
    }

    private mutating func prune() {
        stored = stored.compactMapValues { groups in
            let open = groups.filter(\.isOpen)
            return open.isEmpty ? nil : open
        }
        storedCount = stored.values.reduce(0) { $0 + $1.count }
    }

    // MARK: From the guest

    /// Who a response is for.
    ///
    /// - Returns: The group; nil if there is none, or if its device has yet to come back for it.
    mutating func take(_ name: PageGroupName, for response: PageResponse) -> PageGroup? {
        let isOpen = { (state: VirtualVTd.PageGroupState) in state.response == nil || broken(.secondAnswerTaken) }
        if let position = moved.firstIndex(where: { $0.name == name && isOpen($0) }) {
            if moved[position].deviceIndex == nil {
                moved.remove(at: position)  // whoever waited for it has begun again
            } else {
                moved[position].response = response
            }
            return nil
        }
        while var groups = stored[name] {
            let group = broken(.pageAnswersCrossed) ? groups.removeLast() : groups.removeFirst()
            storedCount -= 1
            stored[name] = groups.isEmpty ? nil : groups
            if group.isOpen { return group }
        }
        return nil
    }

    // MARK: Migration

    /// What the guest has in its queue and has not answered, oldest first; and what it answered before its device came back.
    var states: [VirtualVTd.PageGroupState] {
        let open = stored.flatMap { name, groups in groups.filter(\.isOpen).map { (name, $0) } }
        return moved
            + open.sorted { $0.1.cookie < $1.1.cookie }.map { VirtualVTd.PageGroupState($0.0, $0.1) }
    }

    /// Forgets everything, and expects what another unit has left, oldest first.
    ///
    /// - Returns: The groups that nobody will answer.
    mutating func restart(_ moved: [VirtualVTd.PageGroupState] = []) -> [PageGroup] {
        let lost = waiting + stored.values.flatMap { $0 }
        self = PageBook()
        self.moved = moved.suffix(Self.movedMost)
        return lost
    }

    /// A device asks again for a group.
    mutating func beginReturn(_ state: VirtualVTd.PageGroupState) {
        returning.append(state)
    }

    /// It is over, whether the group came or was refused.
    mutating func endReturn(_ state: VirtualVTd.PageGroupState) {
        if let position = returning.firstIndex(of: state) { returning.remove(at: position) }
    }

    /// Whether a group is one of those: then the guest has it already.
    ///
    /// - Returns: What is known of it, and is no longer expected.
    mutating func takeReturned(_ group: PageGroup) -> VirtualVTd.PageGroupState? {
        guard let place = returning.firstIndex(where: { $0.isSame(group) }) else { return nil }
        let state = returning.remove(at: place)
        // The guest may have answered it since.
        let known = moved.firstIndex { $0.name == state.name && $0.pages == state.pages }
        return known.map { moved.remove(at: $0) } ?? state
    }
}
