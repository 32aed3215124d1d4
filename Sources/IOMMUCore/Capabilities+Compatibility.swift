// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Whether a unit can stand in for another one: it must offer all that the other did.

extension Capabilities {
    /// What a unit with these capabilities lacks for what was set up in a unit with `other`, as a sentence; nil if nothing.
    ///
    /// Revision, caching mode and the need to flush write buffers must be the same, because software behaves by them. Features, sets
    /// and widths must be at least the other's. Offsets and numbers of registers do not count.
    public func shortfall(for other: Capabilities) -> String? {
        if revision != other.revision {
            return "revision \(revision.rawValue) instead of \(other.revision.rawValue)"
        }
        if hostAddressWidth < other.hostAddressWidth {
            return "output addresses of \(hostAddressWidth) instead of \(other.hostAddressWidth) bits"
        }
        for field in CapabilityField.all where !field.suffices(builder[field], for: other) {
            return "\(field.name) is \(builder.text(of: field)) instead of \(other.builder.text(of: field))"
        }
        return nil
    }
}

extension CapabilityField {
    fileprivate func suffices(_ value: UInt64, for other: Capabilities) -> Bool {
        let wanted = other.builder[self]
        switch self {
        case .rwbf, .cm: return value == wanted
        case .sagaw, .sslps: return value & wanted == wanted
        case .fro, .iro, .nfr: return true
        case .pss: return value >= wanted || !other.pasids
        default: return value >= wanted
        }
    }
}
