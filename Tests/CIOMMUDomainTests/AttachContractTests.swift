// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Devices and what is attached to them: who owns what, what is refused, that a failed call changes nothing, and to whom a fault
// belongs.

import CIOMMU
import IOMMUTestSupport
import Testing

@Suite(.serialized)
struct AttachContractTests {
    private let iova: UInt64 = 0x1000_0000

    /// A paging domain that leads `iova` to `address`.
    private func makeDomain(_ bench: DomainBench, to address: UInt64) throws -> Domain {
        let domain = try bench.makePaging()
        try bench.map(domain, iova, to: address, 16 * pageBytes)
        return domain
    }

    /// Where `iova` leads now, nil if it faults; the same with caches and without.
    private func place(_ bench: DomainBench, source: UInt32 = 0x42, pasid: UInt32 = noPASID) throws -> UInt64? {
        var places: [UInt64?] = []
        for flags in [CIOMMU_NO_FAULT, CIOMMU_NO_FAULT, CIOMMU_NO_FAULT | CIOMMU_NO_CACHE] {
            let answer = try bench.ask(iova, source: source, pasid: pasid, flags: flags)
            places.append(answer.isMapped ? answer.address : nil)
        }
        #expect(places[0] == places[1] && places[0] == places[2])
        return places[0]
    }

    // MARK: Life of an attachment

    @Test(arguments: [noPASID, 0, 1, 63, 64, 0x12345, 0xfffff])
    func trafficIsBlockedBeforeTheFirstAndAfterTheLastAttach(pasid: UInt32) throws {
        let bench = try DomainBench()
        let device = try bench.makeDevice()
        let first = try makeDomain(bench, to: 0x10_0000)
        let second = try makeDomain(bench, to: 0x20_0000)
        #expect(try place(bench, pasid: pasid) == nil)
        for _ in 0..<10 {
            #expect(bench.attach(device, first, pasid: pasid) == CIOMMU_OK)
            #expect(bench.domain(of: device, pasid: pasid) == first)
            #expect(try place(bench, pasid: pasid) == 0x10_0000)
            #expect(bench.replace(device, second, pasid: pasid) == CIOMMU_OK)
            #expect(bench.domain(of: device, pasid: pasid) == second)
            #expect(try place(bench, pasid: pasid) == 0x20_0000)
            #expect(bench.replace(device, second, pasid: pasid) == CIOMMU_OK)  // by itself
            #expect(try place(bench, pasid: pasid) == 0x20_0000)
            #expect(bench.statistics(second).attachments == 1)
            #expect(bench.statistics(first).attachments == 0)
            #expect(bench.detach(device, pasid: pasid) == CIOMMU_OK)
            #expect(bench.domain(of: device, pasid: pasid) == nil)
            #expect(bench.statistics(second).attachments == 0)
            #expect(try place(bench, pasid: pasid) == nil)
        }
    }

