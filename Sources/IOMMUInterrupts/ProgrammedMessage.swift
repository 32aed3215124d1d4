// SPDX-License-Identifier: LGPL-2.1-or-later
//
// ProgrammedMessage - an entry with PASID and message, that nothing raises yet.

public import IOMMUCore
public import IOMMUDomains

/// An entry that has its PASID and its message. Freed when it goes.
public struct ProgrammedMessage: ~Copyable, Sendable {
    private var entry: MessageEntry

    /// Which entry of the store it is.
    public var index: Int { Int(entry.index) }

    init(entry: consuming MessageEntry, address: UInt64, data: UInt32) {
        self.entry = entry
        program(address: address, data: data)
    }

    /// Gives it another message.
    public mutating func program(address: UInt64, data: UInt32) {
        do throws(IOMMUError) {
            try entry.program(address, data, nil)
        } catch {
            preconditionFailure("an entry that is not armed can be programmed: \(error)")
        }
    }

    /// Arms it: work may raise it from now on, also in sections that are open already.
    public consuming func arm() -> ArmedMessage {
        entry.arm()
        return ArmedMessage(entry: entry, wasRaisedWhileMasked: false)
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
