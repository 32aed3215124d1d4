// SPDX-License-Identifier: LGPL-2.1-or-later
//
// PASIDNamespace - which host PASID a guest means by a PASID of its own [B-C4].

internal import CIOMMU
public import IOMMUCore

// @unchecked: every C function on a namespace is thread safe.
/// One guest's PASIDs: it has host PASIDs of its own and maps the guest's PASIDs to them.
///
/// Any thread may call, at any time; lookups are lock-free. What a lookup inside an access section of a port found is not given
/// to another guest PASID before that section ends.
@safe
public final class PASIDNamespace: @unchecked Sendable {
    /// A guest PASID and what it means.
    public struct Binding: Hashable, Sendable, Codable {
        /// The guest's PASID.
        public var guest: PASID
        /// The host's.
        public var host: PASID

        /// Makes a pair.
        public init(guest: PASID, host: PASID) {
            self.guest = guest
            self.host = host
        }
    }

    /// The unit whose PASIDs it hands out.
    public let unit: RemappingUnit

    /// The host PASIDs that it hands out, and no other namespace of the unit.
    public let hostPASIDs: ClosedRange<PASID>

    package let handle: OpaquePointer
    private let registration: UnitRegistry.Registration

    /// Makes a namespace with nothing bound.
    ///
    /// - Parameters:
    ///   - unit: The unit whose PASIDs it hands out.
    ///   - hostPASIDs: Those PASIDs.
    /// - Throws: ``IOMMUError/overlap`` when another namespace has some of them; ``IOMMUError/unsupported`` without ECAP.PASID, or
    ///   beyond ECAP.PSS; ``IOMMUError/noMemory``.
    public init(unit: RemappingUnit, hostPASIDs: ClosedRange<PASID>) throws(IOMMUError) {
        var handle: OpaquePointer?
        let status = unsafe ciommu_namespace_create(
            unit.handle, hostPASIDs.lowerBound.rawValue, hostPASIDs.upperBound.rawValue, &handle)
        guard status == CIOMMU_OK, let handle = unsafe handle else {
            throw Self.error(status, unit, hostPASIDs)
        }
        self.unit = unit
        self.hostPASIDs = hostPASIDs
        unsafe self.handle = unsafe handle
        registration = unit.registry.reserve()
        unit.registry.namespaces.add(self, as: registration)
    }

    deinit {
        unit.registry.namespaces.remove(registration)
        unsafe ciommu_namespace_destroy(handle)
    }

    /// Binds a guest PASID to a host PASID.
    ///
    /// - Parameters:
    ///   - guest: The guest's PASID, not bound yet.
    ///   - host: The host PASID that is wanted; nil for any that is free.
    /// - Returns: The host PASID.
    /// - Throws: ``IOMMUError/occupied`` when one of the two is bound, or the host PASID is still in use by a section;
    ///   ``IOMMUError/notOwned`` for a host PASID outside ``hostPASIDs``; ``IOMMUError/noSpace`` when none is free;
    ///   ``IOMMUError/noMemory``. Nothing changed.
    @discardableResult
    public func bind(guest: PASID, to host: PASID? = nil) throws(IOMMUError) -> PASID {
        var bound = host.wire
        let status = unsafe ciommu_namespace_bind(handle, guest.rawValue, &bound)
        guard status == CIOMMU_OK, let result = PASID(bound) else {
            throw error(status, guest, host)
        }
        return result
    }

    /// Unbinds a guest PASID. After the return no section that found it still runs, and its host PASID is free again.
    ///
    /// - Parameters:
    ///   - guest: The guest's PASID.
    ///   - port: The caller's own port, if it has one: then a call from inside its section is refused instead of waiting for
    ///     itself.
    /// - Throws: ``IOMMUError/notFound``, ``IOMMUError/inSection``, ``IOMMUError/invalidArgument`` for another unit's port: nothing
    ///   changed. ``IOMMUError/timedOut``: unbound; the host PASID stays set aside until the sections have ended.
    public func unbind(guest: PASID, port: Port? = nil) throws(IOMMUError) {
        try unit.checkOwner(of: port)
        try unsafe IOMMUError.check(ciommu_namespace_unbind(handle, port?.handle, guest.rawValue))
    }

    /// The host PASID that a guest PASID means; nil if it is not bound. Lock-free.
    public func host(for guest: PASID) -> PASID? {
        unsafe PASID(ciommu_namespace_host(handle, guest.rawValue))
    }

    /// The guest PASID that means a host PASID; nil if none does. Lock-free.
    public func guest(for host: PASID) -> PASID? {
        unsafe PASID(ciommu_namespace_guest(handle, host.rawValue))
    }

    /// What is bound, by guest PASID. Bindings that change meanwhile are in it or not.
    public var bindings: [Binding] {
        var bindings: [Binding] = []
        var from: UInt32 = 0
        while from <= CIOMMU_PASID_MAX, let guest = unsafe PASID(ciommu_namespace_next(handle, from)) {
            if let host = host(for: guest) {
                bindings.append(Binding(guest: guest, host: host))
            }
            from = guest.rawValue + 1
        }
        return bindings
    }
}

extension PASIDNamespace {
    private static func error(
        _ status: ciommu_status, _ unit: RemappingUnit, _ range: ClosedRange<PASID>
    ) -> IOMMUError {
        let error = IOMMUError(status)
        switch error {
        case .overlap:
            return error.with(detail: "another namespace has some of the host PASIDs \(range)")
        case .unsupported where !unit.capabilities.pasids:
            return error.with(detail: "a PASID namespace needs ECAP.PASID")
        case .unsupported:
            return error.with(detail: "the unit has \(unit.capabilities.pasidBits)-bit PASIDs, too few for \(range)")
        default:
            return error
        }
    }

    private func error(_ status: ciommu_status, _ guest: PASID, _ host: PASID?) -> IOMMUError {
        let error = IOMMUError(status)
        switch error {
        case .occupied:
            let wanted = host.map { ", or host PASID \($0)" } ?? ""
            return error.with(detail: "guest PASID \(guest)\(wanted)")
        case .notOwned:
            return error.with(detail: "the namespace has the host PASIDs \(hostPASIDs)")
        case .noSpace:
            return error.with(detail: "none of the host PASIDs \(hostPASIDs) is free")
        default:
            return error
        }
    }
}
