// SPDX-License-Identifier: LGPL-2.1-or-later
//
// MemoryPlacement - a range that the library itself registered in a memory map, counted by its users. The last user's
// release unregisters it; what keeps the host memory mapped goes only when no section can use it any more.

internal import CIOMMU

/// A range of host memory that the library registered. Constant.
package final class MemoryPlacement: Sendable {
    /// Output address of its first byte, a multiple of 4096.
    package let address: OutputAddress
    /// Bytes, a multiple of 4096.
    package let length: UInt64
    /// What it was registered for.
    package let rights: AccessRights
    /// What keeps the host memory mapped: released when nobody can use the memory any more. Nil: the host itself.
    package let keeper: (any AnyObject & Sendable)?

    fileprivate init(
        address: OutputAddress, length: UInt64, rights: AccessRights, keeper: (any AnyObject & Sendable)?
    ) {
        self.address = address
        self.length = length
        self.rights = rights
        self.keeper = keeper
    }

    fileprivate var last: UInt64 { address.rawValue + (length - 1) }
}

/// The placements of one memory map.
///
/// Protocol: everything is behind the lock of `GuestMemory.placements`, which is held while a range is unregistered, so
/// that nobody finds one that is about to go. An entry without users is still registered: the map had no memory to let
/// go of it.
struct PlacementTable {
    struct Entry {
        let placement: MemoryPlacement
        var users: Int
    }

    /// Sorted by address; disjoint, because the map's ranges are.
    var entries: [Entry] = []

    /// Unregistered, but a section that began before may still use the memory.
    var lingering: [MemoryPlacement] = []

    /// Index of the first entry that ends at or above `address`.
    func lowerBound(_ address: OutputAddress) -> Int {
        var low = 0
        var high = entries.count
        while low < high {
            let middle = low + (high - low) / 2
            if entries[middle].placement.last < address.rawValue {
                low = middle + 1
            } else {
                high = middle
            }
        }
        return low
    }

    /// Index of the entry that holds `address`.
    func index(holding address: OutputAddress) -> Int? {
        let index = lowerBound(address)
        guard index < entries.count, entries[index].placement.address <= address else { return nil }
        return index
    }
}

extension GuestMemory {
    /// Where host memory is registered.
    package struct Backing: Sendable {
        /// Output address of the first byte asked for.
        package var address: OutputAddress
        /// What the range permits: read, or read and write.
        package var rights: AccessRights
        /// The library's own registration; nil: the host's.
        package var placement: MemoryPlacement?

        package init(address: OutputAddress, rights: AccessRights, placement: MemoryPlacement?) {
            self.address = address
            self.rights = rights
            self.placement = placement
        }
    }

    /// Finds a registration that permits `rights`, and becomes a user of it if it is the library's own.
    ///
    /// Choice: memory whose bytes 4096, 8192, ... begin inside a page of output addresses is not reused for whole
    /// pages, because no domain could map it.
    @unsafe
    package func reuse(
        _ host: UnsafeMutableRawBufferPointer, rights: AccessRights
    ) throws(IOMMUError) -> Backing? {
        try placements.withLock { table throws(IOMMUError) in
            // Write-only memory does not exist in the map. What permits writes is preferred: rights may grow later.
            let choices: [AccessRights] = rights.contains(.write) ? [[.read, .write]] : [[.read, .write], .read]
            for choice in choices {
                guard let address = try unsafe locate(UnsafeRawBufferPointer(host), rights: choice),
                    address.rawValue % 4096 == 0 || host.count % 4096 != 0
                else { continue }
                guard let index = table.index(holding: address) else {
                    return Backing(address: address, rights: choice, placement: nil)
                }
                table.entries[index].users += 1
                return Backing(address: address, rights: choice, placement: table.entries[index].placement)
            }
            return nil
        }
    }

