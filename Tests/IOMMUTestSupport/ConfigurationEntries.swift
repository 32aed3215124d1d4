// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Context and PASID entries by field [FORMATS-VTD A3-A6]. `raw` holds bits that are added afterwards, for entries that break
// a rule.

/// A legacy context entry, 16 bytes.
package struct LegacyContext: Hashable, Sendable {
    package var isPresent = true
    package var disablesFaults = false
    package var translationType: UInt64 = 0
    package var root: UInt64 = 0
    package var addressWidth: UInt64 = 2
    package var domain: UInt64 = 1
    package var raw: [UInt64] = [0, 0]

    package init() {}

    package var words: [UInt64] {
        [
            (isPresent ? 1 : 0) | (disablesFaults ? 2 : 0) | translationType << 2 | root | raw[0],
            addressWidth | domain << 8 | raw[1],
        ]
    }
}

/// A scalable-mode context entry, 32 bytes.
package struct ScalableContext: Hashable, Sendable {
    package var isPresent = true
    package var disablesFaults = false
    package var allowsDeviceTLB = true
    package var allowsPASID = true
    package var allowsPageRequests = false
    /// PDTS: PASIDs below 2^(size + 13) are in the directory.
    package var directorySize: UInt64 = 0
    package var directory: UInt64 = 0
    package var requestPASID: UInt64 = 0
    package var isRequestPrivileged = false
    package var raw: [UInt64] = [0, 0, 0, 0]

    package init() {}

    package var words: [UInt64] {
        var word = directory | directorySize << 9 | raw[0]
        if isPresent { word |= 1 << 0 }
        if disablesFaults { word |= 1 << 1 }
        if allowsDeviceTLB { word |= 1 << 2 }
        if allowsPASID { word |= 1 << 3 }
        if allowsPageRequests { word |= 1 << 4 }
        return [word, requestPASID | (isRequestPrivileged ? 1 << 20 : 0) | raw[1], raw[2], raw[3]]
    }
}

/// A PASID-table entry, 64 bytes.
package struct PASIDEntry: Hashable, Sendable {
    /// PGTT.
    package enum TranslationType: UInt64, Hashable, Sendable, CaseIterable {
        case first = 1
        case second, nested, passThrough
    }

    package var isPresent = true
    package var disablesFaults = false
    package var type = TranslationType.passThrough
    package var domain: UInt64 = 1
    // Second stage.
    package var secondRoot: UInt64 = 0
    package var addressWidth: UInt64 = 2
    package var enablesSecondMarks = false
    package var enablesSecondExecute = false
    // First stage.
    package var firstRoot: UInt64 = 0
    package var hasFiveLevels = false
    package var allowsSupervisor = false
    package var allowsExecute = false
    package var protectsSupervisor = false
    package var hasExecuteDisable = false
    package var hasSupervisorProtection = false
    package var hasExtendedAccessed = false
    /// PWSNP: without it no accessed or dirty bit can be written.
    package var snoopsWalks = true
    package var raw = [UInt64](repeating: 0, count: 8)

    package init() {}

    package var words: [UInt64] {
        var words = raw
        words[0] |= secondRoot | type.rawValue << 6 | addressWidth << 2
        if isPresent { words[0] |= 1 << 0 }
        if disablesFaults { words[0] |= 1 << 1 }
        if enablesSecondExecute { words[0] |= 1 << 5 }
        if enablesSecondMarks { words[0] |= 1 << 9 }
        words[1] |= domain | (snoopsWalks ? 1 << 23 : 0)
        words[2] |= firstRoot
        if allowsSupervisor { words[2] |= 1 << 0 }
        if allowsExecute { words[2] |= 1 << 1 }
        if hasFiveLevels { words[2] |= 1 << 2 }
        if protectsSupervisor { words[2] |= 1 << 4 }
        if hasExecuteDisable { words[2] |= 1 << 5 }
        if hasSupervisorProtection { words[2] |= 1 << 6 }
        if hasExtendedAccessed { words[2] |= 1 << 7 }
        return words
    }
}
