// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Domain - what a device's traffic is translated by. The base of the four kinds; owns the C domain.

internal import CIOMMU
public import IOMMUCore

// @unchecked: every C function on a domain is thread safe, and nothing here changes after the initialiser.
/// What a device's traffic is translated by: ``IdentityDomain``, ``BlockedDomain``, ``PagingDomain`` or ``NestedDomain``.
///
/// It belongs to one unit, which it keeps alive. It exists as long as something refers to it: the host, a ``Device`` that it is
/// attached to, or a nested domain over it. Any thread may call, at any time.
@safe
public class Domain: @unchecked Sendable {
    /// The kinds of domains.
    public enum Kind: Hashable, Sendable, CaseIterable {
        /// Nothing passes.
        case blocked
        /// The output address is the input address.
        case identity
        /// A second stage that the host fills.
        case paging
        /// A guest's first stage over a paging domain.
        case nested
    }

    package let handle: OpaquePointer

    /// The unit that this domain belongs to.
    public let unit: RemappingUnit

    /// What kind of domain this is.
    public let kind: Kind

    /// The unit's own domains are not destroyed here.
    private let isOwned: Bool

    /// Kept until the C domain is gone. Here and not in a subclass, so that it goes last.
    private let keptAlive: (any AnyObject & Sendable)?

    /// Its name in the registry of its unit.
    private let registration: UnitRegistry.Registration

    /// Takes over a C domain.
    ///
    /// - Parameters:
    ///   - handle: The C domain, of `unit`.
    ///   - isOwned: Destroy it with this object: no for the unit's own domains.
    ///   - keptAlive: What must outlive the C domain, such as the parent of a nested one.
    package init(
        handle: OpaquePointer, unit: RemappingUnit, kind: Kind, isOwned: Bool = true,
        keptAlive: (any AnyObject & Sendable)? = nil
    ) {
        unsafe self.handle = unsafe handle
        self.unit = unit
        self.kind = kind
        self.isOwned = isOwned
        self.keptAlive = keptAlive
        registration = unit.registry.reserve()
        unit.registry.domains.add(self, as: registration)
    }

    deinit {
        unit.registry.domains.remove(registration)
        guard isOwned else { return }
        let status = unsafe ciommu_domain_destroy(handle)
        precondition(status == CIOMMU_OK, "devices and nested domains keep a domain alive, so nothing can use it")
    }
}

extension Domain.Kind: CustomStringConvertible {
    /// A lower-case English word.
    public var description: String {
        switch self {
        case .blocked: "blocked"
        case .identity: "identity"
        case .paging: "paging"
        case .nested: "nested"
        }
    }
}
