// SPDX-License-Identifier: LGPL-2.1-or-later
//
// MessageEntry - an entry of a store, owned by whoever holds this value; freed with it. The states' types hold one each and hand it
// on: it is the same entry from allocation to the end.

internal import CIOMMU
internal import IOMMUCore
internal import IOMMUDomains

/// An entry. Nobody else changes it in C, so what C refuses for its state or for another caller cannot happen here.
struct MessageEntry: ~Copyable, Sendable {
    let store: InterruptMessageStore
    let index: UInt32
    /// The guest's namespace that C looks its PASID up in.
    private(set) var space: PASIDNamespace?
    private(set) var isFree = false

    init(store: InterruptMessageStore, index: UInt32, space: PASIDNamespace?) {
        self.store = store
        self.index = index
        self.space = space
    }

    deinit {
        guard !isFree else { return }
        let status = unsafe ciommu_message_free(store.handle, nil, index)
        precondition(status == CIOMMU_OK || status == CIOMMU_TIMED_OUT, "an entry can always be freed")
        if status != CIOMMU_OK {
            store.keep(space)
        }
    }

    /// Frees it now; refused, it stays and is freed with this value.
    mutating func free(_ port: Port?) throws(IOMMUError) {
        try check(port)
        let status = unsafe ciommu_message_free(store.handle, port?.handle, index)
        extendLifetime(port)
        isFree = status == CIOMMU_OK || status == CIOMMU_TIMED_OUT
        if status == CIOMMU_TIMED_OUT {
            store.keep(space)
        }
        try IOMMUError.check(status)
    }

    func program(_ address: UInt64, _ data: UInt32, _ port: Port?) throws(IOMMUError) {
        try check(port)
        let status = unsafe ciommu_message_program(store.handle, port?.handle, index, address, data)
        extendLifetime(port)
        try IOMMUError.check(status)
    }

    func mask(_ port: Port?) throws(IOMMUError) {
        try check(port)
        let status = unsafe ciommu_message_mask(store.handle, port?.handle, index)
        extendLifetime(port)
        try IOMMUError.check(status)
    }

    func arm() {
        let status = unsafe ciommu_message_arm(store.handle, index)
        precondition(status == CIOMMU_OK, "a programmed entry can be armed")
    }

    /// - Returns: It was raised while it was masked.
    func unmask() -> Bool {
        var isPending = false
        let status = unsafe ciommu_message_unmask(store.handle, index, &isPending)
        precondition(status == CIOMMU_OK, "a masked entry can be unmasked")
        return isPending && !broken(.raiseLostAtUnmask)
    }

    mutating func setPASID(_ pasid: PASID, _ port: Port?) throws(IOMMUError) {
        try check(port)
        let status = unsafe ciommu_message_set_pasid(store.handle, port?.handle, index, pasid.rawValue)
        extendLifetime(port)
        guard status == CIOMMU_OK else { throw error(status, pasid) }
        space = nil
    }

    mutating func setPASID(guest: PASID, in space: PASIDNamespace, _ port: Port?) throws(IOMMUError) {
        try check(port)
        let status = unsafe ciommu_message_set_guest_pasid(
            store.handle, port?.handle, index, space.handle, guest.rawValue)
        extendLifetime(port)
        guard status == CIOMMU_OK else { throw error(status, space.host(for: guest)) }
        self.space = space
    }

    private func check(_ port: Port?) throws(IOMMUError) {
        try store.device.unit.checkOwner(of: port)
    }

    private func error(_ status: ciommu_status, _ pasid: PASID?) -> IOMMUError {
        if status == CIOMMU_BAD_STATE {
            return IOMMUError(status).with(detail: "entry \(index) has no PASID that is looked at")
        }
        return store.error(status, pasid)
    }
}
