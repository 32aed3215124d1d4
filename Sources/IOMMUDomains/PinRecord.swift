// SPDX-License-Identifier: LGPL-2.1-or-later
//
// PinRecord - the bookkeeping of pins in a space, and the wait of an unmap for them.

internal import Dispatch
internal import IOMMUCore

/// One pin, behind the space's lock. An area's `pins` counts the records that touch it.
struct PinRecord: Sendable {
    let first: UInt64
    let last: UInt64
    let rights: AccessRights
    let accessor: IOAccessor

    func touches(_ otherFirst: UInt64, _ otherLast: UInt64) -> Bool {
        first <= otherLast && otherFirst <= last
    }
}

/// Lets one unmap sleep until a pin goes or its patience ends.
final class PinWait: Sendable {
    private let semaphore = DispatchSemaphore(value: 0)
    private let deadline: DispatchTime

    init(patience: Duration) {
        // Longer than a year is for ever, and does not overflow.
        let seconds = min(max(patience, .zero), .seconds(31_536_000)).components
        deadline = .now() + .nanoseconds(Int(seconds.seconds * 1_000_000_000 + seconds.attoseconds / 1_000_000_000))
    }

    /// Wakes the unmap. Once for each pin that goes, so that none is missed between its look and its sleep.
    func signal() {
        semaphore.signal()
    }

    /// Sleeps; false at the deadline.
    func waitForChange() -> Bool {
        semaphore.wait(timeout: deadline) == .success
    }
}

extension IOAddressSpace.Contents {
    /// Who holds pins in a range, each once, in the order of their oldest pin.
    func accessors(touching first: UInt64, _ last: UInt64) -> [IOAccessor] {
        var accessors: [IOAccessor] = []
        for (_, pin) in pins.sorted(by: { $0.key < $1.key }) where pin.touches(first, last) {
            if !accessors.contains(where: { $0 === pin.accessor }) { accessors.append(pin.accessor) }
        }
        return accessors
    }

    /// A pin in the range that has a right which is not in `rights`.
    func pin(touching first: UInt64, _ last: UInt64, beyond rights: AccessRights) -> PinRecord? {
        pins.values.first { $0.touches(first, last) && !$0.rights.isSubset(of: rights) }
    }

    /// Counts the pins of the areas in a range anew, after one was split.
    mutating func recountPins(_ first: UInt64, _ last: UInt64) {
        table.update(touching: first, last) { area in
            if area.pins > 0 {
                area.pins = UInt32(pins.values.count { $0.touches(area.first, area.last) })
            }
        }
    }
}
