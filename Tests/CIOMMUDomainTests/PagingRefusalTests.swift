// SPDX-License-Identifier: LGPL-2.1-or-later
//
// What is refused: with the right status, and with nothing changed.

import CIOMMU
import IOMMUTestSupport
import Testing

@Suite(.serialized)
struct PagingRefusalTests {
    private let base = 8 * pageBytes1G

    /// Some mappings of all page sizes, with holes.
    private func fill(_ bench: DomainBench, _ domain: Domain) throws {
        try bench.map(domain, base, to: base, pageBytes1G)
        try bench.map(domain, base + 2 * pageBytes1G, to: base, 3 * pageBytes2M, CIOMMU_READ)
        try bench.map(domain, base + 3 * pageBytes1G, to: 0x3000, 5 * pageBytes)
        try bench.map(domain, (1 << 48) - pageBytes, to: 0x3000, pageBytes, CIOMMU_WRITE)
    }

    private func expectUnchanged(
        _ bench: DomainBench, _ domain: Domain, _ wanted: ciommu_status, _ context: String,
        _ operation: () -> ciommu_status
    ) {
        let before = bench.listing(domain)
        let tables = bench.statistics(domain).tables
        let status = operation()
        #expect(status == wanted, "\(context)")
        #expect(bench.listing(domain) == before, "\(context)")
        #expect(bench.statistics(domain).tables == tables, "\(context)")
    }

    @Test func badMappingsChangeNothing() throws {
        let bench = try DomainBench()
        let domain = try bench.makePaging()
        try fill(bench, domain)
        let free = base + 5 * pageBytes1G
        let top = UInt64(1) << 48
        let haw = UInt64(1) << 52
        let cases: [(String, UInt64, UInt64, UInt64, UInt32, ciommu_status)] = [
            ("iova misaligned", free + 8, 0x1000, pageBytes, readWrite, CIOMMU_MISALIGNED),
            ("iova misaligned to half a page", free + 2048, 0x1000, pageBytes, readWrite, CIOMMU_MISALIGNED),
            ("address misaligned", free, 0x1001, pageBytes, readWrite, CIOMMU_MISALIGNED),
            ("length misaligned", free, 0x1000, pageBytes + 1, readWrite, CIOMMU_MISALIGNED),
            ("nothing", free, 0x1000, 0, readWrite, CIOMMU_INVALID_ARGUMENT),
            ("no rights", free, 0x1000, pageBytes, 0, CIOMMU_INVALID_ARGUMENT),
            ("execute", free, 0x1000, pageBytes, readWrite | CIOMMU_EXECUTE, CIOMMU_INVALID_ARGUMENT),
            ("privileged", free, 0x1000, pageBytes, readWrite | CIOMMU_PRIVILEGED, CIOMMU_INVALID_ARGUMENT),
            ("iova wraps", 0 &- pageBytes, 0x1000, 2 * pageBytes, readWrite, CIOMMU_WRAPS),
            ("beyond the width", top, 0x1000, pageBytes, readWrite, CIOMMU_OUT_OF_RANGE),
            ("the top of 64 bits", 0 &- pageBytes, 0x1000, pageBytes, readWrite, CIOMMU_OUT_OF_RANGE),
            ("over the width", top - 2 * pageBytes, 0x1000, 3 * pageBytes, readWrite, CIOMMU_OUT_OF_RANGE),
            ("beyond HAW", free, haw, pageBytes, readWrite, CIOMMU_OUT_OF_RANGE),
            ("over HAW", free, haw - pageBytes, 2 * pageBytes, readWrite, CIOMMU_OUT_OF_RANGE),
            ("overlap, first page", base + pageBytes1G - pageBytes, 0x1000, 3 * pageBytes, readWrite, CIOMMU_OVERLAP),
            ("overlap, last page", base - 2 * pageBytes, 0x1000, 3 * pageBytes, readWrite, CIOMMU_OVERLAP),
            (
                "overlap, in the middle", base + 3 * pageBytes1G - pageBytes2M, 0x1000, 2 * pageBytes2M, readWrite,
                CIOMMU_OVERLAP
            ),
            ("overlap, inside a large page", base + 33 * pageBytes, 0x1000, pageBytes, readWrite, CIOMMU_OVERLAP),
            ("overlap, exactly", base, base, pageBytes1G, readWrite, CIOMMU_OVERLAP),
            ("overlap, around all", base - pageBytes1G, base, 6 * pageBytes1G, readWrite, CIOMMU_OVERLAP),
            (
                "overlap, far from the start", base + pageBytes1G, base, pageBytes1G + pageBytes, readWrite,
                CIOMMU_OVERLAP
            ),
        ]
        for (name, iova, address, length, rights, status) in cases {
            expectUnchanged(bench, domain, status, name) { bench.tryMap(domain, iova, to: address, length, rights) }
        }
        // Of an output range that wraps, either rule may be named.
        let before = bench.listing(domain)
        let wraps = bench.tryMap(domain, free, to: 0 &- pageBytes, 2 * pageBytes)
        #expect(wraps == CIOMMU_WRAPS || wraps == CIOMMU_OUT_OF_RANGE)
        #expect(bench.listing(domain) == before)
    }

