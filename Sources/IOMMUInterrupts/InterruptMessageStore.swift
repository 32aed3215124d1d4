// SPDX-License-Identifier: LGPL-2.1-or-later
//
// InterruptMessageStore - a device's own store of interrupt messages (IMS): owns the C store, hands out entries. What becomes of an
// entry is in the types of its states: AllocatedMessage, ProgrammedMessage, ArmedMessage, MaskedMessage.

internal import CIOMMU
public import IOMMUCore
public import IOMMUDomains
internal import Synchronization

// @unchecked: every C function on a store is thread safe, and the Swift side is behind the lock of `kept`.
/// A device's own store of interrupt messages, whose entries are tied to PASIDs [B-C1].
///
/// An entry has a type for each of its states, so that the wrong order does not compile: it is *allocated* from the device, which
/// gives it its PASID [B-C2], then *programmed*, then *armed*, then *masked* and armed again. Nothing can be armed before its PASID
/// is in place [B-C3].
///
/// ```swift
/// let store = try InterruptMessageStore(device: device)
/// let armed = try store.allocate(pasid: pasid).program(address: 0xfee0_0000, data: 0x41).arm()
/// try store.deliver(armed.index, pasid: work.pasid, through: port) { message in
///     virtualMachine.signal(message.address, message.data)
/// }
/// ```
///
/// Whether work may raise an entry is checked lock-free, by any number of threads, beside changes. What a change promises when it
/// has returned (no interrupt with the old PASID, or of a masked or freed entry, is signalled any more) rests on the device
/// signalling before its access section ends.
///
/// Whether a domain is attached for a PASID does not count: work that is under way may end with an interrupt. To silence an entry,
/// mask or free it. A guest's entry is silent from the moment its PASID is unbound (``PASIDNamespace/unbind(guest:port:)``); a
/// device's reset masks everything that is armed.
///
/// Any thread may call, at any time; what waits for access sections must not be called from inside one. That goes for the last
/// release of a message, too. The store keeps its device alive, and messages keep their store.
@safe
public final class InterruptMessageStore: @unchecked Sendable {
    /// The device whose messages they are.
    public let device: Device

    /// How many entries there are.
    public let count: Int

    let handle: OpaquePointer

    /// Namespaces that a section may still look into, because an entry was freed without waiting for it.
    private let kept = Mutex<[PASIDNamespace]>([])

    /// Makes a store with all entries free.
    ///
    /// - Parameters:
    ///   - device: The device. It may have several stores.
    ///   - count: Entries, 1 to 65,536; 64 bytes each.
    /// - Throws: ``IOMMUError/invalidArgument`` for another count, ``IOMMUError/noMemory``.
    public init(device: Device, count: Int = 256) throws(IOMMUError) {
        var config = ciommu_message_store_config()
        unsafe ciommu_message_store_config_init(&config)
        config.entries = UInt32(clamping: count)
        var handle: OpaquePointer?
        let status = unsafe ciommu_message_store_create(device.handle, &config, &handle)
        guard status == CIOMMU_OK, let handle = unsafe handle else {
            throw IOMMUError(status).with(detail: "a message store with \(count) entries")
        }
        self.device = device
        self.count = count
        unsafe self.handle = unsafe handle
    }

    deinit {
        let status = unsafe ciommu_message_store_destroy(handle, nil)
        precondition(status == CIOMMU_OK || status == CIOMMU_TIMED_OUT, "a store can always be destroyed")
    }

    /// Takes a free entry, the lowest one, for a PASID of the device.
    ///
    /// - Throws: ``IOMMUError/notOwned`` when the device does not own the PASID; ``IOMMUError/unsupported`` for a PASID that the
    ///   unit's capabilities do not cover; ``IOMMUError/noSpace`` when no entry is free.
    public func allocate(pasid: PASID) throws(IOMMUError) -> AllocatedMessage {
        var index: UInt32 = 0
        let status = unsafe ciommu_message_allocate(handle, pasid.rawValue, 0, &index)
        guard status == CIOMMU_OK else { throw error(status, pasid) }
        return AllocatedMessage(entry: MessageEntry(store: self, index: index, space: nil))
    }

    /// Takes a free entry for a guest's PASID, which the guest's own namespace translates [B-C4]. No guest can ask for an entry whose
    /// PASID is not looked at: there is no parameter for it.
    ///
    /// - Parameters:
    ///   - guest: The guest's PASID.
    ///   - space: The guest's namespace; kept alive while the entry needs it.
    /// - Throws: ``IOMMUError/notFound`` when it is not bound; otherwise as ``allocate(pasid:)``, about the host PASID.
    public func allocate(guest: PASID, in space: PASIDNamespace) throws(IOMMUError) -> AllocatedMessage {
        var index: UInt32 = 0
        let status = unsafe ciommu_message_allocate_guest(handle, space.handle, guest.rawValue, &index)
        guard status == CIOMMU_OK else { throw error(status, space.host(for: guest)) }
        return AllocatedMessage(entry: MessageEntry(store: self, index: index, space: space))
    }

    /// Takes a free entry that any work of the device may raise: its PASID is not looked at, for the life of the entry. For entries
    /// that only the host's own work raises [B-C1].
    ///
    /// - Throws: ``IOMMUError/noSpace`` when no entry is free.
    public func allocateUnchecked() throws(IOMMUError) -> AllocatedMessage {
        var index: UInt32 = 0
        let status = unsafe ciommu_message_allocate(
            handle, PASID?.none.wire, UInt32(CIOMMU_MESSAGE_UNCHECKED), &index)
        guard status == CIOMMU_OK else { throw error(status, nil) }
        return AllocatedMessage(entry: MessageEntry(store: self, index: index, space: nil))
    }

    /// Keeps a namespace as long as the store.
    func keep(_ space: PASIDNamespace?) {
        guard let space else { return }
        kept.withLock { kept in
            if !kept.contains(where: { $0 === space }) {
                kept.append(space)
            }
        }
    }

    func error(_ status: ciommu_status, _ pasid: PASID?) -> IOMMUError {
        let error = IOMMUError(status)
        switch error {
        case .notOwned:
            let which = pasid.map { "PASID \($0)" } ?? "that PASID"
            return error.with(detail: "device \(device.id) owns \(device.share), not \(which)")
        case .noSpace:
            return error.with(detail: "none of the \(count) entries of device \(device.id) is free")
        default:
            return error
        }
    }
}
