// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Nested domains: a guest's first stage over a parent that the host changes.

import CIOMMU
import IOMMUTestSupport
import Testing

@Suite(.serialized)
struct NestedContractTests {
    private let data: UInt64 = 32 << 30

    /// A parent whose input `data`... leads to 0x40_0000_0000..., and a guest that maps input page n to data page n.
    private func make(
        largest: UInt32 = 12, children: Int = 1
    ) throws -> (bench: DomainBench, parent: Domain, guest: GuestTables, children: [Domain], device: Device) {
        let bench = try DomainBench { $0.domains = 1200 }
        let device = try bench.makeDevice()
        let parent = try bench.makePaging(largest: largest, flags: CIOMMU_PAGING_NEST_PARENT)
        let guest = try GuestTables(bench, parent: parent)
        try bench.map(parent, data, to: 0x40_0000_0000, pageBytes2M)
        for page in 0..<64 as Range<UInt64> { guest.map(page * pageBytes, to: data + page * pageBytes) }
        let made = try (0..<children).map { index in
            let child = try bench.makeNested(on: parent, root: guest.root)
            try check(bench.attach(device, child, pasid: UInt32(index + 1)))
            return child
        }
        return (bench, parent, guest, made, device)
    }

    private func address(_ bench: DomainBench, _ page: UInt64, pasid: UInt32 = 1) throws -> UInt64? {
        let answer = try bench.ask(page * pageBytes + 0x123, pasid: pasid)
        return answer.isMapped ? answer.address : nil
    }

    @Test func bothStagesAreWalked() throws {
        let (bench, parent, guest, children, _) = try make()
        #expect(bench.kind(children[0]) == CIOMMU_DOMAIN_NESTED)
        #expect(bench.statistics(parent).children == 1)
        for page in 0..<64 as Range<UInt64> {
            #expect(try address(bench, page) == 0x40_0000_0123 + page * pageBytes)
        }
        #expect(try address(bench, 64) == nil)
        // The guest's table leads where the parent has nothing.
        guest.map(70 * pageBytes, to: data + pageBytes1G)
        #expect(try address(bench, 70) == nil)
    }

