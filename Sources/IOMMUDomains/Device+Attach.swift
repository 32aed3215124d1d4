// SPDX-License-Identifier: LGPL-2.1-or-later
//
// What is attached to a device, and the references that keep it alive. No lock is held while C waits for sections: each call
// holds its own domain until the lock of `state` has compared notes with C.

internal import CIOMMU
public import IOMMUCore
internal import Synchronization

extension Device {
    /// A domain, and the requests that it translates.
    public struct Attachment: Sendable {
        /// The PASID of those requests; nil for requests without one.
        public let pasid: PASID?
        /// What translates them.
        public let domain: Domain
    }

    /// Attaches a domain to the requests of one PASID, or to those without. Requests that start after the return are translated by
    /// it. Waits for no section, so it may be called from inside one.
    ///
    /// Under a policy for shared PASIDs, two devices may attach the same domain to one PASID.
    ///
    /// - Parameters:
    ///   - domain: A domain of the same unit; kept alive while it is attached.
    ///   - pasid: The PASID, or nil for requests without one.
    /// - Throws: ``IOMMUError/occupied`` when something is attached there already, or another device that shares the PASID attached
    ///   another domain; ``IOMMUError/notOwned`` when the device does not own such requests; ``IOMMUError/otherUnit``;
    ///   ``IOMMUError/inUse`` when a PASID table is bound; ``IOMMUError/unsupported`` for a PASID that the unit's capabilities do not
    ///   cover; ``IOMMUError/noMemory``. Nothing changed.
    public func attach(_ domain: Domain, to pasid: PASID? = nil) throws(IOMMUError) {
        let status = unsafe ciommu_device_attach(handle, pasid.wire, domain.handle)
        settle(pasid, domain)
        guard status == CIOMMU_OK else { throw error(status, at: pasid) }
    }

    /// Replaces what is attached in one step: every access sees the old or the new domain, and after the return none uses the old
    /// one any more.
    ///
    /// - Parameters:
    ///   - domain: A domain of the same unit; kept alive while it is attached.
    ///   - pasid: The PASID, or nil for requests without one.
    ///   - port: The caller's own port, if it has one: then a call from inside its section is refused instead of waiting for
    ///     itself.
    /// - Throws: ``IOMMUError/notAttached`` when nothing is there; ``IOMMUError/occupied`` when another device shares the PASID;
    ///   ``IOMMUError/inSection``; otherwise as ``attach(_:to:)``: nothing changed. ``IOMMUError/timedOut``: replaced, but a section
    ///   that began before still uses the old domain (see ``RemappingUnit/drain()``).
    public func replace(
        with domain: Domain, at pasid: PASID? = nil, port: Port? = nil
    ) throws(IOMMUError) {
        try unit.checkOwner(of: port)
        let status = unsafe ciommu_device_replace(handle, port?.handle, pasid.wire, domain.handle)
        settle(pasid, domain)
        guard status == CIOMMU_OK else { throw error(status, at: pasid) }
    }

    /// Detaches what is attached: the requests are blocked, and after the return no section uses the domain through this device.
    ///
    /// - Parameters:
    ///   - pasid: The PASID, or nil for requests without one.
    ///   - port: The caller's own port, if it has one.
    /// - Throws: ``IOMMUError/notAttached``, ``IOMMUError/inSection``, ``IOMMUError/invalidArgument`` for another unit's port:
    ///   nothing changed. ``IOMMUError/timedOut``: detached, but a section that began before still runs.
    public func detach(from pasid: PASID? = nil, port: Port? = nil) throws(IOMMUError) {
        try unit.checkOwner(of: port)
        let status = unsafe ciommu_device_detach(handle, port?.handle, pasid.wire)
        settle(pasid, nil)
        guard status == CIOMMU_OK else { throw error(status, at: pasid) }
    }

    /// What this device has attached there, if anything.
    public func domain(at pasid: PASID? = nil) -> Domain? {
        state.withLock { $0.domains[pasid] }
    }

    /// Everything that is attached: first what translates requests without PASID, then by PASID.
    public var attachments: [Attachment] {
        let domains = state.withLock { $0.domains }
        return domains.map { Attachment(pasid: $0.key, domain: $0.value) }.sorted {
            ($0.pasid.map { Int($0.rawValue) } ?? -1) < ($1.pasid.map { Int($0.rawValue) } ?? -1)
        }
    }

    /// Makes the reference for one PASID agree with C, where another thread may have changed it meanwhile.
    ///
    /// Every thread that attaches a domain refers to it until it has been here. So a domain that C does not have at this moment
    /// may be let go: if C gets it again, somebody else refers to it.
    ///
    /// - Parameters:
    ///   - pasid: Where something may have changed.
    ///   - candidate: The domain that the caller tried to attach.
    private func settle(_ pasid: PASID?, _ candidate: Domain?) {
        let released = state.withLock { state -> Domain? in
            let current = unsafe ciommu_device_domain(handle, pasid.wire)
            let known = state.domains[pasid]
            guard unsafe known?.handle != current else { return nil }
            state.domains[pasid] = unsafe candidate?.handle == current ? candidate : nil
            return known
        }
        extendLifetime(released)
    }

    /// Gives up the references to everything that C has detached.
    ///
    /// - Returns: What is to be released outside of locks.
    func takeDetached() -> [Domain] {
        state.withLock { state in
            let gone = state.domains.filter { unsafe ciommu_device_domain(handle, $0.key.wire) != $0.value.handle }
            for pasid in gone.keys {
                state.domains[pasid] = nil
            }
            return Array(gone.values)
        }
    }
}
