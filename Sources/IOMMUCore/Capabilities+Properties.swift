// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Capabilities as a list of names and values, and fields by mnemonic: for tools and configuration files.

extension Capabilities {
    /// Every field under the specification's mnemonic (`CAP.ND`) with its value in words, CAP before ECAP, by position, after
    /// the revision and the host address width.
    public var properties: [(name: String, value: String)] {
        var list: [(name: String, value: String)] = [
            ("revision", String(revision.rawValue)),
            ("HAW", "\(hostAddressWidth) bits"),
        ]
        list += CapabilityField.all.map { (name: $0.name, value: builder.text(of: $0)) }
        return list
    }
}

extension Capabilities.Builder {
    /// Sets a field by its mnemonic, to the raw value that stands in the register.
    ///
    /// - Parameters:
    ///   - name: Register and mnemonic, such as `CAP.MGAW`; case does not count.
    ///   - value: The raw value.
    /// - Throws: ``IOMMUError/notFound`` for an unknown name, ``IOMMUError/invalidArgument`` for a value that does not fit.
    public mutating func set(_ name: String, to value: UInt64) throws(IOMMUError) {
        let field = try Self.field(name)
        guard value <= field.maximum else {
            throw .invalidArgument.with(detail: "\(value) does not fit \(field.name), which has \(field.width) bits")
        }
        self[field] = value
    }

    /// The raw value of a field by its mnemonic.
    ///
    /// - Throws: ``IOMMUError/notFound`` for an unknown name.
    public func value(of name: String) throws(IOMMUError) -> UInt64 {
        self[try Self.field(name)]
    }

    private static func field(_ name: String) throws(IOMMUError) -> CapabilityField {
        guard let field = CapabilityField.all.first(where: { $0.name == name.uppercased() }) else {
            throw .notFound.with(detail: "no capability field \(name)")
        }
        return field
    }

    /// The value of a field in words.
    func text(of field: CapabilityField) -> String {
        let raw = self[field]
        switch field {
        case .nd: return "\(raw) (\(domainBits)-bit domain ids)"
        case .sagaw: return "\(guestAddressWidths)"
        case .mgaw: return "\(raw) (\(maximumGuestAddressWidth) bits)"
        case .fro: return "\(raw) (offset 0x\(String(faultRecordingOffset, radix: 16)))"
        case .iro: return "\(raw) (offset 0x\(String(iotlbRegisterOffset, radix: 16)))"
        case .nfr: return "\(raw) (\(faultRecordingRegisters) registers)"
        case .pss: return "\(raw) (\(pasidBits)-bit PASIDs)"
        case .sslps where raw < 4: return ["none", "2 MiB", "1 GiB", "2 MiB, 1 GiB"][Int(raw)]
        default: return field.width == 1 ? (raw == 0 ? "no" : "yes") : String(raw)
        }
    }
}
