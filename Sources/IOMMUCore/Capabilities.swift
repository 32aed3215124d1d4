// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Capabilities - what a unit offers: a consistent pair of VT-d capability registers. Made from raw registers or by name; its
// fields are read under their names (see Capabilities+CAP.swift and Capabilities+ECAP.swift).

internal import CIOMMU

/// The capability registers of a unit, known to be consistent [FORMATS-VTD B2, B3].
///
/// Every property of ``Builder`` can be read here under the same name:
///
/// ```swift
/// let capabilities = try Capabilities(basedOn: .full) {
///     $0.maximumGuestAddressWidth = 48
///     $0.guestAddressWidths = .bits48
///     $0.firstStage5Level = false
/// }
/// print(capabilities.maximumGuestAddressWidth)
/// ```
@dynamicMemberLookup
public struct Capabilities: Hashable, Sendable {
    /// The revision of the architecture that decides where revisions differ [FORMATS-VTD D7].
    public enum Revision: UInt32, Hashable, Sendable, CaseIterable {
        /// Revision 3: SSEE, ERE, EMT, PWT and PCD exist; NXE enables XD; execute requests are checked.
        case v3 = 3
        /// Revision 4.1: those are reserved, NXE and SMEP are ignored, execute requests are reads.
        case v4 = 4
    }

    /// The fields as they may be changed, consistent in this copy.
    public let builder: Builder

    /// Takes raw registers.
    ///
    /// - Parameters:
    ///   - cap: The CAP register.
    ///   - ecap: The ECAP register.
    ///   - revision: The revision of the architecture.
    ///   - hostAddressWidth: Bits of an output address, 32 to 52; nil for CAP.MGAW + 1, clamped to that range.
    /// - Throws: ``IOMMUError/inconsistent`` with the rule that is broken.
    public init(
        cap: UInt64, ecap: UInt64, revision: Revision = .v4, hostAddressWidth: Int? = nil
    ) throws(IOMMUError) {
        var builder = Builder(cap: cap, ecap: ecap, revision: revision)
        if let hostAddressWidth {
            builder.hostAddressWidth = hostAddressWidth
        }
        try self.init(builder)
    }

    /// Takes what was built.
    ///
    /// - Throws: ``IOMMUError/inconsistent`` with the rule that is broken.
    public init(_ builder: Builder) throws(IOMMUError) {
        if let sentence = builder.contradiction {
            throw .inconsistent.with(detail: sentence)
        }
        self.builder = builder
    }

    /// Changes some fields of consistent capabilities.
    ///
    /// - Throws: ``IOMMUError/inconsistent`` with the rule that is broken.
    public init(basedOn base: Capabilities = .full, _ change: (inout Builder) -> Void) throws(IOMMUError) {
        var builder = base.builder
        change(&builder)
        try self.init(builder)
    }

    /// The capability register.
    public var cap: UInt64 { builder.cap }

    /// The extended capability register.
    public var ecap: UInt64 { builder.ecap }

    /// The revision of the architecture.
    public var revision: Revision { builder.revision }

    /// Bits of an output address, 32 to 52.
    public var hostAddressWidth: Int { builder.hostAddressWidth }

    /// A field of the registers, by its name in ``Builder``.
    public subscript<Value>(dynamicMember field: KeyPath<Builder, Value>) -> Value {
        builder[keyPath: field]
    }

    /// Everything that the engine implements: 57-bit input and 52-bit output addresses, both stages, nesting, ATS, PASIDs.
    public static let full: Capabilities = {
        var config = ciommu_unit_config()
        unsafe ciommu_unit_config_init(&config)
        var builder = Builder(cap: config.cap, ecap: config.ecap, revision: Revision(rawValue: config.revision)!)
        builder.hostAddressWidth = Int(config.host_address_width)
        precondition(builder.contradiction == nil, "the C library's defaults contradict each other")
        return Capabilities(unchecked: builder)
    }()

    private init(unchecked builder: Builder) {
        self.builder = builder
    }
}
