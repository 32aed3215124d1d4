// SPDX-License-Identifier: LGPL-2.1-or-later
//
// AllocatedMessage - the first state of an entry: it has its PASID and nothing else.

public import IOMMUCore
public import IOMMUDomains

/// An entry that has its PASID, or none that is looked at, and no message yet. Freed when it goes.
public struct AllocatedMessage: ~Copyable, Sendable {
    var entry: MessageEntry

    /// Which entry of the store it is.
    public var index: Int { Int(entry.index) }

    /// Gives it a message.
    ///
    /// - Parameters:
    ///   - address: Where to write: a message in remappable or compatibility format [FORMATS-VTD F1]; any value.
    ///   - data: What to write.
    public consuming func program(address: UInt64, data: UInt32) -> ProgrammedMessage {
        ProgrammedMessage(entry: entry, address: address, data: data)
    }

    /// Gives it another PASID of the device.
    ///
    /// - Throws: As ``InterruptMessageStore/allocate(pasid:)``; ``IOMMUError/badState`` for an unchecked entry. Nothing changed.
    public mutating func setPASID(_ pasid: PASID) throws(IOMMUError) {
        try entry.setPASID(pasid, nil)
    }

    /// Gives it a guest's PASID; otherwise as ``setPASID(_:)`` and ``InterruptMessageStore/allocate(guest:in:)``.
    public mutating func setPASID(guest: PASID, in space: PASIDNamespace) throws(IOMMUError) {
        try entry.setPASID(guest: guest, in: space, nil)
    }
}
