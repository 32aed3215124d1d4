// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The n-th request for memory fails, for every n: what needs memory then changes nothing, what may not fail does not.

import CIOMMU
import CIOMMUProbe
import IOMMUTestSupport
import Testing

@Suite(.serialized, .enabled(if: probe_has_mutants()))
struct PagingFailureTests {
    private let base = 8 * pageBytes1G

    /// Takes pages from those that the unit has for tables, when no memory can be had for more. How many were taken.
    @discardableResult
    private func exhaust(_ bench: DomainBench, filler: Domain, taking most: Int = .max) -> Int {
        _ = probe_allocations(0)
        defer { _ = probe_allocations(-1) }
        var taken = 0
        while taken < most, bench.tryMap(filler, UInt64(taken) * pageBytes2M, to: 0x1000, pageBytes) == CIOMMU_OK {
            taken += 1
        }
        return taken
    }

    private func makeUnit(
        largest: UInt32, _ prepare: (DomainBench, Domain) throws -> Void
    ) throws -> (DomainBench, Domain, Domain) {
        let bench = try DomainBench()
        let device = try bench.makeDevice()
        let domain = try bench.makePaging(largest: largest, flags: CIOMMU_PAGING_DIRTY_TRACKING)
        try check(bench.attach(device, domain))
        try prepare(bench, domain)
        let filler = try bench.makePaging()
        try bench.map(filler, 511 * pageBytes2M, to: 0x1000, pageBytes)
        return (bench, domain, filler)
    }

    /// For every n, only n pages for tables are left: the operation fails and all of the content survives; with memory again it
    /// succeeds. Returns the n with which it succeeded at once.
    @discardableResult
    private func failEveryAllocation(
        largest: UInt32 = 30, _ name: String, prepare: (DomainBench, Domain) throws -> Void,
        _ operation: (DomainBench, Domain) -> ciommu_status
    ) throws -> Int {
        var (bench, domain, filler) = try makeUnit(largest: largest, prepare)
        let all = exhaust(bench, filler: filler)
        for spare in 0...min(all, 60) {
            (bench, domain, filler) = try makeUnit(largest: largest, prepare)
            exhaust(bench, filler: filler, taking: all - spare)
            let before = bench.listing(domain)
            for page in before.prefix(8) { _ = try bench.ask(page.iova) }
            let tables = bench.statistics(domain).tables
            _ = probe_allocations(0)
            let status = operation(bench, domain)
            _ = probe_allocations(-1)
            if status == CIOMMU_OK { return spare }
            #expect(status == CIOMMU_NO_MEMORY, "\(name), \(spare) pages left")
            #expect(bench.listing(domain) == before, "\(name), \(spare) pages left")
            #expect(bench.statistics(domain).tables == tables, "\(name), \(spare) pages left")
            var log = MismatchLog()
            try bench.compareTranslations(Array(before.prefix(40)), exactSize: false, name, &log)
            #expect(log.isEmpty, "\(log)")
            #expect(operation(bench, domain) == CIOMMU_OK, "\(name): with memory again")
        }
        Issue.record("\(name): never succeeded")
        return 0
    }

    @Test func aMapThatFailsChangesNothing() throws {
        let far = base + 600 * pageBytes1G
        let tables = try failEveryAllocation("map over several tables") { _, _ in
        } _: { bench, domain in
            bench.tryMap(domain, far - 3 * pageBytes, to: 0x1000, 2 * pageBytes2M)
        }
        #expect(tables > 0)
        try failEveryAllocation("map next to a page") { bench, domain in
            try bench.map(domain, base, to: base, pageBytes)
        } _: { bench, domain in
            bench.tryMap(domain, base + pageBytes, to: 0x1000, pageBytes2M + 5 * pageBytes)
        }
        try failEveryAllocation("map that merges") { bench, domain in
            try bench.map(domain, base, to: base, 17 * pageBytes)
            try bench.map(domain, base + 18 * pageBytes, to: base + 18 * pageBytes, pageBytes2M - 18 * pageBytes)
        } _: { bench, domain in
            bench.tryMap(domain, base + 17 * pageBytes, to: base + 17 * pageBytes, pageBytes)
        }
        try failEveryAllocation("map of large pages, head and tail") { _, _ in
        } _: { bench, domain in
            bench.tryMap(
                domain, base - 2 * pageBytes, to: base - 2 * pageBytes, pageBytes1G + pageBytes2M + 5 * pageBytes)
        }
    }

    @Test func anUnmapThatFailsChangesNothing() throws {
        for (name, iova, length) in [
            ("one page of 1 GiB", base + 77 * pageBytes, pageBytes),
            ("the middle of 1 GiB", base + pageBytes, pageBytes1G - 2 * pageBytes),
            ("over two large pages", base + pageBytes1G - pageBytes, 2 * pageBytes),
            ("2 MiB of 1 GiB", base + pageBytes2M, pageBytes2M),
        ] {
            let requests = try failEveryAllocation("unmap \(name)") { bench, domain in
                try bench.map(domain, base, to: base, 2 * pageBytes1G)
            } _: { bench, domain in
                let (status, bytes) = bench.tryUnmap(domain, iova, length)
                #expect(bytes == (status == CIOMMU_OK ? length : 0xdead))
                return status
            }
            #expect(requests > 0)
        }
    }

