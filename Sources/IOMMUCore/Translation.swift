// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Translation - a mapped answer, address only: it carries no host pointer and so may leave its access section, at the price
// of being possibly out of date from then on.

/// Where one input address leads.
///
/// Right at some moment during the call that returned it. An invalidation that completes afterwards does not reach it: access
/// memory through the `withAccess` of a ``Port`` or its copy helpers, not through this.
public struct Translation: Hashable, Sendable {
    /// Output address of the requested byte.
    public let address: OutputAddress
    /// Base-2 logarithm of the page size; 12 for pass-through and while translation is disabled.
    public let pageSizeLog2: Int
    /// Rights granted for the privilege of the request; write only once every dirty bit that a write needs is set.
    public let rights: AccessRights
    /// Bytes from ``address`` on that this answer covers, in the page and in registered memory; at least 1.
    public let contiguousBytes: UInt64
    /// Attributes of the answer as the engine reports them: bit 0 ``isSnooped``, bit 1 ``isUntranslatedOnly``.
    public let attributes: UInt64

    /// Makes an answer from its parts.
    @inlinable
    public init(
        address: OutputAddress, pageSizeLog2: Int, rights: AccessRights, contiguousBytes: UInt64, attributes: UInt64
    ) {
        self.address = address
        self.pageSizeLog2 = pageSizeLog2
        self.rights = rights
        self.contiguousBytes = contiguousBytes
        self.attributes = attributes
    }

    /// Page size - 1.
    @inlinable
    public var mask: UInt64 { (1 << UInt64(pageSizeLog2)) - 1 }

    /// The access must be snooped (SNP or PGSNP) [FORMATS-VTD A6, A8].
    @inlinable
    public var isSnooped: Bool { attributes & 1 != 0 }

    /// The device may use the address only in untranslated requests, and stores nothing: U of an ATS translation completion. Only
    /// answers to ``RequestOptions/translationRequest`` have it; ``address`` is then the input address.
    ///
    /// It is set for requests without PASID to 0xFEE00000 to 0xFEEFFFFF, where an untranslated request is an interrupt message
    /// (``rights`` are write alone, whatever was asked), and for a source without devices of the host while translation is
    /// disabled. Our choice: [FORMATS-VTD A11] leaves it open. A page whose dirty bit is clear is no such case: ``rights`` lack
    /// write until a request for it has set the bit.
    @inlinable
    public var isUntranslatedOnly: Bool { attributes & 2 != 0 }
}

extension Translation: CustomStringConvertible {
    /// Address, page size and rights in one line.
    public var description: String {
        "\(address) (2^\(pageSizeLog2) page, \(rights))"
    }
}
