// SPDX-License-Identifier: LGPL-2.1-or-later
//
// What a test asks, and what it is answered, in types that belong to neither the engine nor the reference, so that the two can
// be compared without sharing anything.

/// What a request wants, or a mapping grants.
package struct Access: OptionSet, Hashable, Sendable, CustomStringConvertible {
    package let rawValue: UInt32

    package init(rawValue: UInt32) { self.rawValue = rawValue }

    package static let read = Access(rawValue: 1)
    package static let write = Access(rawValue: 2)
    package static let execute = Access(rawValue: 4)
    package static let privileged = Access(rawValue: 8)

    /// Asks for nothing: reports the rights and changes nothing.
    package var isProbe: Bool { isDisjoint(with: [.read, .write, .execute]) }

    package var description: String {
        let letters = [(Access.read, "r"), (.write, "w"), (.execute, "x"), (.privileged, "p")]
        let text = letters.filter { contains($0.0) }.map { $0.1 }.joined()
        return text.isEmpty ? "-" : text
    }
}

/// One address of one DMA.
package struct DMARequest: Hashable, Sendable, CustomStringConvertible {
    /// How the device sent it.
    package enum Kind: Hashable, Sendable {
        case untranslated, translationRequest, translated
    }

    package var source: UInt16
    package var pasid: UInt32?
    package var iova: UInt64
    package var access: Access
    package var kind: Kind
    /// `pasid` stands for RID_PASID of the context entry, and the request counts as one without PASID.
    package var isPASIDImplied: Bool
    /// Leave accessed and dirty bits alone.
    package var leavesMarks: Bool
    /// Record no fault.
    package var isQuiet: Bool

    package init(
        source: UInt16, pasid: UInt32? = nil, iova: UInt64, access: Access, kind: Kind = .untranslated,
        isPASIDImplied: Bool = false, leavesMarks: Bool = false, isQuiet: Bool = false
    ) {
        self.source = source
        self.pasid = pasid
        self.iova = iova
        self.access = access
        self.kind = kind
        self.isPASIDImplied = isPASIDImplied
        self.leavesMarks = leavesMarks
        self.isQuiet = isQuiet
    }

    /// The PASID that the request carries itself.
    package var explicitPASID: UInt32? { isPASIDImplied ? nil : pasid }

    package var description: String {
        var text = "source \(String(source, radix: 16)) iova \(hex(iova)) \(access)"
        if let pasid { text += " \(isPASIDImplied ? "implied " : "")pasid \(String(pasid, radix: 16))" }
        if kind != .untranslated { text += " \(kind)" }
        if leavesMarks { text += " no-ad" }
        return text
    }
}

/// What a request is answered.
package enum Answer: Hashable, Sendable, CustomStringConvertible {
    case mapped(MappedAnswer)
    case fault(FaultAnswer)
    /// An interrupt message to this address.
    case interrupt(UInt64)

    package var mapped: MappedAnswer? {
        if case .mapped(let answer) = self { answer } else { nil }
    }

    package var fault: FaultAnswer? {
        if case .fault(let answer) = self { answer } else { nil }
    }

    package var description: String {
        switch self {
        case .mapped(let answer): "mapped \(hex(answer.address)) 2^\(answer.pageSizeLog2) \(answer.rights)"
        case .fault(let answer): "fault \(answer)"
        case .interrupt(let address): "interrupt \(hex(address))"
        }
    }
}

/// A translation.
package struct MappedAnswer: Hashable, Sendable {
    package var address: UInt64
    package var pageSizeLog2: Int
    package var rights: Access
    /// U of an ATS translation completion.
    package var isUntranslatedOnly: Bool

    package init(address: UInt64, pageSizeLog2: Int, rights: Access, isUntranslatedOnly: Bool = false) {
        self.address = address
        self.pageSizeLog2 = pageSizeLog2
        self.rights = rights
        self.isUntranslatedOnly = isUntranslatedOnly
    }
}

/// A fault, as far as the two sides can agree on it.
package struct FaultAnswer: Hashable, Sendable, CustomStringConvertible {
    /// Which part of the path failed.
    package enum Stage: Hashable, Sendable {
        case none, first, second, nested
    }

    package var code: UInt32
    package var stage: Stage
    /// Level of the paging entry that failed, 0 for a leaf table.
    package var level: Int?
    package var isSuppressed: Bool
    package var isRecoverable: Bool
    package var isRecorded: Bool
    package var isAborted: Bool

    package init(
        code: UInt32, stage: Stage, level: Int? = nil, isSuppressed: Bool = false, isRecoverable: Bool = false,
        isRecorded: Bool = true, isAborted: Bool = false
    ) {
        self.code = code
        self.stage = stage
        self.level = level
        self.isSuppressed = isSuppressed
        self.isRecoverable = isRecoverable
        self.isRecorded = isRecorded
        self.isAborted = isAborted
    }

    package var description: String {
        var text = "\(hex(UInt64(code))) \(stage)"
        if let level { text += " level \(level)" }
        if isSuppressed { text += " suppressed" }
        if isRecoverable { text += " recoverable" }
        if isRecorded { text += " recorded" }
        if isAborted { text += " aborted" }
        return text
    }
}
