// SPDX-License-Identifier: LGPL-2.1-or-later
//
// IdentityDomain and BlockedDomain - the two domains that a unit has of its own. Nothing in them can be changed.

internal import CIOMMU
public import IOMMUCore

/// Passes every request: the output address is the input address, with all rights.
public final class IdentityDomain: Domain, @unchecked Sendable {
    fileprivate init(_ unit: RemappingUnit) {
        unsafe super.init(handle: ciommu_domain_identity(unit.handle), unit: unit, kind: .identity, isOwned: false)
    }
}

/// Refuses every request with a fault, as a device does that nothing is attached to.
public final class BlockedDomain: Domain, @unchecked Sendable {
    fileprivate init(_ unit: RemappingUnit) {
        unsafe super.init(handle: ciommu_domain_blocked(unit.handle), unit: unit, kind: .blocked, isOwned: false)
    }
}

extension RemappingUnit {
    /// The domain that passes every request unchanged. Takes nothing from ``Configuration/domains``. While somebody refers to it,
    /// every call gives the same object.
    public var identityDomain: IdentityDomain {
        registry.identity.object { IdentityDomain(self) }
    }

    /// The domain that refuses every request; otherwise as ``identityDomain``.
    public var blockedDomain: BlockedDomain {
        registry.blocked.object { BlockedDomain(self) }
    }
}
