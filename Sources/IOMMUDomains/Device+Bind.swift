// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A guest's own PASID table behind a device: what can be checked is checked when it is bound [B-B2], the rest when it is used.

internal import CIOMMU
public import IOMMUCore
internal import Synchronization

extension Device {
    /// Gives the device the guest's own PASID table. What is in it is not looked at: a bad entry is a fault of the request that
    /// needs it [B-B1]. Cached entries are dropped by the guest's invalidations.
    ///
    /// - Parameters:
    ///   - table: The table.
    ///   - port: The caller's own port, if it has one: then a call from inside its section is refused instead of waiting for
    ///     itself.
    /// - Throws: ``IOMMUError/inUse`` when a domain is attached or a table bound, also by a device that shares PASIDs;
    ///   ``IOMMUError/unsupported`` for another model or format than the unit's, another number of levels, a unit without ECAP.SMTS,
    ///   or a PASID for requests without one on a unit without ECAP.RPS; ``IOMMUError/misaligned`` for the address;
    ///   ``IOMMUError/outOfRange`` for the PASID bits, that PASID or the address; ``IOMMUError/invalidArgument`` for another unit's
    ///   port, ``IOMMUError/inSection``, ``IOMMUError/noMemory``: nothing changed. ``IOMMUError/timedOut``: bound, but a section that began before still runs.
    public func bind(_ table: PASIDTable, port: Port? = nil) throws(IOMMUError) {
        try unit.checkOwner(of: port)
        var c = ciommu_pasid_table(table)
        let status = unsafe ciommu_device_bind(handle, port?.handle, &c)
        guard status == CIOMMU_OK else { throw error(status, binding: table) }
    }

    /// Takes the guest's table away: all traffic is blocked, and after the return nobody uses the table.
    ///
    /// - Parameter port: The caller's own port, if it has one.
    /// - Throws: ``IOMMUError/notAttached`` when none is bound, ``IOMMUError/inSection``, ``IOMMUError/invalidArgument`` for another
    ///   unit's port: nothing changed. ``IOMMUError/timedOut``: unbound, but a section that began before still runs.
    public func unbind(port: Port? = nil) throws(IOMMUError) {
        try unit.checkOwner(of: port)
        try unsafe IOMMUError.check(ciommu_device_unbind(handle, port?.handle))
    }

    /// The guest's table that is bound, if any.
    public var boundTable: PASIDTable? {
        var c = ciommu_pasid_table()
        c.size = UInt32(MemoryLayout<ciommu_pasid_table>.size)
        guard unsafe ciommu_device_bound(handle, &c) else { return nil }
        return PASIDTable(
            model: .vtd, format: c.format, levels: Int(c.levels), pasidBits: Int(c.pasid_bits),
            ridPASID: PASID(c.rid_pasid) ?? PASID(0)!, address: OutputAddress(c.address))
    }
}

extension ciommu_pasid_table {
    /// What does not fit becomes a value that C refuses.
    init(_ table: PASIDTable) {
        self.init(
            size: UInt32(MemoryLayout<ciommu_pasid_table>.size), model: table.model.rawValue, format: table.format,
            levels: UInt32(clamping: table.levels), pasid_bits: UInt32(clamping: table.pasidBits),
            rid_pasid: table.ridPASID.rawValue, address: table.address.rawValue)
    }
}
