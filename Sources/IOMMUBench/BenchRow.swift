// SPDX-License-Identifier: LGPL-2.1-or-later
//
// BenchRow - one line of the benchmark: what an operation costs, and against what.

/// What one operation costs, measured in turn with baselines and bare loads.
///
/// Times are nanoseconds. A ratio to a baseline is baseline ÷ engine (above 1: the engine is faster), one to a load is
/// engine ÷ load (how many loads the operation is worth); both of medians. Nothing is `nil` in the rows of the standard
/// set but what is said here.
public struct BenchRow: Codable, Sendable, Equatable {
    /// The row's name, which selects it.
    public var name: String
    /// Threads that do this at the same time. A thread that only keeps ports busy is not counted.
    public var threads: Int
    /// What is measured, in words.
    public var title: String
    /// What the times are for: "translation", "invalidation" and so on.
    public var per: String
    /// The fastest repetition. With several threads: the time that one operation takes in each of them.
    public var nanosecondsMinimum: Double
    /// The repetition in the middle.
    public var nanosecondsMedian: Double
    /// A mutex around a chained hash table, flushed at 1,024 entries. `nil` where there is no counterpart.
    public var ratioMutexTable: Double?
    /// A reader-writer lock over an ordered map. `nil` where there is no counterpart.
    public var ratioTree: Double?
    /// liburcu's lock-free hash table. `nil` where there is no counterpart.
    public var ratioRCUTable: Double?
    /// A load from the first cache that waits for the one before.
    public var ratioL1Load: Double
    /// A load that misses all caches and waits for the one before.
    public var ratioDRAMLoad: Double
    /// Median of the mutex table.
    public var nanosecondsMutexTable: Double?
    /// Median of the ordered map.
    public var nanosecondsTree: Double?
    /// Median of the RCU table.
    public var nanosecondsRCUTable: Double?
    /// Median of the same loop without any translation; only in rows about translations.
    public var nanosecondsLoop: Double?
    /// Operations of all threads per second against those of one thread in the same run; only with several threads.
    public var throughputAgainstOneThread: Double?
    /// The same of additions in registers: what the machine gives to so many threads that share nothing.
    public var additionsAgainstOneThread: Double?
    /// Memory that the operation took; only in rows about memory.
    public var bytes: Int?
    /// Repetitions behind the times.
    public var repetitions: Int
}

extension BenchRow {
    /// The ratios stay in the file when they are null, so that every row has every name.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(name, forKey: .name)
        try container.encode(threads, forKey: .threads)
        try container.encode(title, forKey: .title)
        try container.encode(per, forKey: .per)
        try container.encode(nanosecondsMinimum, forKey: .nanosecondsMinimum)
        try container.encode(nanosecondsMedian, forKey: .nanosecondsMedian)
        try container.encode(ratioMutexTable, forKey: .ratioMutexTable)
        try container.encode(ratioTree, forKey: .ratioTree)
        try container.encode(ratioRCUTable, forKey: .ratioRCUTable)
        try container.encode(ratioL1Load, forKey: .ratioL1Load)
        try container.encode(ratioDRAMLoad, forKey: .ratioDRAMLoad)
        try container.encodeIfPresent(nanosecondsMutexTable, forKey: .nanosecondsMutexTable)
        try container.encodeIfPresent(nanosecondsTree, forKey: .nanosecondsTree)
        try container.encodeIfPresent(nanosecondsRCUTable, forKey: .nanosecondsRCUTable)
        try container.encodeIfPresent(nanosecondsLoop, forKey: .nanosecondsLoop)
        try container.encodeIfPresent(throughputAgainstOneThread, forKey: .throughputAgainstOneThread)
        try container.encodeIfPresent(additionsAgainstOneThread, forKey: .additionsAgainstOneThread)
        try container.encodeIfPresent(bytes, forKey: .bytes)
        try container.encode(repetitions, forKey: .repetitions)
    }
}
