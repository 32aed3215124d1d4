// SPDX-License-Identifier: LGPL-2.1-or-later
//
// What is measured: the engine and the designs that it is compared with. The order is that in which they alternate.

import CIOMMUBench

/// A way to answer translations.
enum Design: Int, CaseIterable {
    case engine
    case mutexTable
    case tree
    case rcuTable

    /// As it stands in legends and tables.
    var name: String {
        switch self {
        case .engine: "swift-iommu"
        case .mutexTable: "mutex + hash table"
        case .tree: "rwlock + ordered map"
        case .rcuTable: "RCU hash table"
        }
    }

    /// For people who do not know the designs.
    var explanation: String {
        switch self {
        case .engine: "this library"
        case .mutexTable: "one mutex around a chained hash table, flushed whole at 1,024 entries"
        case .tree: "a reader-writer lock over an ordered map"
        case .rcuTable: "a lock-free hash table read under RCU"
        }
    }

    /// `nil` for the engine.
    var baseline: bench_design? {
        switch self {
        case .engine: nil
        case .mutexTable: BENCH_MUTEX_TABLE
        case .tree: BENCH_TREE
        case .rcuTable: BENCH_RCU_TABLE
        }
    }
}

/// How a reader asks.
enum Manner: CaseIterable {
    case single
    case batch

    var name: String { self == .single ? "one at a time" : "batches of 32" }
    var code: UInt32 { (self == .single ? BENCH_SINGLE : BENCH_BATCH).rawValue }
}

/// Which addresses a reader asks for.
enum Addresses: CaseIterable {
    case uniform
    case skewed

    var name: String { self == .uniform ? "uniform" : "skewed" }
    /// Per cent of the requests that go to one per cent of the pages; 0 = uniform.
    var skew: UInt32 { self == .uniform ? 0 : 90 }
}
