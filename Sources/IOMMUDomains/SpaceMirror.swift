// SPDX-License-Identifier: LGPL-2.1-or-later
//
// SpaceMirror - what follows the areas of a space: in practice the page tables of a paging domain.

package import IOMMUCore

/// Has the same mappings as the space that it was added to. The space calls one method at a time.
///
/// A method that throws anything but ``IOMMUError/timedOut`` has changed nothing. After ``IOMMUError/timedOut`` the
/// change is made, but an access section that began before may still run without it.
package protocol SpaceMirror: AnyObject, Sendable {
    /// What every address, length and output address must be a multiple of: a power of two.
    var mirrorAlignment: UInt64 { get }

    /// Where it can map nothing, and why. Constant.
    var mirrorReservations: [(range: ClosedRange<IOVA>, reason: String)] { get }

    /// Maps a range that is free in it. Waits for nobody, so it never throws ``IOMMUError/timedOut``.
    func mirrorMap(_ first: IOVA, length: UInt64, to output: OutputAddress, rights: AccessRights) throws(IOMMUError)

    /// Unmaps all that it has in first...last. After the return nobody uses it any more.
    func mirrorUnmap(_ first: IOVA, length: UInt64) throws(IOMMUError)

    /// Unmaps everything. Needs no memory: throws nothing but ``IOMMUError/timedOut``.
    func mirrorUnmapAll() throws(IOMMUError)

    /// Gives a range, all of it mapped, other rights. After the return nobody uses a right that is gone.
    func mirrorProtect(_ first: IOVA, length: UInt64, rights: AccessRights) throws(IOMMUError)
}

/// The mirrors of one space.
///
/// Protocol: behind the lock `IOAddressSpace.changes`, which is held during calls to mirrors. The space holds a mirror
/// weakly and takes strong references for one change; they are released outside the lock, because the last one ends the
/// mirror, and that calls the space.
struct MirrorTable {
    struct Entry {
        /// Never used twice, so that a mirror that ends cannot be taken for a new one at its address.
        let serial: UInt64
        let alignment: UInt64
        weak var mirror: (any SpaceMirror)?
        /// It is empty because there was no memory to bring it back after a failure; refilled before the next change.
        var isStale = false
    }

    /// A mirror for the duration of one change.
    struct Live {
        let serial: UInt64
        let mirror: any SpaceMirror
    }

    var entries: [Entry] = []

    var live: [Live] {
        if entries.isEmpty { return [] }
        return entries.compactMap { entry in
            entry.mirror.map { Live(serial: entry.serial, mirror: $0) }
        }
    }

    mutating func setStale(_ isStale: Bool, serial: UInt64) {
        guard let index = entries.firstIndex(where: { $0.serial == serial }) else { return }
        entries[index].isStale = isStale
    }
}
