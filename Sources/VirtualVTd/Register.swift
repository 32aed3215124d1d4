// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Register - the names of the registers that a guest sees, and what their fields mean to the unit.

/// A register of the unit [FORMATS-VTD B1].
enum Register: Hashable, Sendable {
    case ver, cap, ecap
    case gcmd, gsts
    case rtaddr, ccmd
    case fsts, fectl, fedata, feaddr, feuaddr
    case iqh, iqt, iqa, ics, iectl, iedata, ieaddr, ieuaddr, iqercd
    case irta
    case pqh, pqt, pqa, prs, pectl, pedata, peaddr, peuaddr
    case iva, iotlb
    /// Bits 63:0 of a fault-recording register.
    case frcdLow(Int)
    /// Bits 127:64 of it.
    case frcdHigh(Int)
}

extension Register {
    /// Numbers without gaps, so that a register is found without a search.
    var number: Int {
        switch self {
        case .ver: 0
        case .cap: 1
        case .ecap: 2
        case .gcmd: 3
        case .gsts: 4
        case .rtaddr: 5
        case .ccmd: 6
        case .fsts: 7
        case .fectl: 8
        case .fedata: 9
        case .feaddr: 10
        case .feuaddr: 11
        case .iqh: 12
        case .iqt: 13
        case .iqa: 14
        case .ics: 15
        case .iectl: 16
        case .iedata: 17
        case .ieaddr: 18
        case .ieuaddr: 19
        case .iqercd: 20
        case .irta: 21
        case .pqh: 22
        case .pqt: 23
        case .pqa: 24
        case .prs: 25
        case .pectl: 26
        case .pedata: 27
        case .peaddr: 28
        case .peuaddr: 29
        case .iva: 30
        case .iotlb: 31
        case .frcdLow(let index): 32 + 2 * index
        case .frcdHigh(let index): 33 + 2 * index
        }
    }
}

/// Bits of GCMD and, at the same places, of GSTS [FORMATS-VTD B4].
enum GlobalCommand {
    static let translation: UInt64 = 1 << 31
    static let setRootTable: UInt64 = 1 << 30
    static let flushWriteBuffer: UInt64 = 1 << 27
    static let queuedInvalidation: UInt64 = 1 << 26
    static let interruptRemapping: UInt64 = 1 << 25
    static let setInterruptTable: UInt64 = 1 << 24
    static let compatibilityFormat: UInt64 = 1 << 23
}

/// Bits of FSTS [FORMATS-VTD B6].
enum FaultStatus {
    static let primaryOverflow: UInt64 = 1 << 0
    static let primaryPending: UInt64 = 1 << 1
    static let queueError: UInt64 = 1 << 4
    static let completionError: UInt64 = 1 << 5
    static let timeOut: UInt64 = 1 << 6
    static let recordIndexShift = 8
    static let recordIndex: UInt64 = 0xff << 8
    /// What software clears by writing ones.
    static let cleared = primaryOverflow | queueError | completionError | timeOut
    /// What an event is raised for.
    static let conditions = cleared | primaryPending
}

/// Bits of PRS [FORMATS-VTD B10].
enum PageRequestStatus {
    static let pending: UInt64 = 1 << 0
    static let overflow: UInt64 = 1 << 1
}

/// Bits of FECTL, IECTL and PECTL [FORMATS-VTD B6].
enum EventControl {
    static let mask: UInt64 = 1 << 31
    static let pending: UInt64 = 1 << 30
}
