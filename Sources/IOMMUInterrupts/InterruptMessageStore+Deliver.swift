// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Delivery: may this work raise that entry, and what is then signalled. Lock-free.

internal import CIOMMU
public import IOMMUCore

extension InterruptMessageStore {
    /// Asks whether work may raise an entry, inside a section of `port` (``Port/withSection(_:)``), which signals what is to be
    /// signalled before it ends.
    ///
    /// Takes no lock, allocates nothing and waits for nobody. Remaps, with the device's source id, if the unit does.
    ///
    /// - Parameters:
    ///   - index: The entry.
    ///   - pasid: The PASID that the work carries; nil for none.
    ///   - port: The caller's port, of the device's unit.
    /// - Throws: ``IOMMUError/invalidArgument`` outside a section, for another unit's port, or for an index that the store does not
    ///   have.
    public func delivery(
        of index: Int, pasid: PASID?, through port: Port
    ) throws(IOMMUError) -> MessageDelivery {
        var delivery = unsafe ciommu_delivery()
        unsafe delivery.size = UInt32(MemoryLayout<ciommu_delivery>.size)
        let status = unsafe ciommu_message_deliver(
            port.handle, handle, UInt32(exactly: index) ?? .max, pasid.wire, &delivery)
        guard status == CIOMMU_OK else {
            throw IOMMUError(status).with(
                detail: "entry \(index) of \(count), inside a section of a port of the device's unit")
        }
        return unsafe MessageDelivery(delivery)
    }

    /// Raises an entry: checks, and signals inside a section of its own; otherwise as ``delivery(of:pasid:through:)``.
    ///
    /// - Parameter signal: Signals the message. It runs inside the section: it must be short, and must not wait for anybody who
    ///   changes tables, entries, mappings or memory, nor change entries of a store itself.
    /// - Returns: What became of it.
    @discardableResult
    public func deliver(
        _ index: Int, pasid: PASID?, through port: Port, _ signal: (InterruptMessage) -> Void
    ) throws(IOMMUError) -> MessageDelivery {
        try port.withSection { () throws(IOMMUError) in
            let delivery = try delivery(of: index, pasid: pasid, through: port)
            if let message = delivery.message {
                signal(message)
            }
            return delivery
        }
    }

    /// Counters of a store. What was delivered is not counted, because that would cost deliveries a shared write.
    public struct Statistics: Hashable, Sendable {
        /// Entries that are neither free nor retired.
        public var allocated = 0
        /// Entries that were freed while a section could still use them.
        public var retired = 0
        /// Attempts that found the entry masked.
        public var masked: UInt64 = 0
        /// Attempts that found it free or not armed yet.
        public var notArmed: UInt64 = 0
        /// Attempts with another PASID.
        public var wrongPASID: UInt64 = 0
        /// Attempts without a PASID.
        public var absentPASID: UInt64 = 0
        /// Attempts with a PASID that the device or the guest lost.
        public var revoked: UInt64 = 0
        /// Messages that remapping blocked.
        public var blocked: UInt64 = 0
    }

    /// What happened so far.
    public var statistics: Statistics {
        var sum = ciommu_message_statistics()
        sum.size = UInt32(MemoryLayout<ciommu_message_statistics>.size)
        unsafe ciommu_message_read_statistics(handle, &sum)
        return Statistics(
            allocated: Int(sum.allocated), retired: Int(sum.retired), masked: sum.masked, notArmed: sum.not_armed,
            wrongPASID: sum.wrong_pasid, absentPASID: sum.absent_pasid, revoked: sum.revoked, blocked: sum.faults)
    }
}
