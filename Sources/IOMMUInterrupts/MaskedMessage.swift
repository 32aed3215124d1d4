// SPDX-License-Identifier: LGPL-2.1-or-later
//
// MaskedMessage - an entry that notes that it was raised and signals nothing.

public import IOMMUCore
public import IOMMUDomains

/// An entry that signals nothing, and notes that work with its PASID raised it. Freed when it goes.
public struct MaskedMessage: ~Copyable, Sendable {
    private var entry: MessageEntry

    /// Which entry of the store it is.
    public var index: Int { Int(entry.index) }

    init(entry: consuming MessageEntry) {
        self.entry = entry
    }

    /// Arms it again; ``ArmedMessage/wasRaisedWhileMasked`` tells whether there is something to make up for.
    public consuming func unmask() -> ArmedMessage {
        let wasRaised = entry.unmask()
        return ArmedMessage(entry: entry, wasRaisedWhileMasked: wasRaised)
    }

    /// Waits, after a masking that timed out, for the sections that may still signal it. Returns at once if there are none.
    ///
    /// - Parameter port: The caller's own port, if it has one.
    /// - Throws: ``IOMMUError/timedOut``, ``IOMMUError/inSection``, ``IOMMUError/invalidArgument`` for another unit's port.
    public func settle(port: Port? = nil) throws(IOMMUError) {
        try entry.mask(port)
    }

    /// Gives it another message.
    ///
    /// - Throws: ``IOMMUError/timedOut``, only after a masking that timed out: a section may still signal the old message, which
    ///   stays. ``IOMMUError/inSection``, ``IOMMUError/invalidArgument`` for another unit's port.
    public mutating func program(address: UInt64, data: UInt32, port: Port? = nil) throws(IOMMUError) {
        try entry.program(address, data, port)
    }

    /// Gives it another PASID of the device. What work with the old one raised is dropped.
    ///
    /// - Throws: ``IOMMUError/timedOut``: a section is open, which may have noted an interrupt of the old PASID; it has the old PASID.
    ///   Otherwise as ``ArmedMessage/setPASID(_:port:)``. Nothing changed.
    public mutating func setPASID(_ pasid: PASID, port: Port? = nil) throws(IOMMUError) {
        try entry.setPASID(pasid, port)
    }

    /// Gives it a guest's PASID; otherwise as ``setPASID(_:port:)`` and ``InterruptMessageStore/allocate(guest:in:)``.
    public mutating func setPASID(
        guest: PASID, in space: PASIDNamespace, port: Port? = nil
    ) throws(IOMMUError) {
        try entry.setPASID(guest: guest, in: space, port)
    }

    /// Frees it; as ``ArmedMessage/free(port:)``.
    public consuming func free(port: Port? = nil) throws(IOMMUError) {
        try entry.free(port)
    }
}
