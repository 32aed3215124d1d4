// SPDX-License-Identifier: LGPL-2.1-or-later
//
// CapabilityField - where a field of CAP or ECAP lies, under the specification's mnemonic. The table of all of them.

/// A bit range of a capability register.
struct CapabilityField: Hashable, Sendable {
    enum Register: String, Hashable, Sendable {
        case cap = "CAP"
        case ecap = "ECAP"
    }

    let mnemonic: String
    let register: Register
    let low: UInt64
    let width: UInt64

    private init(_ register: Register, _ mnemonic: String, _ low: UInt64, width: UInt64 = 1) {
        self.register = register
        self.mnemonic = mnemonic
        self.low = low
        self.width = width
    }

    /// Register and mnemonic, such as `CAP.ND`.
    var name: String { register.rawValue + "." + mnemonic }

    /// The greatest value that fits.
    var maximum: UInt64 { (1 << width) - 1 }

    func value(in register: UInt64) -> UInt64 {
        register >> low & maximum
    }

    /// - Precondition: the value fits.
    func set(_ value: UInt64, in register: inout UInt64) {
        precondition(value <= maximum, "\(value) does not fit \(name), which has \(width) bits")
        register = register & ~(maximum << low) | value << low
    }
}

/// CAP [FORMATS-VTD B2].
extension CapabilityField {
    static let nd = Self(.cap, "ND", 0, width: 3)
    static let afl = Self(.cap, "AFL", 3)
    static let rwbf = Self(.cap, "RWBF", 4)
    static let plmr = Self(.cap, "PLMR", 5)
    static let phmr = Self(.cap, "PHMR", 6)
    static let cm = Self(.cap, "CM", 7)
    static let sagaw = Self(.cap, "SAGAW", 8, width: 5)
    static let mgaw = Self(.cap, "MGAW", 16, width: 6)
    static let zlr = Self(.cap, "ZLR", 22)
    static let fro = Self(.cap, "FRO", 24, width: 10)
    static let sslps = Self(.cap, "SSLPS", 34, width: 4)
    static let psi = Self(.cap, "PSI", 39)
    static let nfr = Self(.cap, "NFR", 40, width: 8)
    static let mamv = Self(.cap, "MAMV", 48, width: 6)
    static let dwd = Self(.cap, "DWD", 54)
    static let drd = Self(.cap, "DRD", 55)
    static let fs1gp = Self(.cap, "FS1GP", 56)
    static let pi = Self(.cap, "PI", 59)
    static let fs5lp = Self(.cap, "FS5LP", 60)
    static let ecmds = Self(.cap, "ECMDS", 61)
    static let esirtps = Self(.cap, "ESIRTPS", 62)
    static let esrtps = Self(.cap, "ESRTPS", 63)
}

/// ECAP [FORMATS-VTD B3].
extension CapabilityField {
    static let c = Self(.ecap, "C", 0)
    static let qi = Self(.ecap, "QI", 1)
    static let dt = Self(.ecap, "DT", 2)
    static let ir = Self(.ecap, "IR", 3)
    static let eim = Self(.ecap, "EIM", 4)
    static let pt = Self(.ecap, "PT", 6)
    static let sc = Self(.ecap, "SC", 7)
    static let iro = Self(.ecap, "IRO", 8, width: 10)
    static let mhmv = Self(.ecap, "MHMV", 20, width: 4)
    static let ecs = Self(.ecap, "ECS", 24)
    static let mts = Self(.ecap, "MTS", 25)
    static let nest = Self(.ecap, "NEST", 26)
    static let dis = Self(.ecap, "DIS", 27)
    static let prs = Self(.ecap, "PRS", 29)
    static let ers = Self(.ecap, "ERS", 30)
    static let srs = Self(.ecap, "SRS", 31)
    static let pot = Self(.ecap, "POT", 32)
    static let nwfs = Self(.ecap, "NWFS", 33)
    static let eafs = Self(.ecap, "EAFS", 34)
    static let pss = Self(.ecap, "PSS", 35, width: 5)
    static let pasid = Self(.ecap, "PASID", 40)
    static let dit = Self(.ecap, "DIT", 41)
    static let pds = Self(.ecap, "PDS", 42)
    static let smts = Self(.ecap, "SMTS", 43)
    static let vcs = Self(.ecap, "VCS", 44)
    static let ssads = Self(.ecap, "SSADS", 45)
    static let ssts = Self(.ecap, "SSTS", 46)
    static let fsts = Self(.ecap, "FSTS", 47)
    static let smpwcs = Self(.ecap, "SMPWCS", 48)
    static let rps = Self(.ecap, "RPS", 49)
    static let tdxio = Self(.ecap, "TDXIO", 50)
    static let pms = Self(.ecap, "PMS", 51)
    static let adms = Self(.ecap, "ADMS", 52)
    static let rprivs = Self(.ecap, "RPRIVS", 53)
    static let sms = Self(.ecap, "SMS", 58)
}

extension CapabilityField {
    /// Every field, CAP before ECAP, by position.
    static let all: [CapabilityField] = [
        .nd, .afl, .rwbf, .plmr, .phmr, .cm, .sagaw, .mgaw, .zlr, .fro, .sslps, .psi, .nfr, .mamv, .dwd, .drd, .fs1gp,
        .pi, .fs5lp, .ecmds, .esirtps, .esrtps,
        .c, .qi, .dt, .ir, .eim, .pt, .sc, .iro, .mhmv, .ecs, .mts, .nest, .dis, .prs, .ers, .srs, .pot, .nwfs, .eafs,
        .pss, .pasid, .dit, .pds, .smts, .vcs, .ssads, .ssts, .fsts, .smpwcs, .rps, .tdxio, .pms, .adms, .rprivs, .sms,
    ]
}
