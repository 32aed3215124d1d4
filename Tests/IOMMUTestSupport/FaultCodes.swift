// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Section E of the format notes as data: the fault codes that tables and requests can reach, which of them fault-processing-
// disable suppresses, and which a page request may cure.

/// The fault codes of DMA translation.
package enum FaultCodes {
    /// Codes that FPD suppresses.
    package static let qualified: Set<UInt32> = [
        0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x0b, 0x0c, 0x0d, 0x0e,
        0x41, 0x42, 0x43, 0x44, 0x45, 0x46, 0x48, 0x51, 0x52, 0x59, 0x5a, 0x5b, 0x5c, 0x5d,
        0x70, 0x71, 0x72, 0x73, 0x74, 0x75, 0x76, 0x77, 0x78, 0x79, 0x7a, 0x7b, 0x7c, 0x7d,
        0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x90, 0x91,
    ]

    /// Codes that are recorded whatever FPD says: nothing that could say it was read, or reading it failed.
    package static let unqualified: Set<UInt32> = [
        0x01, 0x08, 0x09, 0x0a, 0x30, 0x31, 0x38, 0x39, 0x3a, 0x40, 0x50, 0x58,
    ]

    /// Every code that a table or a request can reach. Interrupt remapping (20-29), page requests (32, 47) and the codes whose
    /// meaning is not confirmed (33, 88, 89, A0-A7) are not among them.
    package static let all = qualified.union(unqualified)

    /// Conditions that a page request may cure. An ATS translation request that meets one completes without recording it.
    package static let recoverable: Set<UInt32> = [0x05, 0x06, 0x51, 0x59, 0x71, 0x79, 0x81, 0x82, 0x85, 0x86]
}
