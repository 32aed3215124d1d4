// SPDX-License-Identifier: LGPL-2.1-or-later
//
// FrontLink - the way back to a unit from what it owns, and from what is called when something happens.

internal import Synchronization

/// A unit that is there later than what refers to it, and may be gone before.
final class FrontLink: Sendable {
    private struct Reference: Sendable {
        weak var front: VirtualVTd?
    }

    private let reference = Mutex(Reference())

    var front: VirtualVTd? { reference.withLock { $0.front } }

    func set(_ front: VirtualVTd) {
        reference.withLock { $0.front = front }
    }
}
