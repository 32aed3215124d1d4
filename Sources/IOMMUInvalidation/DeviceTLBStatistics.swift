// SPDX-License-Identifier: LGPL-2.1-or-later
//
// DeviceTLBStatistics - what one device-TLB was asked and how it answered.

internal import CIOMMU
public import IOMMUCore

/// Counters of one device-TLB since it was made.
public struct DeviceTLBStatistics: Hashable, Sendable, Codable {
    /// Requests in flight now.
    public let open: Int
    /// Requests that the device was asked.
    public let requests: UInt64
    /// Answers in time.
    public let answers: UInt64
    /// Answers that came too late, and second ones.
    public let lateAnswers: UInt64
    /// Requests that ran into their deadline.
    public let timeouts: UInt64
    /// Answers that said that the device could not.
    public let errors: UInt64
    /// Round trips by the base-2 logarithm of their nanoseconds: element n counts those of 2^n up to 2^(n+1)
    /// nanoseconds.
    public let roundTrips: [UInt64]

    /// An upper bound of the time that a share of the round trips took: 0.5 for the median. Nil without round trips.
    ///
    /// - Parameter share: From 0 to 1; other values are clamped.
    public func roundTrip(ofShare share: Double) -> Duration? {
        let total = roundTrips.reduce(0, +)
        guard total > 0 else { return nil }
        let wanted = min(max(share, 0), 1) * Double(total)
        var seen: UInt64 = 0
        for (power, count) in roundTrips.enumerated() where count > 0 {
            seen += count
            if Double(seen) >= wanted {
                return .nanoseconds(Int64(2) << Int64(power))
            }
        }
        return nil
    }

    /// The counters by name, always the same names in the same order; the round trips as one counter for each power of
    /// two.
    public var values: [NamedValue] {
        let fixed = [
            NamedValue("iommu_device_tlb_open", UInt64(open)),
            NamedValue("iommu_device_tlb_requests_total", requests),
            NamedValue("iommu_device_tlb_answers_total", answers),
            NamedValue("iommu_device_tlb_late_answers_total", lateAnswers),
            NamedValue("iommu_device_tlb_timeouts_total", timeouts),
            NamedValue("iommu_device_tlb_errors_total", errors),
        ]
        return fixed
            + roundTrips.enumerated().map { power, count in
                NamedValue("iommu_device_tlb_round_trips_2e\(power)_nanoseconds_total", count)
            }
    }
}

extension DeviceTLBStatistics {
    /// Reads what C wrote.
    init(_ statistics: ciommu_device_tlb_statistics) {
        open = Int(statistics.open)
        requests = statistics.requests
        answers = statistics.answers
        lateAnswers = statistics.late_answers
        timeouts = statistics.timeouts
        errors = statistics.errors
        roundTrips = unsafe withUnsafeBytes(of: statistics.round_trip) { unsafe Array($0.bindMemory(to: UInt64.self)) }
    }
}