    @Test func aProtectThatFailsChangesNothing() throws {
        for (name, iova, length) in [
            ("one page of 1 GiB", base + 77 * pageBytes, pageBytes),
            ("over two large pages", base + pageBytes1G - pageBytes, 2 * pageBytes),
            ("all but the ends", base + pageBytes, 2 * pageBytes1G - 2 * pageBytes),
        ] {
            let requests = try failEveryAllocation("protect \(name)") { bench, domain in
                try bench.map(domain, base, to: base, 2 * pageBytes1G)
            } _: { bench, domain in
                bench.protect(domain, iova, length, CIOMMU_READ)
            }
            #expect(requests > 0)
        }
    }

    @Test func aStartOfTrackingThatFailsChangesNothing() throws {
        let requests = try failEveryAllocation(largest: 21, "start with split pages") { bench, domain in
            try bench.map(domain, base, to: base, 5 * pageBytes2M)
            try bench.map(domain, base + pageBytes1G, to: base, pageBytes2M + pageBytes)
        } _: { bench, domain in
            bench.startTracking(domain, flags: CIOMMU_DIRTY_SPLIT)
        }
        #expect(requests >= 6)
        let (bench, domain, filler) = try makeUnit(largest: 21) { bench, domain in
            try bench.map(domain, base, to: base, pageBytes2M)
        }
        exhaust(bench, filler: filler)
        _ = probe_allocations(0)
        let status = bench.startTracking(domain, flags: CIOMMU_DIRTY_SPLIT)
        _ = probe_allocations(-1)
        #expect(status == CIOMMU_NO_MEMORY)
        var bitmap: [UInt64] = [0]
        #expect(bench.readDirty(domain, base, pageBytes, into: &bitmap) == CIOMMU_NOT_TRACKING)
    }

    /// Removing, and whatever else must work when there is no memory left.
    @Test func whatNeedsNoMemoryNeverFails() throws {
        let bench = try DomainBench()
        let device = try bench.makeDevice()
        let domain = try bench.makePaging(flags: CIOMMU_PAGING_DIRTY_TRACKING)
        let other = try bench.makePaging()
        #expect(bench.attach(device, domain) == CIOMMU_OK)
        #expect(bench.attach(device, domain, pasid: 5) == CIOMMU_OK)
        try bench.map(domain, base, to: base, pageBytes1G)
        try bench.map(domain, 3 * pageBytes, to: 0x1000, 700 * pageBytes)
        exhaust(bench, filler: other)
        #expect(bench.startTracking(domain) == CIOMMU_OK)
        _ = try bench.ask(base, CIOMMU_WRITE)

        _ = probe_allocations(0)
        defer { _ = probe_allocations(-1) }
        var bitmap: [UInt64] = [0]
        let calls: [(String, ciommu_status)] = [
            ("read dirty", bench.readDirty(domain, base, 64 * pageBytes1G, pageSize: pageBytes1G, into: &bitmap)),
            ("stop tracking", bench.stopTracking(domain)),
            ("unmap whole pages", bench.tryUnmap(domain, base, pageBytes1G).status),
            ("protect whole pages", bench.protect(domain, 3 * pageBytes, 700 * pageBytes, CIOMMU_READ)),
            ("detach", bench.detach(device)),
            ("unmap everything", bench.tryUnmap(domain, 0, .max).status),
            ("reset", bench.reset(device)),
            ("destroy a device", bench.destroy(device)),
            ("destroy a domain", bench.destroy(other)),
        ]
        _ = probe_allocations(-1)
        for (name, status) in calls { #expect(status == CIOMMU_OK, "\(name)") }
        #expect(bitmap[0] == 1)
        #expect(bench.listing(domain).isEmpty)
    }

    @Test func creationAndAttachmentReportWantOfMemory() throws {
        let bench = try DomainBench()
        let device = try bench.makeDevice()
        let domain = try bench.makePaging(flags: CIOMMU_PAGING_NEST_PARENT)
        func fail(_ name: String, _ operation: () -> ciommu_status) {
            for allowed in 0..<100 {
                _ = probe_allocations(Int32(allowed))
                let status = operation()
                _ = probe_allocations(-1)
                if status == CIOMMU_OK { return }
                #expect(status == CIOMMU_NO_MEMORY, "\(name), \(allowed) requests succeed")
            }
            Issue.record("\(name): never succeeded")
        }
        func status(_ operation: () throws -> Void) -> ciommu_status {
            do {
                try operation()
                return CIOMMU_OK
            } catch {
                return (error as? Refused)?.status ?? CIOMMU_INVALID_ARGUMENT
            }
        }
        fail("paging domain") { status { _ = try bench.makePaging() } }
        fail("nested domain") { status { _ = try bench.makeNested(on: domain, root: 0x1000) } }
        fail("device") { bench.tryMakeDevice(source: 0x77, id: 77).status }
        #expect(bench.attach(device, bench.identity) == CIOMMU_OK)
        for allowed in 0..<100 {
            _ = probe_allocations(Int32(allowed))
            let status = bench.replace(device, domain)
            _ = probe_allocations(-1)
            #expect(bench.domain(of: device) == (status == CIOMMU_OK ? domain : bench.identity))
            if status == CIOMMU_OK { break }
            #expect(status == CIOMMU_NO_MEMORY)
            #expect(try bench.ask(0x1234_5000).address == 0x1234_5000)
        }
        #expect(bench.detach(device) == CIOMMU_OK)
        fail("attach") { bench.attach(device, domain, pasid: 0xabcde) }
        #expect(bench.domain(of: device, pasid: 0xabcde) == domain)
        #expect(bench.statistics(domain).attachments == 1)
        #expect(bench.statistics(domain).children == 1)
    }
}
