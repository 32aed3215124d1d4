// SPDX-License-Identifier: LGPL-2.1-or-later
//
// DSAMessageSlots - entries that a guest drives through registers, in the layout that DSA gives them [FORMATS-VTD F3].

internal import CIOMMU
public import IOMMUCore
public import IOMMUDomains
internal import Synchronization

/// Entries of a store that a guest programs, masks and unmasks itself, through slots of 16 bytes: the register page that a device
/// model shows. Several virtual processors may access them at once; what changes one slot waits for its turn, outside of access
/// sections.
///
/// | Offset | Register | Who writes |
/// | --- | --- | --- |
/// | 0, 4 | address, low and high | the guest |
/// | 8 | data | the guest |
/// | 12 | control: bit 0 mask | the guest |
/// | 12 | control: bit 3 PASID enable, bits 31:12 PASID | nobody here: allocation and ``setPASID(guest:in:ofSlot:port:)`` |
///
/// A guest's slot shows the guest's own PASID. Only entries that were given away to it (``show(_:)``) are behind a slot; the others of
/// the store stay the host's, and read as masked zeroes.
public final class DSAMessageSlots: Sendable {
    /// Bytes of a slot.
    public static let slotLength = Int(CIOMMU_SLOT_LENGTH)

    /// The store whose entries they are.
    public let store: InterruptMessageStore

    /// What is behind the slots.
    private let shown = Mutex<[Int: Shown]>([:])

    /// An entry that a guest drives.
    private final class Shown: Sendable {
        let entry: Mutex<MessageEntry>

        init(_ entry: consuming MessageEntry) {
            self.entry = Mutex(entry)
        }
    }

    /// Makes slots with nothing behind them.
    public init(store: InterruptMessageStore) {
        self.store = store
    }

    /// Gives an entry to the guest: slot number and index are the same.
    ///
    /// - Precondition: The entry is of ``store``.
    @discardableResult
    public func show(_ message: consuming AllocatedMessage) -> Int {
        precondition(message.entry.store === store, "an entry of another store")
        let index = message.index
        let entry = Shown(message.entry)
        shown.withLock { $0[index] = entry }
        return index
    }

    /// Takes an entry away from the guest and frees it; the wait for sections is as for ``MaskedMessage/free(port:)``.
    ///
    /// - Throws: ``IOMMUError/notFound`` when no entry is behind the slot; otherwise as ``ArmedMessage/free(port:)``.
    public func hide(slot: Int, port: Port? = nil) throws(IOMMUError) {
        guard let entry = shown.withLock({ $0.removeValue(forKey: slot) }) else { throw Self.nothing(slot) }
        try entry.entry.withLock { (entry) throws(IOMMUError) in try entry.free(port) }
    }

    /// Gives an entry another PASID of the device; the guest goes on with it.
    ///
    /// - Throws: ``IOMMUError/notFound`` when no entry is behind the slot. ``IOMMUError/timedOut``: the guest finds it masked if it
    ///   was armed, with the old PASID. Otherwise as ``ArmedMessage/setPASID(_:port:)``.
    public func setPASID(_ pasid: PASID, ofSlot slot: Int, port: Port? = nil) throws(IOMMUError) {
        guard let entry = shown.withLock({ $0[slot] }) else { throw Self.nothing(slot) }
        try entry.entry.withLock { (entry) throws(IOMMUError) in
            guard !entry.isFree else { throw Self.nothing(slot) }
            try entry.setPASID(pasid, port)
        }
    }

    /// Gives an entry a guest's PASID; otherwise as ``setPASID(_:ofSlot:port:)``.
    public func setPASID(
        guest: PASID, in space: PASIDNamespace, ofSlot slot: Int, port: Port? = nil
    ) throws(IOMMUError) {
        guard let entry = shown.withLock({ $0[slot] }) else { throw Self.nothing(slot) }
        try entry.entry.withLock { (entry) throws(IOMMUError) in
            guard !entry.isFree else { throw Self.nothing(slot) }
            try entry.setPASID(guest: guest, in: space, port)
        }
    }

    /// The guest reads registers.
    ///
    /// - Parameters:
    ///   - slot: Which slot; one with nothing behind it reads as masked zeroes.
    ///   - offset: First byte in the slot, a multiple of `count`.
    ///   - count: 4 or 8 bytes.
    /// - Throws: ``IOMMUError/misaligned``; ``IOMMUError/invalidArgument`` for another count, an offset over 15, or a slot that the
    ///   store does not have.
    public func read(slot: Int, offset: Int, count: Int) throws(IOMMUError) -> UInt64 {
        var value: UInt64 = 0
        let status = unsafe ciommu_message_slot_read(
            store.handle, Self.wire(slot), Self.wire(offset), Self.wire(count), &value)
        try IOMMUError.check(status)
        if shown.withLock({ $0[slot] }) != nil || broken(.hostEntryShown) {
            return value
        }
        let masked = UInt64(CIOMMU_SLOT_MASK)
        return offset == Int(CIOMMU_SLOT_CONTROL) ? masked : offset == 8 && count == 8 ? masked << 32 : 0
    }

    /// The guest writes registers. Address and data program the entry; an armed one is masked, changed and unmasked. Clearing the mask
    /// arms or unmasks it, setting it masks it. Other bits are ignored.
    ///
    /// - Parameters:
    ///   - value: What it writes.
    ///   - slot: Which slot.
    ///   - offset: First byte in the slot, a multiple of `count`.
    ///   - count: 4 or 8 bytes.
    ///   - port: The caller's own port, if it has one: then a call from inside its section is refused instead of waiting for
    ///     itself.
    /// - Returns: The entry was raised while it was masked, and is to be raised again now.
    /// - Throws: ``IOMMUError/notFound`` with nothing behind the slot; ``IOMMUError/badState`` when the guest unmasks what it never
    ///   programmed; ``IOMMUError/misaligned``, ``IOMMUError/inSection``, ``IOMMUError/invalidArgument``: nothing changed. ``IOMMUError/timedOut``: a section that began before may still signal the
    ///   entry, which is masked.
    @discardableResult
    public func write(
        _ value: UInt64, slot: Int, offset: Int, count: Int, port: Port? = nil
    ) throws(IOMMUError) -> Bool {
        try store.device.unit.checkOwner(of: port)
        guard let entry = shown.withLock({ $0[slot] }) else { throw Self.nothing(slot) }
        return try entry.entry.withLock { (entry) throws(IOMMUError) in
            guard !entry.isFree else { throw Self.nothing(slot) }
            var isPending = false
            let status = unsafe ciommu_message_slot_write(
                store.handle, port?.handle, entry.index, Self.wire(offset), Self.wire(count), value, &isPending)
            extendLifetime(port)
            try IOMMUError.check(status)
            return isPending
        }
    }

    /// As C wants it; what does not fit becomes a value that C refuses.
    private static func wire(_ value: Int) -> UInt32 {
        UInt32(exactly: value) ?? .max
    }

    private static func nothing(_ slot: Int) -> IOMMUError {
        IOMMUError.notFound.with(detail: "nothing is behind slot \(slot)")
    }
}
