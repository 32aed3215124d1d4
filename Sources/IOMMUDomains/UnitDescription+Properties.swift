// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The properties of a VT-d unit [B-B3]: first those that make it, then those that follow from them. Add at the end of either part;
// never change the meaning or the default of one that is there.

internal import IOMMUCore

extension UnitDescription {
    /// What a property is.
    public struct Definition: Sendable {
        /// The types of values.
        public enum ValueType: Hashable, Sendable {
            /// ``Value/register(_:)``.
            case register
            /// ``Value/number(_:)``.
            case number
            /// ``Value/flag(_:)``.
            case flag
            /// ``Value/names(_:)``.
            case names
        }

        /// The name.
        public let name: String
        /// The type of its value.
        public let type: ValueType
        /// The value that an absent property has; nil if it then follows from the others.
        public let defaultValue: Value?
        /// What it says, in a phrase.
        public let summary: String

        let value: @Sendable (Capabilities) -> Value
    }

    /// The properties of a VT-d unit.
    public static let definitions: [Definition] = defining + derived

    /// Those that make a unit.
    private static let defining: [Definition] = [
        Definition(
            name: "cap", type: .register, defaultValue: .register(0x26_0200),
            summary: "capability register; by default a second stage of 39 bits and nothing else"
        ) { .register($0.cap) },
        Definition(
            name: "ecap", type: .register, defaultValue: .register(0),
            summary: "extended capability register; by default nothing is offered"
        ) { .register($0.ecap) },
        Definition(
            name: "revision", type: .number, defaultValue: .number(4),
            summary: "revision of the architecture, 3 or 4"
        ) { .number(UInt64($0.revision.rawValue)) },
        Definition(
            name: "host_address_width", type: .number, defaultValue: nil,
            summary: "bits of an output address; by default CAP.MGAW + 1 within 32...52"
        ) { .number(UInt64($0.hostAddressWidth)) },
    ]

    /// Those that follow: for readers that do not decode registers.
    private static let derived: [Definition] = [
        names("page_table_formats", "what page tables may look like", formats),
        names("second_stage_pages", "page sizes of the second stage", secondStagePages),
        names("first_stage_pages", "page sizes of the first stage", firstStagePages),
        number("input_bits", "widest second-stage input address") { $0.maximumGuestAddressWidth },
        number("output_bits", "widest output address") { $0.hostAddressWidth },
        number("domain_bits", "bits of a domain id") { $0.domainBits },
        number("pasid_bits", "bits of a PASID, 0 without PASIDs") { $0.pasids ? min($0.pasidBits, PASID.bitWidth) : 0 },
        flag("scalable_mode", "PASID tables") { $0.scalableMode },
        flag("pass_through", "translation types that pass requests unchanged") { $0.passThrough },
        flag("nesting", "a first stage over a second") { $0.nestedTranslation },
        flag("dirty_tracking", "accessed and dirty bits in the second stage") { $0.secondStageAccessedDirty },
        flag("device_tlbs", "address translation services") { $0.deviceTLBs },
        flag("page_requests", "page request services") { $0.pageRequests },
    ]

    private static func names(
        _ name: String, _ summary: String, _ value: @escaping @Sendable (Capabilities) -> [String]
    ) -> Definition {
        Definition(name: name, type: .names, defaultValue: nil, summary: summary) { .names(value($0)) }
    }

    private static func number(
        _ name: String, _ summary: String, _ value: @escaping @Sendable (Capabilities) -> Int
    ) -> Definition {
        Definition(name: name, type: .number, defaultValue: nil, summary: summary) { .number(UInt64(value($0))) }
    }

    private static func flag(
        _ name: String, _ summary: String, _ value: @escaping @Sendable (Capabilities) -> Bool
    ) -> Definition {
        Definition(name: name, type: .flag, defaultValue: nil, summary: summary) { .flag(value($0)) }
    }

    /// A unit without scalable mode has a second stage without saying so in ECAP.
    private static func hasSecondStage(_ capabilities: Capabilities) -> Bool {
        !capabilities.scalableMode || capabilities.secondStage
    }

    @Sendable
    private static func formats(_ capabilities: Capabilities) -> [String] {
        var names: [String] = []
        if capabilities.firstStage {
            names.append("vtd_first_stage_48")
            if capabilities.firstStage5Level {
                names.append("vtd_first_stage_57")
            }
        }
        if hasSecondStage(capabilities) {
            let widths: [(GuestAddressWidths, Int)] = [(.bits39, 39), (.bits48, 48), (.bits57, 57)]
            names += widths.filter { capabilities.guestAddressWidths.contains($0.0) }.map { "vtd_second_stage_\($0.1)" }
        }
        return names
    }

    @Sendable
    private static func secondStagePages(_ capabilities: Capabilities) -> [String] {
        guard hasSecondStage(capabilities) else { return [] }
        return ["4K"] + (capabilities.secondStage2MiB ? ["2M"] : []) + (capabilities.secondStage1GiB ? ["1G"] : [])
    }

    @Sendable
    private static func firstStagePages(_ capabilities: Capabilities) -> [String] {
        guard capabilities.firstStage else { return [] }
        return ["4K", "2M"] + (capabilities.firstStage1GiB ? ["1G"] : [])
    }
}

extension UnitDescription {
    /// Reads properties by name.
    init(_ given: [String: Value]) throws(IOMMUError) {
        for definition in Self.definitions {
            if let value = given[definition.name], value.type != definition.type {
                throw .invalidArgument.with(detail: "property \(definition.name) is not a \(definition.type)")
            }
        }
        let revision = Self.bits("revision", given) ?? 4
        guard let known = UInt32(exactly: revision).flatMap({ Capabilities.Revision(rawValue: $0) }) else {
            throw .unsupported.with(detail: "revision \(revision) of VT-d; this version knows 3 and 4")
        }
        let width = Self.bits("host_address_width", given)
        let capabilities = try Capabilities(
            cap: Self.bits("cap", given) ?? 0, ecap: Self.bits("ecap", given) ?? 0, revision: known,
            hostAddressWidth: width.map { Int(clamping: $0) })
        for definition in Self.derived {
            let value = definition.value(capabilities)
            if let claim = given[definition.name], claim != value {
                throw .inconsistent.with(
                    detail: "property \(definition.name) is \(claim), but the registers say \(value)")
            }
        }
        self.init(capabilities)
    }

    /// A register or number, given or by default.
    private static func bits(_ name: String, _ given: [String: Value]) -> UInt64? {
        switch given[name] ?? definitions.first(where: { $0.name == name })?.defaultValue {
        case .register(let value), .number(let value): value
        default: nil
        }
    }
}

extension UnitDescription.Value {
    var type: UnitDescription.Definition.ValueType {
        switch self {
        case .register: .register
        case .number: .number
        case .flag: .flag
        case .names: .names
        }
    }
}