    @Test(arguments: [UInt32(39), 48, 57])
    func theLastPageOfTheWidthIsTheLast(width: UInt32) throws {
        let bench = try DomainBench()
        let domain = try bench.makePaging(width: width)
        let top = UInt64(1) << UInt64(width)
        #expect(bench.tryMap(domain, top - pageBytes, to: 0x1000, pageBytes) == CIOMMU_OK)
        #expect(bench.tryMap(domain, top, to: 0x1000, pageBytes) == CIOMMU_OUT_OF_RANGE)
        #expect(bench.tryUnmap(domain, top - pageBytes, 2 * pageBytes).status == CIOMMU_OUT_OF_RANGE)
        #expect(bench.tryUnmap(domain, top, pageBytes).status == CIOMMU_OUT_OF_RANGE)
        #expect(bench.protect(domain, top - pageBytes, 2 * pageBytes, CIOMMU_READ) == CIOMMU_OUT_OF_RANGE)
        #expect(bench.listing(domain).map(\.iova) == [top - pageBytes])
    }

    @Test func theHostAddressWidthIsTheLimitOfOutputs() throws {
        for haw in [UInt32(36), 40, 46, 52] {
            let bench = try DomainBench { $0.host_address_width = haw }
            let domain = try bench.makePaging()
            let end = UInt64(1) << UInt64(haw)
            #expect(bench.tryMap(domain, 0x1000, to: end - pageBytes, pageBytes) == CIOMMU_OK)
            #expect(bench.tryMap(domain, 0x4000, to: end - pageBytes, 2 * pageBytes) == CIOMMU_OUT_OF_RANGE)
            #expect(bench.tryMap(domain, 0x4000, to: end, pageBytes) == CIOMMU_OUT_OF_RANGE)
            #expect(bench.statistics(domain).mapped == pageBytes)
        }
    }

    @Test func badUnmapsChangeNothing() throws {
        let bench = try DomainBench()
        let domain = try bench.makePaging()
        try fill(bench, domain)
        let cases: [(String, UInt64, UInt64, ciommu_status)] = [
            ("iova misaligned", base + 1, pageBytes, CIOMMU_MISALIGNED),
            ("length misaligned", base, pageBytes - 1, CIOMMU_MISALIGNED),
            ("wraps", 0 &- pageBytes, 2 * pageBytes, CIOMMU_WRAPS),
            ("beyond the width", 1 << 48, pageBytes, CIOMMU_OUT_OF_RANGE),
            ("over the width", base, 1 << 48, CIOMMU_OUT_OF_RANGE),
        ]
        for (name, iova, length, wanted) in cases {
            expectUnchanged(bench, domain, wanted, name) {
                let (status, bytes) = bench.tryUnmap(domain, iova, length)
                #expect(bytes == 0xdead, "\(name): the output was written")
                return status
            }
        }
    }

