// SPDX-License-Identifier: LGPL-2.1-or-later
//
// ArmedMessage - an entry that work with its PASID raises.

public import IOMMUCore
public import IOMMUDomains

/// An entry that work with its PASID raises. Freed when it goes.
///
/// A reset of the device (``Device/reset(port:)``) masks what is armed; such an entry delivers nothing until ``mask(port:)`` and
/// ``MaskedMessage/unmask()``.
public struct ArmedMessage: ~Copyable, Sendable {
    private var entry: MessageEntry

    /// It was raised while it was masked, before it became armed: it is to be raised again now, with its PASID.
    public let wasRaisedWhileMasked: Bool

    /// Which entry of the store it is.
    public var index: Int { Int(entry.index) }

    init(entry: consuming MessageEntry, wasRaisedWhileMasked: Bool) {
        self.entry = entry
        self.wasRaisedWhileMasked = wasRaisedWhileMasked
    }

    /// Masks it.
    ///
    /// - Parameter port: The caller's own port, if it has one: then a call from inside its section is refused instead of waiting
    ///   for itself.
    /// - Returns: ``MessageTransition/done(_:)``: masked, and no interrupt of it is being signalled. ``MessageTransition/late(_:_:)``
    ///   with ``IOMMUError/timedOut``: masked, but a section that began before may still signal one.
    ///   ``MessageTransition/refused(_:_:)`` with ``IOMMUError/inSection`` or ``IOMMUError/invalidArgument`` (another unit's port).
    public consuming func mask(port: Port? = nil) -> MessageTransition<MaskedMessage> {
        do throws(IOMMUError) {
            try entry.mask(port)
            return .done(MaskedMessage(entry: entry))
        } catch {
            return Self.left(entry, error)
        }
    }

    /// Gives it another PASID of the device: masks it, waits, changes it, and unmasks it, in this one call. What work with the old
    /// PASID raises meanwhile is dropped, because it concerns the old one.
    ///
    /// - Parameters:
    ///   - pasid: The new PASID.
    ///   - port: The caller's own port, if it has one.
    /// - Returns: ``MessageTransition/done(_:)``: armed with the new PASID, and no interrupt that work of the old one raised is being
    ///   signalled. ``MessageTransition/late(_:_:)`` with ``IOMMUError/timedOut``: masked, and it has the old PASID, because a section
    ///   may still signal it. ``MessageTransition/refused(_:_:)``: as it was; errors as ``InterruptMessageStore/allocate(pasid:)``,
    ///   and ``IOMMUError/badState`` for an unchecked entry, ``IOMMUError/inSection``, ``IOMMUError/invalidArgument``.
    public consuming func setPASID(_ pasid: PASID, port: Port? = nil) -> MessageTransition<ArmedMessage> {
        do throws(IOMMUError) {
            try entry.setPASID(pasid, port)
            return .done(ArmedMessage(entry: entry, wasRaisedWhileMasked: false))
        } catch {
            return Self.left(entry, error)
        }
    }

    /// Gives it a guest's PASID; otherwise as ``setPASID(_:port:)`` and ``InterruptMessageStore/allocate(guest:in:)``.
    public consuming func setPASID(
        guest: PASID, in space: PASIDNamespace, port: Port? = nil
    ) -> MessageTransition<ArmedMessage> {
        do throws(IOMMUError) {
            try entry.setPASID(guest: guest, in: space, port)
            return .done(ArmedMessage(entry: entry, wasRaisedWhileMasked: false))
        } catch {
            return Self.left(entry, error)
        }
    }

    /// Frees it. Without this call it is freed when it goes.
    ///
    /// - Throws: ``IOMMUError/timedOut``: freed, but a section that began before may still signal it; the entry is given to nobody
    ///   before that has ended. ``IOMMUError/inSection``, ``IOMMUError/invalidArgument``: it is freed all the same, without the port.
    public consuming func free(port: Port? = nil) throws(IOMMUError) {
        try entry.free(port)
    }

    /// What is left when a transition fails.
    private static func left<Next: ~Copyable>(
        _ entry: consuming MessageEntry, _ error: IOMMUError
    ) -> MessageTransition<Next> {
        error == .timedOut
            ? .late(MaskedMessage(entry: entry), error)
            : .refused(ArmedMessage(entry: entry, wasRaisedWhileMasked: false), error)
    }
}
