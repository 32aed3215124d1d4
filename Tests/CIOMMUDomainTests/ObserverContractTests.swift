// SPDX-License-Identifier: LGPL-2.1-or-later
//
// What observers hear of a host's changes: enough to shadow a domain elsewhere. Never less than what was taken away.

import CIOMMU
import IOMMUTestSupport
import Testing

@Suite(.serialized)
struct ObserverContractTests {
    private let base: UInt64 = 8 << 30

    private func covers(_ heard: [ciommu_invalidation], _ domain: UInt32, _ first: UInt64, _ last: UInt64) -> Bool {
        heard.contains {
            $0.kind == CIOMMU_INVALIDATE_TRANSLATIONS.rawValue && ($0.domain == domain || $0.domain == CIOMMU_ANY)
                && $0.first <= first && $0.last >= last
        }
    }

    @Test func unmapAndProtectAreHeard() throws {
        let bench = try DomainBench()
        let domain = try bench.makePaging(flags: CIOMMU_PAGING_NEST_PARENT)
        let id = bench.id(domain)
        #expect(id >= 0x10000)
        #expect(bench.id(bench.identity) == 0 && bench.id(bench.blocked) == 0)
        try bench.map(domain, base, to: base, pageBytes1G)
        let guest = try GuestTables(bench, parent: domain)
        #expect(bench.id(try bench.makeNested(on: domain, root: guest.root)) == id)
        let page = base + 5 * pageBytes
        #expect(covers(try bench.heard { try bench.unmap(domain, page, pageBytes) }, id, page, page + pageBytes - 1))
        let protected = try bench.heard { #expect(bench.protect(domain, base, pageBytes, CIOMMU_READ) == CIOMMU_OK) }
        #expect(covers(protected, id, base, base + pageBytes - 1))
        #expect(covers(try bench.heard { try bench.unmapAll(domain) }, id, base, base + pageBytes1G - 1))
    }

    @Test func refusedCallsAreNotHeard() throws {
        let bench = try DomainBench()
        let domain = try bench.makePaging()
        try bench.map(domain, base, to: base, pageBytes)
        let heard = try bench.heard {
            #expect(bench.tryUnmap(domain, base + 1, pageBytes).status == CIOMMU_MISALIGNED)
            #expect(bench.protect(domain, base, 2 * pageBytes, CIOMMU_READ) == CIOMMU_NOT_FOUND)
        }
        #expect(heard.isEmpty)
    }
}