    @Test func badProtectsChangeNothing() throws {
        let bench = try DomainBench()
        let domain = try bench.makePaging()
        try fill(bench, domain)
        let cases: [(String, UInt64, UInt64, UInt32, ciommu_status)] = [
            ("iova misaligned", base + 1, pageBytes, CIOMMU_READ, CIOMMU_MISALIGNED),
            ("length misaligned", base, pageBytes - 1, CIOMMU_READ, CIOMMU_MISALIGNED),
            ("wraps", 0 &- pageBytes, 2 * pageBytes, CIOMMU_READ, CIOMMU_WRAPS),
            ("over the width", base, 1 << 48, CIOMMU_READ, CIOMMU_OUT_OF_RANGE),
            ("no rights", base, pageBytes, 0, CIOMMU_INVALID_ARGUMENT),
            ("execute", base, pageBytes, CIOMMU_READ | CIOMMU_EXECUTE, CIOMMU_INVALID_ARGUMENT),
            ("hole at the start", base - pageBytes, 2 * pageBytes, CIOMMU_READ, CIOMMU_NOT_FOUND),
            ("hole at the end", base + pageBytes1G - pageBytes, 2 * pageBytes, CIOMMU_READ, CIOMMU_NOT_FOUND),
            ("hole in the middle", base, 3 * pageBytes1G, CIOMMU_READ, CIOMMU_NOT_FOUND),
            ("hole after part of a large page", base + 7 * pageBytes, pageBytes1G, CIOMMU_READ, CIOMMU_NOT_FOUND),
            ("only a hole", base + 5 * pageBytes1G, pageBytes, CIOMMU_READ, CIOMMU_NOT_FOUND),
        ]
        for (name, iova, length, rights, wanted) in cases {
            expectUnchanged(bench, domain, wanted, name) { bench.protect(domain, iova, length, rights) }
        }
    }

    @Test func domainsAreRefusedAsTheCapabilitiesSay() throws {
        /// CAP.SAGAW [12:8], SSLPS [37:34]; ECAP.NEST 26, SSADS 45.
        func refusal(
            cap: UInt64 = 0, ecap: UInt64 = 0, width: UInt32 = 48, largest: UInt32 = 0, flags: UInt32 = 0
        ) throws -> ciommu_status {
            let bench = try DomainBench {
                $0.cap &= ~cap
                $0.ecap &= ~ecap
            }
            do {
                _ = try bench.makePaging(width: width, largest: largest, flags: flags)
                return CIOMMU_OK
            } catch {
                return (error as? Refused)?.status ?? CIOMMU_OK
            }
        }
        let nestParent = CIOMMU_PAGING_NEST_PARENT
        #expect(try refusal() == CIOMMU_OK)
        #expect(try refusal(flags: nestParent | CIOMMU_PAGING_DIRTY_TRACKING) == CIOMMU_OK)
        #expect(try refusal(cap: 1 << 9, width: 39) == CIOMMU_UNSUPPORTED)
        #expect(try refusal(cap: 1 << 10, width: 48) == CIOMMU_UNSUPPORTED)
        #expect(try refusal(cap: 1 << 11, width: 57) == CIOMMU_UNSUPPORTED)
        #expect(try refusal(cap: 3 << 34, largest: 21) == CIOMMU_UNSUPPORTED)
        #expect(try refusal(cap: 2 << 34, largest: 30) == CIOMMU_UNSUPPORTED)
        #expect(try refusal(cap: 3 << 34, largest: 12) == CIOMMU_OK)
        #expect(try refusal(ecap: 1 << 26, flags: nestParent) == CIOMMU_UNSUPPORTED)
        #expect(try refusal(ecap: 1 << 45, flags: CIOMMU_PAGING_DIRTY_TRACKING) == CIOMMU_UNSUPPORTED)
        #expect(try refusal(width: 40) != CIOMMU_OK)
        #expect(try refusal(largest: 13) != CIOMMU_OK)
        #expect(try refusal(largest: 39) != CIOMMU_OK)
        #expect(try refusal(flags: 1 << 30) == CIOMMU_INVALID_ARGUMENT)
    }