    /// Parent changes reach a child at once, for reads and writes, whatever the page size.
    @Test(arguments: [UInt32(12), 21])
    func aParentsChangeReachesItsChildren(largest: UInt32) throws {
        let (bench, parent, _, _, _) = try make(largest: largest, children: 20)
        let pasids = (1...20).map { UInt32($0) }
        for round in 0..<10 as Range<UInt64> {
            for pasid in pasids { #expect(try address(bench, 5, pasid: pasid) == 0x40_0000_5123) }
            try bench.unmap(parent, data + 5 * pageBytes, pageBytes)
            for pasid in pasids {
                #expect(try address(bench, 5, pasid: pasid) == nil)
                #expect(try address(bench, 6, pasid: pasid) == 0x40_0000_6123)
            }
            try bench.map(parent, data + 5 * pageBytes, to: 0x9_0000_0000 + round * pageBytes, pageBytes)
            for pasid in pasids { #expect(try address(bench, 5, pasid: pasid) == 0x9_0000_0123 + round * pageBytes) }
            try bench.unmap(parent, data + 5 * pageBytes, pageBytes)
            try bench.map(parent, data + 5 * pageBytes, to: 0x40_0000_5000, pageBytes)
        }
        for pasid in pasids { #expect(try bench.ask(0x5000, CIOMMU_WRITE, pasid: pasid).isMapped) }
        #expect(bench.protect(parent, data, pageBytes2M, CIOMMU_READ) == CIOMMU_OK)
        for pasid in pasids {
            #expect(try !bench.ask(0x5000, CIOMMU_WRITE, pasid: pasid).isMapped)
            #expect(try bench.ask(0x5000, CIOMMU_READ, pasid: pasid).isMapped)
        }
    }

    /// The guest's tables lie in parent memory: unmapped, nothing translates.
    @Test func aParentThatTakesTheTablesAwayStopsTheChild() throws {
        let (bench, parent, guest, _, _) = try make()
        #expect(try address(bench, 5) != nil)
        try bench.unmap(parent, guest.root + 3 * pageBytes, pageBytes)
        #expect(try address(bench, 5) == nil)
        try bench.map(parent, guest.root + 3 * pageBytes, to: 0x7_0000_3000, pageBytes)
        #expect(try address(bench, 5) == 0x40_0000_5123)
    }

    @Test func theGuestsOwnChangesAreSeenAfterItsInvalidation() throws {
        let (bench, _, guest, children, _) = try make()
        #expect(try address(bench, 5) == 0x40_0000_5123)
        guest.map(5 * pageBytes, to: data + 9 * pageBytes)
        #expect(
            bench.invalidateNested(children[0], first: 5 * pageBytes, last: 6 * pageBytes - 1, leafOnly: true)
                == CIOMMU_OK)
        #expect(try address(bench, 5) == 0x40_0000_9123)
        guest.map(5 * pageBytes, to: 0, flags: 0)
        #expect(bench.invalidateNested(children[0]) == CIOMMU_OK)
        #expect(try address(bench, 5) == nil)
    }

    @Test func refusals() throws {
        let (bench, parent, guest, children, _) = try make()
        let plain = try bench.makePaging()
        func refusal(
            _ on: Domain, root: UInt64 = 0x1000, width: UInt32 = 48, flags: UInt32 = 0
        ) -> ciommu_status {
            do {
                _ = try bench.makeNested(on: on, root: root, width: width, flags: flags)
                return CIOMMU_OK
            } catch {
                return (error as? Refused)?.status ?? CIOMMU_OK
            }
        }
        #expect(refusal(plain) == CIOMMU_NOT_NEST_PARENT)
        #expect(refusal(children[0]) == CIOMMU_NOT_NEST_PARENT)
        #expect(refusal(bench.identity) == CIOMMU_NOT_NEST_PARENT)
        #expect(refusal(bench.blocked) == CIOMMU_NOT_NEST_PARENT)
        #expect(refusal(parent, root: guest.root + 8) == CIOMMU_MISALIGNED)
        #expect(refusal(parent, width: 39) == CIOMMU_INVALID_ARGUMENT)
        #expect(refusal(parent, flags: 8) == CIOMMU_INVALID_ARGUMENT)
        #expect(refusal(parent, flags: CIOMMU_NESTED_SRE | CIOMMU_NESTED_EAFE | CIOMMU_NESTED_WPE) == CIOMMU_OK)
        #expect(refusal(parent, width: 57) == CIOMMU_OK)
        #expect(bench.invalidateNested(parent) == CIOMMU_INVALID_ARGUMENT)
        #expect(bench.invalidateNested(bench.identity) == CIOMMU_INVALID_ARGUMENT)
        #expect(bench.tryMap(children[0], 0, to: 0, pageBytes) == CIOMMU_INVALID_ARGUMENT)
        #expect(bench.destroy(parent) == CIOMMU_IN_USE)
        #expect(bench.destroy(children[0]) == CIOMMU_IN_USE)
    }

    @Test func aParentOutlivesItsChildren() throws {
        let (bench, parent, _, children, device) = try make(children: 3)
        #expect(bench.statistics(parent).children == 3)
        for (index, child) in children.enumerated() {
            #expect(bench.destroy(parent) == CIOMMU_IN_USE)
            #expect(bench.detach(device, pasid: UInt32(index + 1)) == CIOMMU_OK)
            #expect(bench.destroy(child) == CIOMMU_OK)
            #expect(bench.statistics(parent).children == UInt32(2 - index))
        }
        #expect(bench.destroy(parent) == CIOMMU_OK)
    }

    @Test func aThousandChildrenFollowTheirParent() throws {
        let (bench, parent, _, _, _) = try make(children: 1000)
        for pasid in [1, 500, 1000] as [UInt32] { #expect(try address(bench, 3, pasid: pasid) == 0x40_0000_3123) }
        try bench.unmap(parent, data + 3 * pageBytes, pageBytes)
        for pasid in 1...1000 as ClosedRange<UInt32> { #expect(try address(bench, 3, pasid: pasid) == nil) }
        try bench.map(parent, data + 3 * pageBytes, to: 0x1_0000, pageBytes)
        for pasid in 1...1000 as ClosedRange<UInt32> { #expect(try address(bench, 3, pasid: pasid) == 0x1_0123) }
    }
}