    /// Registers host memory, with the caller as its one user.
    ///
    /// A count that is no multiple of 4096 registers the pages of the host around it, which exist whole.
    ///
    /// Unsafe: the memory must stay mapped until it was released without an error, unless `keeper` does that.
    ///
    /// - Throws: ``IOMMUError/noSpace``, ``IOMMUError/misaligned``, ``IOMMUError/invalidArgument``,
    ///   ``IOMMUError/noMemory``; ``IOMMUError/timedOut``: taken back, because a section runs that does not see the
    ///   memory; ``drain()`` until it returns before the memory is freed.
    @unsafe
    package func register(
        _ host: UnsafeMutableRawBufferPointer, _ wish: Wish, rights: AccessRights,
        keeper: (any AnyObject & Sendable)? = nil
    ) throws(IOMMUError) -> Backing {
        var whole = unsafe host
        var skipped = 0
        if host.count % 4096 != 0, let base = host.baseAddress {
            skipped = Int(bitPattern: base) & 4095
            let count = (skipped + host.count + 4095) & ~4095
            unsafe whole = unsafe UnsafeMutableRawBufferPointer(start: base - skipped, count: count)
        }
        let allowed: AccessRights = rights.contains(.write) ? [.read, .write] : .read
        return try placements.withLock { table throws(IOMMUError) in
            let (address, isInForce) = try unsafe place(whole, wish, rights: allowed)
            let placement = MemoryPlacement(
                address: address, length: UInt64(whole.count), rights: allowed, keeper: keeper)
            let index = table.lowerBound(address)
            table.entries.insert(PlacementTable.Entry(placement: placement, users: isInForce ? 1 : 0), at: index)
            if !isInForce {
                _ = unregister(at: index, in: &table)
                throw .timedOut.with(
                    detail: "nothing was mapped: an older access section runs on without it; drain the memory map")
            }
            return Backing(
                address: OutputAddress(address.rawValue + UInt64(skipped)), rights: allowed, placement: placement)
        }
    }

    /// Adds users to a placement that has one.
    package func retain(_ placement: MemoryPlacement, users: Int = 1) {
        placements.withLock { table in
            guard let index = table.index(holding: placement.address), table.entries[index].users > 0 else {
                preconditionFailure("a placement is retained by somebody who has it")
            }
            table.entries[index].users += users
        }
    }

    /// Gives up one use each. Those without users are unregistered: after the return nobody uses their host memory any
    /// more.
    ///
    /// - Throws: ``IOMMUError/timedOut``: all are given up, but some memory may still be in use, or is still registered
    ///   for want of memory: ``drain()`` until it returns.
    package func release(_ released: [MemoryPlacement]) throws(IOMMUError) {
        if released.isEmpty { return }
        var failure: ciommu_status = CIOMMU_OK
        // Handed out of the lock: their keepers unmap files.
        var gone: [MemoryPlacement] = []
        defer { extendLifetime(gone) }
        placements.withLock { table in
            for placement in released {
                guard let index = table.index(holding: placement.address), table.entries[index].users > 0 else {
                    preconditionFailure("a placement is released by somebody who has it")
                }
                table.entries[index].users -= 1
                if table.entries[index].users == 0 {
                    let status = unregister(at: index, in: &table)
                    failure = failure == CIOMMU_OK ? status : failure
                }
            }
            gone = released
        }
        switch failure {
        case CIOMMU_OK: return
        case CIOMMU_TIMED_OUT:
            throw .timedOut.with(
                detail: "unmapped, but an older access section may still use the host memory: drain the memory map")
        default:
            throw .timedOut.with(
                detail: "unmapped, but the host memory is still registered for want of memory: drain the memory map")
        }
    }

    /// Unregisters what was left registered for want of memory. The first part of a drain.
    ///
    /// - Returns: What a drain that begins now and succeeds sets free.
    func finishReleases() throws(IOMMUError) -> [MemoryPlacement] {
        try placements.withLock { table throws(IOMMUError) in
            for index in table.entries.indices.reversed() where table.entries[index].users == 0 {
                let status = unregister(at: index, in: &table)
                // A timeout shows in the drain that follows.
                if status != CIOMMU_TIMED_OUT { try IOMMUError.check(status) }
            }
            return table.lingering
        }
    }

    /// Lets go of what a drain set free.
    func forget(_ drained: [MemoryPlacement]) {
        if drained.isEmpty { return }
        let identities = Set(drained.map(ObjectIdentifier.init))
        placements.withLock { table in
            table.lingering.removeAll { identities.contains(ObjectIdentifier($0)) }
        }
    }

    /// Under the lock: takes a range without users out of the map. CIOMMU_NO_MEMORY: it stays.
    private func unregister(at index: Int, in table: inout PlacementTable) -> ciommu_status {
        let placement = table.entries[index].placement
        let status = unsafe ciommu_memory_remove(handle, placement.address.rawValue, placement.length)
        switch status {
        case CIOMMU_NO_MEMORY: return status
        case CIOMMU_TIMED_OUT where !broken(.lingeringForgotten): table.lingering.append(placement)
        default: break
        }
        table.entries.remove(at: index)
        // CIOMMU_NOT_FOUND: the host removed it behind the library's back.
        return status == CIOMMU_TIMED_OUT ? status : CIOMMU_OK
    }
}
