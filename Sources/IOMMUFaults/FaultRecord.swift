// SPDX-License-Identifier: LGPL-2.1-or-later
//
// FaultRecord - one record of a fault queue: a fault, several that were folded into one, or a loss.

package import CIOMMU
public import IOMMUCore

/// One record of a fault queue.
///
/// Every fault that was meant for the queue has a number, from 0 on. A record stands for ``count`` of them from
/// ``sequence`` on, and the next record begins where it ends: so nothing is missing but what a ``Kind/loss`` counts.
public struct FaultRecord: Hashable, Sendable {
    /// What a record tells.
    public enum Kind: Hashable, Sendable {
        /// A fault, the first one of several that were folded.
        case fault(Fault)
        /// Faults are missing here: their places in a port's ring, or the queue's quota, were taken.
        case loss
    }

    /// What it tells.
    public var kind: Kind
    /// Number of the first fault that it stands for.
    public var sequence: UInt64
    /// How many faults it stands for: 1 for a fault that was not folded.
    public var count: UInt64
    /// When the first of them happened, in nanoseconds of CLOCK_MONOTONIC. Of a loss: when the fault before it did, 0
    /// without one.
    public var firstTime: UInt64
    /// When the last of them happened, in the same clock. Of a loss: when the fault after it did, or it was read.
    public var lastTime: UInt64

    /// Makes a record from its parts: for tests of hosts.
    public init(kind: Kind, sequence: UInt64, count: UInt64 = 1, firstTime: UInt64 = 0, lastTime: UInt64 = 0) {
        self.kind = kind
        self.sequence = sequence
        self.count = count
        self.firstTime = firstTime
        self.lastTime = lastTime
    }

    /// The fault, if it is one.
    public var fault: Fault? {
        switch kind {
        case .fault(let fault): fault
        case .loss: nil
        }
    }

    /// How many faults are missing here; 0 for a fault.
    public var lost: UInt64 {
        kind == .loss ? count : 0
    }
}

extension FaultRecord: CustomStringConvertible {
    /// One line: the number, and the fault or what is missing.
    public var description: String {
        switch kind {
        case .fault(let fault): "#\(sequence)\(count > 1 ? " (\(count) times)" : "") \(fault)"
        case .loss: "#\(sequence) \(count) lost"
        }
    }
}

extension FaultRecord {
    /// Reads what C wrote.
    package init(_ record: ciommu_fault_record) {
        kind = record.kind == CIOMMU_RECORD_LOSS.rawValue ? .loss : .fault(Fault(record.fault))
        sequence = record.sequence
        count = record.count
        firstTime = record.first_time
        lastTime = record.last_time
    }
}

extension ciommu_fault_record {
    /// Zero, with `size` filled in.
    static var empty: ciommu_fault_record {
        var record = ciommu_fault_record()
        record.size = UInt32(MemoryLayout<ciommu_fault_record>.size)
        return record
    }
}
