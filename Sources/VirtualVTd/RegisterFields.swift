// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The fields of every register under the specification's names. Where registers lie is RegisterMap's affair.

internal import IOMMUInvalidation

extension Register {
    /// The specification's name; fault-recording registers by number and half, such as `FRCD0_LO`.
    var mnemonic: String {
        switch self {
        case .frcdLow(let index): "FRCD\(index)_LO"
        case .frcdHigh(let index): "FRCD\(index)_HI"
        default: "\(self)".uppercased()
        }
    }

    /// What it is made of, lowest bits first. Reserved bits are not named. Empty for CAP and ECAP, whose fields Capabilities names.
    var fields: [RegisterField] {
        switch self {
        case .ver: [.bits(0...3, "minor"), .bits(4...7, "major")]
        case .cap, .ecap: []
        case .gcmd: Self.globalCommand
        case .gsts: Self.globalStatus
        case .rtaddr: [.bits(10...11, "TTM", .names(Self.tableModes)), .bits(12...63, "RTA", .address)]
        case .ccmd: Self.contextCommand
        case .fsts: Self.faultStatus
        case .fectl, .iectl, .pectl: [.bit(30, "IP", "pending"), .bit(31, "IM", "masked")]
        case .fedata, .iedata, .pedata:
            [.bits(0...15, "IMD", .hexadecimal), .bits(16...31, "EIMD", .hexadecimal)]
        case .feaddr, .ieaddr, .peaddr: [.bits(2...31, "MA", .address)]
        case .feuaddr, .ieuaddr, .peuaddr: [.bits(0...31, "MUA", .hexadecimal)]
        case .iqh: [.bits(4...18, "QH", .address)]
        case .iqt: [.bits(4...18, "QT", .address)]
        case .iqa:
            [
                .bits(0...2, "QS", .words { "\(4096 << $0) bytes" }), .bit(11, "DW", "256-bit descriptors"),
                .bits(12...63, "IQA", .address),
            ]
        case .ics: [.bit(0, "IWC", "a wait with interrupt has completed")]
        case .iqercd:
            [
                .bits(0...3, "IQEI", .words { HardwareError(.iqei, code: Int($0)).meaning }),
                .bits(32...47, "ITESID", .source), .bits(48...63, "ICESID", .source),
            ]
        case .irta:
            [
                .bits(0...3, "S", .words { "\(2 << $0) entries" }), .bit(11, "EIME", "x2APIC destinations"),
                .bits(12...63, "IRTA", .address),
            ]
        case .pqh: [.bits(5...18, "PQH", .address)]
        case .pqt: [.bits(5...18, "PQT", .address)]
        case .pqa: [.bits(0...2, "PQS", .words { "\(4096 << $0) bytes" }), .bits(12...63, "PQA", .address)]
        case .prs: [.bit(0, "PPR", "a page request is pending"), .bit(1, "PRO", "overflow: page requests were lost")]
        case .iva: [.bits(0...5, "AM"), .bit(6, "IH", "leaf entries only"), .bits(12...63, "ADDR", .address)]
        case .iotlb: Self.iotlbCommand
        case .frcdLow: [.bits(12...63, "FI", .address)]
        case .frcdHigh: Self.faultRecord
        }
    }

    /// RTADDR.TTM.
    static let tableModes = ["legacy", "scalable", "reserved", "abort"]

    private static let globalCommand: [RegisterField] = [
        .bit(23, "CFI", "compatibility-format interrupts"), .bit(24, "SIRTP", "latch IRTA"),
        .bit(25, "IRE", "interrupt remapping"), .bit(26, "QIE", "queued invalidation"),
        .bit(27, "WBF", "flush the write buffer"), .bit(28, "EAFL", "advanced fault log"),
        .bit(29, "SFL", "set the fault log"), .bit(30, "SRTP", "latch RTADDR"), .bit(31, "TE", "translation"),
    ]

    private static let globalStatus: [RegisterField] = [
        .bit(23, "CFIS", "compatibility-format interrupts pass"), .bit(24, "IRTPS", "IRTA is latched"),
        .bit(25, "IRES", "interrupt remapping is on"), .bit(26, "QIES", "queued invalidation is on"),
        .bit(27, "WBFS", "the write buffer is being flushed"), .bit(28, "AFLS", "the fault log is on"),
        .bit(29, "FLS", "the fault log is set"), .bit(30, "RTPS", "RTADDR is latched"),
        .bit(31, "TES", "translation is on"),
    ]

    private static let contextCommand: [RegisterField] = [
        .bits(0...15, "DID"), .bits(16...31, "SID", .source),
        .bits(32...33, "FM", .names(["", "bit 2 of the function", "bits 2:1 of the function", "the function"])),
        .bits(59...60, "CAIG", .names(["none", "global", "domain", "device"])),
        .bits(61...62, "CIRG", .names(["reserved", "global", "domain", "device"])), .bit(63, "ICC", "in progress"),
    ]

    private static let iotlbCommand: [RegisterField] = [
        .bits(32...47, "DID"), .bit(48, "DW", "drain writes"), .bit(49, "DR", "drain reads"),
        .bits(57...58, "IAIG", .names(["none", "global", "domain", "page"])),
        .bits(60...61, "IIRG", .names(["reserved", "global", "domain", "page"])), .bit(63, "IVT", "in progress"),
    ]

    private static let faultStatus: [RegisterField] = [
        .bit(0, "PFO", "overflow: faults were lost"), .bit(1, "PPF", "a fault record is pending"),
        .bit(2, "AFO", "the fault log has overflowed"), .bit(3, "APF", "the fault log has a record"),
        .bit(4, "IQE", "the invalidation queue met an error"),
        .bit(5, "ICE", "a device completed an invalidation wrongly"),
        .bit(6, "ITE", "a device did not complete an invalidation in time"),
        .bit(7, "PRO", "overflow: page requests were lost"), .bits(8...15, "FRI"),
    ]

    private static let faultRecord: [RegisterField] = [
        .bits(0...15, "SID", .source), .bit(28, "T2", ""), .bit(29, "PRIV", "supervisor"), .bit(30, "EXE", "execute"),
        .bit(31, "PP", "with PASID"), .bits(32...39, "FR", .words { $0 == 0 ? "" : FaultText.meaning(of: $0) }),
        .bits(40...59, "PV"),
        .bits(60...61, "AT", .names(FaultText.addressTypes)), .bit(62, "T1", ""), .bit(63, "F", "pending"),
    ]
}