    /// Without SSLPS the largest page of a domain that leaves it open is 4 KiB.
    @Test func anOpenLargestPageIsTheUnitsLargest() throws {
        for (dropped, lg2) in [(UInt64(0), UInt32(30)), (2 << 34, 21), (3 << 34, 12)] {
            let bench = try DomainBench { $0.cap &= ~dropped }
            let domain = try bench.makePaging()
            try bench.map(domain, base, to: base, lg2 == 12 ? pageBytes2M : pageBytes1G)
            #expect(bench.next(domain, 0)?.lg2 == lg2)
        }
    }

    @Test func thePoolOfDomainsIsFinite() throws {
        let bench = try DomainBench { $0.domains = 3 }
        let domains = try (0..<3).map { _ in try bench.makePaging() }
        #expect(throws: Refused.self) { try bench.makePaging() }
        do {
            _ = try bench.makePaging()
        } catch {
            #expect((error as? Refused)?.status == CIOMMU_NO_SPACE)
        }
        #expect(bench.destroy(domains[1]) == CIOMMU_OK)
        _ = try bench.makePaging()
    }

    @Test func callsThatWaitAreRefusedInsideTheOwnSection() throws {
        let bench = try DomainBench()
        let device = try bench.makeDevice()
        let domain = try bench.makePaging(flags: CIOMMU_PAGING_DIRTY_TRACKING)
        let other = try bench.makePaging()
        try fill(bench, domain)
        #expect(bench.attach(device, domain) == CIOMMU_OK)
        #expect(bench.startTracking(domain) == CIOMMU_OK)
        _ = try bench.ask(base, CIOMMU_WRITE)
        let before = bench.listing(domain)
        bench.enter()
        #expect(bench.tryUnmap(domain, base, pageBytes, withPort: true).status == CIOMMU_IN_SECTION)
        #expect(bench.protect(domain, base, pageBytes, CIOMMU_READ, withPort: true) == CIOMMU_IN_SECTION)
        #expect(bench.startTracking(domain, withPort: true) == CIOMMU_IN_SECTION)
        #expect(bench.stopTracking(domain, withPort: true) == CIOMMU_IN_SECTION)
        var bitmap: [UInt64] = [0]
        #expect(bench.readDirty(domain, base, pageBytes, into: &bitmap, withPort: true) == CIOMMU_IN_SECTION)
        #expect(bench.replace(device, other, withPort: true) == CIOMMU_IN_SECTION)
        #expect(bench.detach(device, withPort: true) == CIOMMU_IN_SECTION)
        bench.leave()
        #expect(bench.listing(domain) == before)
        #expect(bench.domain(of: device) == domain)
        #expect(bitmap == [0])
    }

    /// A section that goes on makes the answer CIOMMU_TIMED_OUT, and the change is made all the same.
    @Test func aTimeoutDoesNotTakeTheChangeBack() throws {
        let bench = try DomainBench { $0.drain_timeout = 0 }
        let device = try bench.makeDevice()
        let domain = try bench.makePaging()
        let other = try bench.makePaging()
        try fill(bench, domain)
        #expect(bench.attach(device, domain) == CIOMMU_OK)
        let section = try bench.enterElsewhere()
        #expect(bench.tryUnmap(domain, base, pageBytes, withPort: true).status == CIOMMU_TIMED_OUT)
        #expect(try !bench.ask(base).isMapped)
        #expect(bench.protect(domain, base + pageBytes, pageBytes, CIOMMU_READ, withPort: true) == CIOMMU_TIMED_OUT)
        #expect(try !bench.ask(base + pageBytes, CIOMMU_WRITE).isMapped)
        #expect(bench.replace(device, other, withPort: true) == CIOMMU_TIMED_OUT)
        #expect(bench.domain(of: device) == other)
        #expect(bench.detach(device, withPort: true) == CIOMMU_TIMED_OUT)
        #expect(bench.domain(of: device) == nil)
        #expect(bench.drain() == CIOMMU_TIMED_OUT)
        bench.leave(section)
        #expect(bench.drain() == CIOMMU_OK)
    }
}