    @Test func everyPASIDIsAPlaceOfItsOwn() throws {
        let bench = try DomainBench()
        let device = try bench.makeDevice()
        let pasids: [UInt32] = [noPASID, 0, 1, 62, 63, 64, 65, 127, 128, 4095, 4096, 65535, 65536, 0xffffe, 0xfffff]
        var places: [UInt32: UInt64] = [:]
        for (index, pasid) in pasids.enumerated() {
            let address = UInt64(index + 1) * 0x10_0000
            #expect(bench.attach(device, try makeDomain(bench, to: address), pasid: pasid) == CIOMMU_OK)
            places[pasid] = address
            for pasid in pasids { #expect(try place(bench, pasid: pasid) == places[pasid]) }
        }
        for pasid in pasids.reversed() {
            #expect(bench.detach(device, pasid: pasid) == CIOMMU_OK)
            places[pasid] = nil
            for pasid in pasids { #expect(try place(bench, pasid: pasid) == places[pasid]) }
        }
    }

    @Test func identityAndBlockedAreDomainsAsAnyOther() throws {
        let bench = try DomainBench()
        let device = try bench.makeDevice()
        #expect(bench.kind(bench.identity) == CIOMMU_DOMAIN_IDENTITY)
        #expect(bench.kind(bench.blocked) == CIOMMU_DOMAIN_BLOCKED)
        let paging = try makeDomain(bench, to: 0x10_0000)
        #expect(bench.kind(paging) == CIOMMU_DOMAIN_PAGING)
        #expect(bench.attach(device, bench.identity) == CIOMMU_OK)
        #expect(try place(bench) == iova)
        #expect(try bench.ask(iova, readWrite).rights == readWrite)
        #expect(bench.replace(device, bench.blocked) == CIOMMU_OK)
        #expect(bench.domain(of: device) == bench.blocked)
        #expect(try place(bench) == nil)
        #expect(bench.attach(device, paging) == CIOMMU_OCCUPIED)
        #expect(bench.replace(device, paging) == CIOMMU_OK)
        #expect(try place(bench) == 0x10_0000)
        #expect(bench.replace(device, bench.identity) == CIOMMU_OK)
        #expect(try place(bench) == iova)
        #expect(bench.destroy(bench.identity) == CIOMMU_INVALID_ARGUMENT)
        #expect(bench.destroy(bench.blocked) == CIOMMU_INVALID_ARGUMENT)
        for domain in [bench.identity, bench.blocked] {
            #expect(bench.tryMap(domain, 0, to: 0, pageBytes) == CIOMMU_INVALID_ARGUMENT)
        }
        #expect(bench.detach(device) == CIOMMU_OK)
        #expect(try place(bench) == nil)
    }

    @Test func resetDetachesEverything() throws {
        let bench = try DomainBench()
        let device = try bench.makeDevice()
        let domain = try makeDomain(bench, to: 0x10_0000)
        let pasids: [UInt32] = [noPASID, 0, 5, 0xfffff]
        for _ in 0..<3 {
            for pasid in pasids { #expect(bench.attach(device, domain, pasid: pasid) == CIOMMU_OK) }
            for pasid in pasids { #expect(try place(bench, pasid: pasid) == 0x10_0000) }
            #expect(bench.statistics(domain).attachments == 4)
            #expect(bench.reset(device) == CIOMMU_OK)
            for pasid in pasids { #expect(try place(bench, pasid: pasid) == nil) }
            #expect(bench.statistics(domain).attachments == 0)
        }
        #expect(bench.reset(device) == CIOMMU_OK)
    }

    @Test func aResetOfTheUnitBlocksAndKeepsMappings() throws {
        let bench = try DomainBench()
        let device = try bench.makeDevice()
        let domain = try makeDomain(bench, to: 0x10_0000)
        #expect(bench.attach(device, domain, pasid: 3) == CIOMMU_OK)
        #expect(try place(bench, pasid: 3) == 0x10_0000)
        #expect(bench.resetUnit() == CIOMMU_OK)
        #expect(try place(bench, pasid: 3) == nil)
        #expect(bench.statistics(domain).attachments == 0)
        #expect(bench.attach(device, domain, pasid: 3) == CIOMMU_OK)
        #expect(try place(bench, pasid: 3) == 0x10_0000)
    }

    /// Without a device the source id is the guest's, whose translation is off here: requests pass unchanged.
    @Test func aSourceIdIsTheGuestsWhenItHasNoDevice() throws {
        let bench = try DomainBench()
        #expect(try place(bench) == iova)
        let device = try bench.makeDevice()
        #expect(try place(bench) == nil)
        #expect(try place(bench, source: 0x43) == iova)
        #expect(bench.attach(device, try makeDomain(bench, to: 0x10_0000)) == CIOMMU_OK)
        #expect(try place(bench) == 0x10_0000)
        #expect(bench.destroy(device) == CIOMMU_OK)
        #expect(try place(bench) == iova)
    }

    @Test func destroyingADeviceLetsGoOfItsDomains() throws {
        let bench = try DomainBench()
        let device = try bench.makeDevice()
        let domain = try makeDomain(bench, to: 0x10_0000)
        #expect(bench.attach(device, domain) == CIOMMU_OK)
        #expect(bench.attach(device, domain, pasid: 7) == CIOMMU_OK)
        #expect(bench.destroy(domain) == CIOMMU_IN_USE)
        #expect(bench.destroy(device) == CIOMMU_OK)
        #expect(bench.statistics(domain).attachments == 0)
        #expect(bench.destroy(domain) == CIOMMU_OK)
        let again = try bench.makeDevice()
        #expect(try place(bench) == nil)
        #expect(bench.destroy(again) == CIOMMU_OK)
    }

    /// CIOMMU_NO_CACHE neither looks into nor fills any cache, also where the host attached.
    @Test func anUncachedRequestUsesNoCache() throws {
        let bench = try DomainBench()
        let device = try bench.makeDevice()
        #expect(bench.attach(device, try makeDomain(bench, to: 0x10_0000)) == CIOMMU_OK)
        for round in 1...5 as ClosedRange<UInt64> {
            #expect(try bench.ask(iova, flags: CIOMMU_NO_CACHE | CIOMMU_NO_FAULT).address == 0x10_0000)
            let statistics = bench.unitStatistics()
            #expect(statistics.walks == round && statistics.iotlb_hits == 0 && statistics.first_level_hits == 0)
        }
        #expect(try bench.ask(iova).address == 0x10_0000)
        #expect(bench.unitStatistics().walks == 6, "an uncached request had filled a cache")
    }

    // MARK: Refusals

    @Test func refusedCallsChangeNothing() throws {
        let bench = try DomainBench()
        let elsewhere = try DomainBench()
        let device = try bench.makeDevice()
        let domain = try makeDomain(bench, to: 0x10_0000)
        let other = try makeDomain(bench, to: 0x20_0000)
        let foreign = try makeDomain(elsewhere, to: 0x30_0000)
        #expect(bench.detach(device) == CIOMMU_NOT_ATTACHED)
        #expect(bench.detach(device, pasid: 9) == CIOMMU_NOT_ATTACHED)
        #expect(bench.replace(device, domain) == CIOMMU_NOT_ATTACHED)
        #expect(bench.replace(device, domain, pasid: 9) == CIOMMU_NOT_ATTACHED)
        #expect(bench.attach(device, foreign) == CIOMMU_OTHER_UNIT)
        #expect(try place(bench) == nil)

        #expect(bench.attach(device, domain) == CIOMMU_OK)
        #expect(bench.attach(device, domain) == CIOMMU_OCCUPIED)
        #expect(bench.attach(device, other) == CIOMMU_OCCUPIED)
        #expect(bench.replace(device, foreign) == CIOMMU_OTHER_UNIT)
        #expect(bench.replace(device, elsewhere.identity) == CIOMMU_OTHER_UNIT)
        #expect(bench.attach(device, domain, pasid: 1 << 20) == CIOMMU_INVALID_ARGUMENT)
        #expect(bench.domain(of: device) == domain)
        #expect(try place(bench) == 0x10_0000)
        #expect(bench.statistics(domain).attachments == 1)
        #expect(bench.statistics(other).attachments == 0)
        #expect(elsewhere.statistics(foreign).attachments == 0)
        #expect(bench.destroy(domain) == CIOMMU_IN_USE)
        #expect(try place(bench) == 0x10_0000)
    }

    @Test func pasidsNeedTheCapability() throws {
        let pasid = UInt64(1) << 40
        let without = try DomainBench { $0.ecap &= ~pasid }
        let plain = try without.makeDevice()
        #expect(without.attach(plain, without.identity, pasid: 1) == CIOMMU_UNSUPPORTED)
        #expect(without.attach(plain, without.identity) == CIOMMU_OK)
        #expect(
            without.tryMakeDevice(source: 1, id: 9, share: CIOMMU_SHARE_SLICE, pasids: 0...3).status
                == CIOMMU_UNSUPPORTED)
        // ECAP.PSS [39:35]: one bit less than the PASID's width.
        let narrow = try DomainBench { $0.ecap = $0.ecap & ~(31 << 35) | 9 << 35 }
        let device = try narrow.makeDevice()
        #expect(narrow.attach(device, narrow.identity, pasid: 1023) == CIOMMU_OK)
        #expect(narrow.attach(device, narrow.identity, pasid: 1024) == CIOMMU_UNSUPPORTED)
        #expect(
            narrow.tryMakeDevice(source: 1, id: 9, share: CIOMMU_SHARE_SLICE, pasids: 1000...1024).status
                == CIOMMU_UNSUPPORTED)
        #expect(try place(narrow, pasid: 1024) == nil)
    }

    // MARK: Shares of a source id

    private func status(
        _ bench: DomainBench, id: UInt64, _ share: ciommu_share, _ pasids: ClosedRange<UInt32> = 0...0,
        _ policy: ciommu_shared_pasid_policy = CIOMMU_SHARED_PASID_REFUSED
    ) -> ciommu_status {
        bench.tryMakeDevice(source: 0x42, id: id, share: share, policy: policy, pasids: pasids).status
    }

    @Test func sharesThatOverlapAreRefused() throws {
        let bench = try DomainBench()
        #expect(status(bench, id: 1, CIOMMU_SHARE_SLICE, 100...199) == CIOMMU_OK)
        #expect(status(bench, id: 2, CIOMMU_SHARE_SLICE, 200...299) == CIOMMU_OK)
        for range in [100...100, 199...199, 0...100, 199...250, 150...160, 0...0xfffff] as [ClosedRange<UInt32>] {
            #expect(status(bench, id: 3, CIOMMU_SHARE_SLICE, range) == CIOMMU_OVERLAP, "\(range)")
        }
        #expect(status(bench, id: 3, CIOMMU_SHARE_WHOLE) == CIOMMU_OVERLAP)
        #expect(status(bench, id: 1, CIOMMU_SHARE_SLICE, 300...400) == CIOMMU_EXISTS)
        #expect(status(bench, id: 3, CIOMMU_SHARE_PARENT) == CIOMMU_OK)
        #expect(status(bench, id: 4, CIOMMU_SHARE_PARENT) == CIOMMU_OVERLAP)
        #expect(status(bench, id: 4, CIOMMU_SHARE_SLICE, 0...99) == CIOMMU_OK)
        #expect(bench.tryMakeDevice(source: 0x43, id: 4).status == CIOMMU_EXISTS)
        #expect(bench.tryMakeDevice(source: 0x43, id: 5).status == CIOMMU_OK)
        #expect(
            bench.tryMakeDevice(source: 0x43, id: 6, share: CIOMMU_SHARE_SLICE, pasids: 1...2).status == CIOMMU_OVERLAP)
        #expect(bench.tryMakeDevice(source: 0x43, id: 6, share: CIOMMU_SHARE_PARENT).status == CIOMMU_OVERLAP)
        #expect(bench.tryMakeDevice(source: 0x1_0000, id: 6).status == CIOMMU_INVALID_ARGUMENT)
    }

    @Test func aSliceOwnsItsPASIDsAndNothingElse() throws {
        let bench = try DomainBench()
        let parent = try bench.makeDevice(id: 1, share: CIOMMU_SHARE_PARENT)
        let slice = try bench.makeDevice(id: 2, share: CIOMMU_SHARE_SLICE, pasids: 100...199)
        let domain = try makeDomain(bench, to: 0x10_0000)
        let other = try makeDomain(bench, to: 0x20_0000)
        for pasid in [noPASID, 99, 200, 0] { #expect(bench.attach(slice, domain, pasid: pasid) == CIOMMU_NOT_OWNED) }
        for pasid in [100, 150, 199] as [UInt32] {
            #expect(bench.attach(parent, other, pasid: pasid) == CIOMMU_NOT_OWNED)
            #expect(bench.attach(slice, domain, pasid: pasid) == CIOMMU_OK)
        }
        for pasid in [noPASID, 99, 200, 0] { #expect(bench.attach(parent, other, pasid: pasid) == CIOMMU_OK) }
        for pasid in [100, 150, 199] as [UInt32] { #expect(try place(bench, pasid: pasid) == 0x10_0000) }
        for pasid in [noPASID, 99, 200, 0] { #expect(try place(bench, pasid: pasid) == 0x20_0000) }
        // A reset of one does nothing to the other.
        #expect(bench.reset(slice) == CIOMMU_OK)
        #expect(try place(bench, pasid: 150) == nil)
        #expect(try place(bench, pasid: 200) == 0x20_0000)
        #expect(bench.reset(parent) == CIOMMU_OK)
        #expect(try place(bench, pasid: 200) == nil)
    }

    /// Two slices may share PASIDs under one policy: then both may attach the same domain, and nobody else.
    @Test(arguments: [CIOMMU_SHARED_PASID_FIRST, CIOMMU_SHARED_PASID_ALL, CIOMMU_SHARED_PASID_PARENT])
    func slicesShareUnderAPolicy(_ policy: ciommu_shared_pasid_policy) throws {
        let bench = try DomainBench()
        let first = try bench.makeDevice(id: 11, share: CIOMMU_SHARE_SLICE, policy: policy, pasids: 10...20)
        let second = try bench.makeDevice(id: 12, share: CIOMMU_SHARE_SLICE, policy: policy, pasids: 15...30)
        #expect(status(bench, id: 13, CIOMMU_SHARE_SLICE, 18...18) == CIOMMU_OVERLAP)
        let another = policy == CIOMMU_SHARED_PASID_ALL ? CIOMMU_SHARED_PASID_FIRST : CIOMMU_SHARED_PASID_ALL
        #expect(status(bench, id: 13, CIOMMU_SHARE_SLICE, 18...18, another) == CIOMMU_OVERLAP)
        let domain = try makeDomain(bench, to: 0x10_0000)
        let other = try makeDomain(bench, to: 0x20_0000)
        #expect(bench.attach(first, domain, pasid: 17) == CIOMMU_OK)
        #expect(bench.attach(second, other, pasid: 17) == CIOMMU_OCCUPIED)
        #expect(bench.attach(second, domain, pasid: 17) == CIOMMU_OK)
        #expect(bench.replace(first, other, pasid: 17) == CIOMMU_OCCUPIED)
        #expect(try place(bench, pasid: 17) == 0x10_0000)
        #expect(bench.domain(of: first, pasid: 17) == domain)
        #expect(bench.domain(of: second, pasid: 17) == domain)
        // The other's attachment holds.
        #expect(bench.detach(first, pasid: 17) == CIOMMU_OK)
        #expect(bench.detach(first, pasid: 17) == CIOMMU_NOT_ATTACHED)
        #expect(bench.domain(of: first, pasid: 17) == nil)
        #expect(try place(bench, pasid: 17) == 0x10_0000)
        #expect(bench.replace(second, other, pasid: 17) == CIOMMU_OK)
        #expect(try place(bench, pasid: 17) == 0x20_0000)
        #expect(bench.destroy(second) == CIOMMU_OK)
        #expect(try place(bench, pasid: 17) == nil)
    }

    // MARK: Attribution

    private func fault(
        _ bench: DomainBench, pasid: UInt32 = noPASID, access: UInt32 = CIOMMU_READ, iova: UInt64? = nil
    ) throws -> FaultRecord {
        let answer = try bench.ask(iova ?? self.iova, access, pasid: pasid, flags: 0)
        #expect(!answer.isMapped)
        let recorded = bench.takeFaults()
        #expect(recorded == [answer.fault])
        return answer.fault
    }

    @Test func aFaultNamesItsDevice() throws {
        let bench = try DomainBench()
        let device = try bench.makeDevice(id: 0xfeed_f00d_dead_beef)
        let blocked = try fault(bench, pasid: 5, access: CIOMMU_WRITE)
        #expect(blocked.source == 0x42 && blocked.pasid == 5 && blocked.access == CIOMMU_WRITE)
        #expect(blocked.address == iova)
        #expect(blocked.reason != CIOMMU_FAULT_NONE.rawValue)
        #expect(blocked.flags & CIOMMU_FAULT_HAS_DEVICE != 0 && blocked.device == 0xfeed_f00d_dead_beef)
        #expect(blocked.flags & CIOMMU_FAULT_RECORDED != 0)
        #expect(blocked.flags & (CIOMMU_FAULT_AMBIGUOUS | CIOMMU_FAULT_UNCLAIMED) == 0)

        let domain = try bench.makePaging()
        try bench.map(domain, iova, to: 0x1000, pageBytes, CIOMMU_READ)
        #expect(bench.attach(device, domain, pasid: 5) == CIOMMU_OK)
        #expect(try bench.ask(iova, pasid: 5).isMapped)
        let denied = try fault(bench, pasid: 5, access: CIOMMU_WRITE)
        #expect(denied.reason == CIOMMU_FAULT_PERMISSION.rawValue)
        #expect(denied.device == 0xfeed_f00d_dead_beef)
        let absent = try fault(bench, pasid: 5, iova: iova + pageBytes)
        #expect(absent.reason == CIOMMU_FAULT_NOT_PRESENT.rawValue)
        #expect(absent.device == 0xfeed_f00d_dead_beef)
        let beyond = try fault(bench, pasid: 5, iova: 1 << 50)
        #expect(beyond.reason == CIOMMU_FAULT_INPUT_ADDRESS.rawValue)
        #expect(beyond.device == 0xfeed_f00d_dead_beef)
    }

    @Test func aFaultOfASliceNamesTheSlice() throws {
        let bench = try DomainBench()
        _ = try bench.makeDevice(id: 2, share: CIOMMU_SHARE_SLICE, pasids: 100...199)
        let orphan = try fault(bench, pasid: 7)
        #expect(orphan.flags & CIOMMU_FAULT_UNCLAIMED != 0 && orphan.flags & CIOMMU_FAULT_HAS_DEVICE == 0)
        let parent = try bench.makeDevice(id: 1, share: CIOMMU_SHARE_PARENT)
        for (pasid, device, unclaimed) in [
            (noPASID, UInt64(1), false), (100, 2, false), (199, 2, false), (99, 1, true), (200, 1, true),
        ] {
            let fault = try fault(bench, pasid: pasid)
            #expect(fault.flags & CIOMMU_FAULT_HAS_DEVICE != 0 && fault.device == device, "pasid \(pasid)")
            #expect((fault.flags & CIOMMU_FAULT_UNCLAIMED != 0) == unclaimed, "pasid \(pasid)")
            let owners = bench.owners(source: 0x42, pasid: pasid)
            #expect(owners.ids == [device] && owners.count == 1, "pasid \(pasid)")
            let wanted = CIOMMU_OWNER_KNOWN_SOURCE | (unclaimed ? CIOMMU_OWNER_UNCLAIMED : 0)
            #expect(owners.flags == wanted, "pasid \(pasid)")
        }
        #expect(bench.destroy(parent) == CIOMMU_OK)
        #expect(bench.owners(source: 0x42).count == 0)
        #expect(bench.owners(source: 0x99).flags == 0)
    }

    @Test func aSharedPASIDIsAttributedAsThePolicySays() throws {
        for (policy, ids) in [
            (CIOMMU_SHARED_PASID_FIRST, [UInt64(12)]), (CIOMMU_SHARED_PASID_ALL, [12, 11]),
            (CIOMMU_SHARED_PASID_PARENT, [1]),
        ] {
            let bench = try DomainBench()
            _ = try bench.makeDevice(id: 1, share: CIOMMU_SHARE_PARENT)
            _ = try bench.makeDevice(id: 12, share: CIOMMU_SHARE_SLICE, policy: policy, pasids: 15...30)
            _ = try bench.makeDevice(id: 11, share: CIOMMU_SHARE_SLICE, policy: policy, pasids: 10...20)
            let owners = bench.owners(source: 0x42, pasid: 17)
            #expect(owners.ids == ids, "\(policy)")
            #expect(owners.flags & CIOMMU_OWNER_AMBIGUOUS != 0, "\(policy)")
            let fault = try fault(bench, pasid: 17)
            #expect(fault.flags & CIOMMU_FAULT_AMBIGUOUS != 0, "\(policy)")
            #expect(fault.flags & CIOMMU_FAULT_HAS_DEVICE != 0 && fault.device == ids[0], "\(policy)")
            #expect(bench.owners(source: 0x42, pasid: 17, capacity: 1).count == ids.count)
            #expect(bench.owners(source: 0x42, pasid: 12).ids == [11])
            #expect(bench.owners(source: 0x42, pasid: 12).flags == CIOMMU_OWNER_KNOWN_SOURCE)
        }
    }
}
