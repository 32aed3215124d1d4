// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Counters of a device's page requests, and of a queue.

internal import CIOMMU
public import IOMMUCore

/// Counters of one ``PageRequestInterface`` since it was made.
public struct PageRequestStatistics: Hashable, Sendable, Codable {
    /// Groups without an answer now, incomplete ones included.
    public let open: Int
    /// The most there ever were.
    public let highWater: Int
    /// Requests taken.
    public let requests: UInt64
    /// Requests refused with an error.
    public let refused: UInt64
    /// Requests that got no answer: invalid ones, lost ones, those of a discarded group.
    public let dropped: UInt64
    /// Requests equal to an earlier one of their group.
    public let repeated: UInt64
    /// Stop markers.
    public let stopMarkers: UInt64
    /// Complete groups.
    public let groups: UInt64
    /// Groups that were answered together with another one.
    public let followers: UInt64
    /// Answers by ``PageResponse``.
    public let responses: [UInt64]
    /// Answers by ``PageAnswer/Cause``; all but the first are automatic.
    public let causes: [UInt64]
    /// Times from complete to answered, by the base-2 logarithm of their nanoseconds: element n counts those of 2^n up
    /// to 2^(n+1).
    public let latencies: [UInt64]

    /// Answers of a kind.
    public func answers(_ response: PageResponse) -> UInt64 {
        responses[Int(response.rawValue)]
    }

    /// Answers by a cause.
    public func answers(by cause: PageAnswer.Cause) -> UInt64 {
        causes[Int(cause.rawValue)]
    }

    /// The counters by name, always the same names in the same order.
    public var values: [NamedValue] {
        let fixed = [
            NamedValue("iommu_page_requests_open", UInt64(open)),
            NamedValue("iommu_page_requests_high_water", UInt64(highWater)),
            NamedValue("iommu_page_requests_total", requests),
            NamedValue("iommu_page_requests_refused_total", refused),
            NamedValue("iommu_page_requests_dropped_total", dropped),
            NamedValue("iommu_page_requests_repeated_total", repeated),
            NamedValue("iommu_page_stop_markers_total", stopMarkers),
            NamedValue("iommu_page_groups_total", groups),
            NamedValue("iommu_page_group_followers_total", followers),
        ]
        let codes = PageResponse.allCases.map { NamedValue("iommu_page_answers_\($0)_total", answers($0)) }
        let causes = PageAnswer.Cause.allCases.map { NamedValue("iommu_page_answers_by_\($0)_total", answers(by: $0)) }
        return fixed + codes + causes
            + latencies.enumerated().map { NamedValue("iommu_page_latencies_2e\($0)_nanoseconds_total", $1) }
    }
}

/// Counters of one ``PageQueue`` since it was made.
public struct PageQueueStatistics: Hashable, Sendable, Codable {
    /// Groups to be read now.
    public let queued: Int
    /// Groups that were read and not answered now.
    public let delivered: Int
    /// The most there ever were of both.
    public let highWater: Int
    /// Groups accepted, followers included.
    public let groups: UInt64
    /// Groups that follow another one.
    public let followers: UInt64
    /// Followers that had to be delivered after all.
    public let promoted: UInt64
    /// Groups read.
    public let reads: UInt64
    /// Accepted responses by ``PageResponse``, followers included.
    public let responses: [UInt64]
    /// Responses to what was answered before.
    public let lateResponses: UInt64
    /// Groups whose time was over.
    public let timeouts: UInt64
    /// Groups that a detach, a reset or an end answered.
    public let cancelled: UInt64
    /// Overflows.
    public let overflows: UInt64
    /// Requests discarded because of them.
    public let lost: UInt64
    /// Times from complete to the owner's response, by the base-2 logarithm of their nanoseconds.
    public let latencies: [UInt64]

    /// The counters by name, always the same names in the same order.
    public var values: [NamedValue] {
        let fixed = [
            NamedValue("iommu_page_queue_queued", UInt64(queued)),
            NamedValue("iommu_page_queue_delivered", UInt64(delivered)),
            NamedValue("iommu_page_queue_high_water", UInt64(highWater)),
            NamedValue("iommu_page_queue_groups_total", groups),
            NamedValue("iommu_page_queue_followers_total", followers),
            NamedValue("iommu_page_queue_promoted_total", promoted),
            NamedValue("iommu_page_queue_reads_total", reads),
            NamedValue("iommu_page_queue_late_responses_total", lateResponses),
            NamedValue("iommu_page_queue_timeouts_total", timeouts),
            NamedValue("iommu_page_queue_cancelled_total", cancelled),
            NamedValue("iommu_page_queue_overflows_total", overflows),
            NamedValue("iommu_page_queue_lost_total", lost),
        ]
        let codes = PageResponse.allCases.map { response in
            NamedValue("iommu_page_queue_responses_\(response)_total", responses[Int(response.rawValue)])
        }
        return fixed + codes
            + latencies.enumerated().map { NamedValue("iommu_page_queue_latencies_2e\($0)_nanoseconds_total", $1) }
    }
}

/// The elements of a C array of counters.
private func counters<Tuple>(_ tuple: Tuple) -> [UInt64] {
    unsafe withUnsafeBytes(of: tuple) { unsafe Array($0.bindMemory(to: UInt64.self)) }
}

extension PageRequestStatistics {
    /// Reads what C wrote.
    init(_ c: ciommu_page_interface_statistics) {
        open = Int(c.open)
        highWater = Int(c.high_water)
        requests = c.requests
        refused = c.refused
        dropped = c.dropped
        repeated = c.repeated
        stopMarkers = c.stop_markers
        groups = c.groups
        followers = c.followers
        responses = counters(c.answers)
        causes = counters(c.causes)
        latencies = counters(c.latency)
    }
}

extension PageQueueStatistics {
    /// Reads what C wrote.
    init(_ c: ciommu_page_queue_statistics) {
        queued = Int(c.queued)
        delivered = Int(c.delivered)
        highWater = Int(c.high_water)
        groups = c.groups
        followers = c.followers
        promoted = c.promoted
        reads = c.reads
        responses = counters(c.responses)
        lateResponses = c.late
        timeouts = c.timeouts
        cancelled = c.cancelled
        overflows = c.overflows
        lost = c.lost
        latencies = counters(c.latency)
    }
}
