// SPDX-License-Identifier: LGPL-2.1-or-later
//
// WalkTrace - which entry of which table a walk read, in order: for diagnosis, never on the way of a request.

internal import CIOMMU

/// One walk, entry by entry, and what came of it.
public struct WalkTrace: Hashable, Sendable {
    /// The entries read, in order.
    public let steps: [WalkStep]
    /// More entries were read than ``steps`` keeps. No walk of today's formats is that long.
    public let isTruncated: Bool
    /// What came of it.
    public let result: TranslationResult
}

/// One entry that a walk read.
public struct WalkStep: Hashable, Sendable {
    /// The kinds of tables of VT-d [FORMATS-VTD A].
    public enum Table: UInt32, Hashable, Sendable, CaseIterable {
        /// Root table of legacy mode.
        case root = 0
        /// Root table of scalable mode.
        case scalableRoot
        /// Context table of legacy mode.
        case context
        /// Context table of scalable mode.
        case scalableContext
        /// PASID directory.
        case pasidDirectory
        /// PASID table.
        case pasid
        /// First-stage paging structure.
        case firstStage
        /// Second-stage paging structure.
        case secondStage
    }

    /// The kind of table.
    public let table: Table
    /// Level of a paging entry, 0 for the leaf table; nil for the other tables.
    public let level: Int?
    /// Output address of the entry.
    public let address: OutputAddress
    /// The address that this level translates: the input address of the request or, in a nested walk, a guest-physical address.
    public let input: UInt64
    /// The entry, in 64-bit words: 1, 2, 4 or 8 of them; empty when it could not be read.
    public let words: [UInt64]
}

extension WalkStep.Table: CustomStringConvertible {
    /// A lower-case English phrase.
    public var description: String {
        switch self {
        case .root: "root"
        case .scalableRoot: "scalable root"
        case .context: "context"
        case .scalableContext: "scalable context"
        case .pasidDirectory: "PASID directory"
        case .pasid: "PASID table"
        case .firstStage: "first stage"
        case .secondStage: "second stage"
        }
    }
}

extension WalkStep {
    /// Reads what C wrote.
    init(_ step: ciommu_step) {
        guard let table = Table(rawValue: step.table) else {
            preconditionFailure("the C library names table \(step.table), which its header does not have")
        }
        self.table = table
        level = step.level == CIOMMU_NO_LEVEL ? nil : Int(step.level)
        address = OutputAddress(step.address)
        input = step.input
        let word = step.word
        let all = [word.0, word.1, word.2, word.3, word.4, word.5, word.6, word.7]
        words = Array(all.prefix(Int(step.words)))
    }
}
