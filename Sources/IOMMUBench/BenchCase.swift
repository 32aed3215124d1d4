// SPDX-License-Identifier: LGPL-2.1-or-later
//
// BenchCase - one row before it is measured: its name and what to do for it.

/// What a row is about.
enum CaseKind {
    case translate(TranslationSetup, Manner)
    case invalidateBusy(TranslationSetup, Scope)
    case invalidateIdle(TranslationSetup, Scope, filled: UInt32?)
    case fault
    case setup(SetupStep)
    case message
}

/// A row to be.
struct BenchCase {
    let name: String
    let title: String
    let kind: CaseKind
    var threads = 1

    init(_ name: String, _ title: String, _ kind: CaseKind, threads: Int = 1) {
        self.name = name
        self.title = title
        self.kind = kind
        self.threads = threads
    }

    /// What the row's times are for.
    var per: String {
        switch kind {
        case .translate: "translation"
        case .invalidateBusy, .invalidateIdle: "invalidation"
        case .fault: "fault"
        case .setup: "call"
        case .message: "check"
        }
    }
}
