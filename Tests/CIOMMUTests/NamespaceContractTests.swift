// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The contract of PASID namespaces (ciommu_domains.h): ranges, pairs, and when a host PASID may go to another guest PASID.

import CIOMMU
import CIOMMUProbe
import Testing

@Suite(.serialized)
struct NamespaceContractTests {
    // MARK: Ranges

    @Test func aRangeIsWhatTheUnitOffers() {
        let pss = UInt64(0x1f) << 35
        let bench = NamespaceBench(ecap: defaultECAP & ~pss | 15 << 35)
        #expect(bench.creating(0, 0xffff) == CIOMMU_OK)
        #expect(bench.creating(0x1_0000, 0x1_0000) == CIOMMU_UNSUPPORTED)
        #expect(bench.creating(0xffff, 0x1_0000) == CIOMMU_UNSUPPORTED)
        #expect(NamespaceBench(ecap: defaultECAP & ~(1 << 40)).creating(0, 0) == CIOMMU_UNSUPPORTED)
        #expect(NamespaceBench(ecap: defaultECAP | pss).creating(0, lastPASID) == CIOMMU_OK)
    }

    @Test func aRangeIsInclusiveAndWithin20Bits() {
        let bench = NamespaceBench()
        #expect(bench.creating(2, 1) == CIOMMU_INVALID_ARGUMENT)
        #expect(bench.creating(0, lastPASID + 1) == CIOMMU_INVALID_ARGUMENT)
        #expect(bench.creating(noPASID, noPASID) == CIOMMU_INVALID_ARGUMENT)
        #expect(bench.creating(lastPASID, lastPASID) == CIOMMU_OK)
    }

    @Test func rangesOfOneUnitAreDisjoint() throws {
        let bench = NamespaceBench()
        #expect(bench.creating(100, 199) == CIOMMU_OK)
        for (first, last) in [(0, 100), (199, 199), (150, 160), (0, 1000), (100, 199)] as [(UInt32, UInt32)] {
            #expect(bench.creating(first, last) == CIOMMU_OVERLAP)
        }
        #expect(bench.creating(0, 99) == CIOMMU_OK)
        #expect(bench.creating(200, lastPASID) == CIOMMU_OK)
        #expect(NamespaceBench().creating(100, 199) == CIOMMU_OK)
    }

    @Test func aDestroyedNamespaceGivesItsRangeBack() {
        let bench = NamespaceBench()
        for _ in 0..<3 {
            var handle: OpaquePointer?
            unsafe #expect(ciommu_namespace_create(bench.unit, 5, 9, &handle) == CIOMMU_OK)
            var host = noPASID
            unsafe #expect(ciommu_namespace_bind(handle, 1, &host) == CIOMMU_OK)
            unsafe ciommu_namespace_destroy(handle)
        }
        ciommu_namespace_destroy(nil)
        #expect(bench.creating(0, lastPASID) == CIOMMU_OK)
    }

    // MARK: Pairs

    @Test func aPairIsFoundFromBothSides() throws {
        let bench = NamespaceBench()
        let space = try bench.create(0, 3).get()
        #expect(space.bind(0, to: 0) == (CIOMMU_OK, 0))
        #expect(space.bind(lastPASID) == (CIOMMU_OK, 1))
        #expect(space.host(of: 0) == 0)
        #expect(space.guest(of: 0) == 0)
        #expect(space.host(of: lastPASID) == 1)
        #expect(space.guest(of: 1) == lastPASID)
        #expect(space.guests == [0, lastPASID])
        for other in [1, lastPASID - 1, lastPASID + 1, noPASID] {
            #expect(space.host(of: other) == noPASID)
        }
        for other in [2, 3, 4, lastPASID, noPASID] {
            #expect(space.guest(of: other) == noPASID)
        }
        #expect(space.unbind(0) == CIOMMU_OK)
        #expect(space.host(of: 0) == noPASID)
        #expect(space.guest(of: 0) == noPASID)
        #expect(space.guests == [lastPASID])
    }

    @Test func bindRefusesWhatIsTakenOrForeign() throws {
        let bench = NamespaceBench()
        let space = try bench.create(10, 11).get()
        #expect(space.bind(1, to: 9).status == CIOMMU_NOT_OWNED)
        #expect(space.bind(1, to: 12).status == CIOMMU_NOT_OWNED)
        #expect(space.bind(1, to: lastPASID + 1).status == CIOMMU_INVALID_ARGUMENT)
        #expect(space.bind(lastPASID + 1).status == CIOMMU_INVALID_ARGUMENT)
        #expect(space.bind(noPASID).status == CIOMMU_INVALID_ARGUMENT)
        #expect(space.bind(1, to: 11) == (CIOMMU_OK, 11))
        #expect(space.bind(2, to: 11).status == CIOMMU_OCCUPIED)
        #expect(space.bind(1, to: 10).status == CIOMMU_OCCUPIED)
        #expect(space.bind(1).status == CIOMMU_OCCUPIED)
        #expect(space.bind(2) == (CIOMMU_OK, 10))
        #expect(space.bind(3).status == CIOMMU_NO_SPACE)
        #expect(space.bind(2).status == CIOMMU_OCCUPIED)
        #expect(space.guests == [1, 2])
    }

    @Test func nothingIsDoneWithoutPointers() throws {
        let bench = NamespaceBench()
        let space = try bench.create(10, 11).get()
        var handle: OpaquePointer?
        var host = noPASID
        unsafe #expect(ciommu_namespace_create(nil, 0, 1, &handle) == CIOMMU_INVALID_ARGUMENT)
        unsafe #expect(ciommu_namespace_create(bench.unit, 0, 1, nil) == CIOMMU_INVALID_ARGUMENT)
        unsafe #expect(ciommu_namespace_bind(nil, 0, &host) == CIOMMU_INVALID_ARGUMENT)
        unsafe #expect(ciommu_namespace_bind(space.handle, 0, nil) == CIOMMU_INVALID_ARGUMENT)
        #expect(ciommu_namespace_unbind(nil, nil, 0) == CIOMMU_INVALID_ARGUMENT)
        #expect(ciommu_namespace_host(nil, 0) == noPASID)
        #expect(ciommu_namespace_guest(nil, 0) == noPASID)
        #expect(ciommu_namespace_next(nil, 0) == noPASID)
        unsafe #expect(handle == nil)
        #expect(space.guests.isEmpty)
    }

    @Test func everyHostPASIDIsGivenOnce() throws {
        let bench = NamespaceBench()
        let count: UInt32 = 70_000
        let space = try bench.create(1_000, 1_000 + count - 1).get()
        var hosts = Set<UInt32>()
        for guest in 0..<count {
            let (status, host) = space.bind(guest)
            guard status == CIOMMU_OK else {
                Issue.record("guest \(guest): \(status.rawValue)")
                return
            }
            hosts.insert(host)
        }
        #expect(hosts == Set(1_000..<1_000 + count))
        #expect(space.bind(count).status == CIOMMU_NO_SPACE)
        for guest in [count - 1, 0, 4_095, 4_096, 65_535] {
            let host = space.host(of: guest)
            #expect(space.unbind(guest) == CIOMMU_OK)
            #expect(space.bind(guest) == (CIOMMU_OK, host))
        }
    }

    @Test func whatWasGivenBackLastComesLast() throws {
        let bench = NamespaceBench()
        let space = try bench.create(1, 4).get()
        #expect(space.bind(50).host == 1)
        #expect(space.unbind(50) == CIOMMU_OK)
        #expect((51...54).map { space.bind($0).host } == [2, 3, 4, 1])
    }

    // MARK: Sections

    @Test func unbindIsRefusedInsideTheCallersSection() throws {
        let bench = NamespaceBench()
        let space = try bench.create(1, 4).get()
        #expect(space.bind(7, to: 2).status == CIOMMU_OK)
        bench.port.enter()
        #expect(space.unbind(7, port: bench.port) == CIOMMU_IN_SECTION)
        #expect(space.host(of: 7) == 2)
        bench.port.leave()
        let stranger = NamespaceBench()
        #expect(space.unbind(7, port: stranger.port) == CIOMMU_INVALID_ARGUMENT)
        #expect(stranger.drain() == CIOMMU_OK)
        #expect(space.unbind(lastPASID + 1) == CIOMMU_INVALID_ARGUMENT)
        #expect(space.unbind(8, port: bench.port) == CIOMMU_NOT_FOUND)
        #expect(space.host(of: 7) == 2)
        #expect(space.unbind(7, port: bench.port) == CIOMMU_OK)
        #expect(space.unbind(7, port: bench.port) == CIOMMU_NOT_FOUND)
    }

    /// Both ways of the wait: the section saw the ugen just before unbind moved it, and the section is the port's first.
    @Test(arguments: [false, true])
    func aHostPASIDWaitsForTheSectionsThatFoundIt(hasEnteredBefore: Bool) throws {
        let bench = NamespaceBench()
        let space = try bench.create(1, 1).get()
        #expect(space.bind(7).host == 1)
        if hasEnteredBefore {
            #expect(bench.drain() == CIOMMU_OK)
            bench.port.enter()
            bench.port.leave()
        }
        bench.port.enter()
        #expect(space.host(of: 7) == 1)
        #expect(space.unbind(7, port: bench.idlePort) == CIOMMU_TIMED_OUT)
        #expect(space.host(of: 7) == noPASID)
        #expect(space.guest(of: 1) == noPASID)
        #expect(space.unbind(7, port: bench.idlePort) == CIOMMU_NOT_FOUND)
        #expect(space.bind(8, to: 1).status == CIOMMU_OCCUPIED)
        #expect(space.bind(8).status == CIOMMU_NO_SPACE)
        #expect(space.guest(of: 1) == noPASID)
        bench.port.leave()
        #expect(space.bind(8, to: 1) == (CIOMMU_OK, 1))
        #expect(space.guest(of: 1) == 8)
    }

    /// The guest PASID itself is free at once.
    @Test func aGuestPASIDIsReboundWhileItsOldHostPASIDWaits() throws {
        let bench = NamespaceBench()
        let space = try bench.create(1, 2).get()
        #expect(space.bind(7).host == 1)
        bench.port.enter()
        #expect(space.unbind(7, port: bench.idlePort) == CIOMMU_TIMED_OUT)
        #expect(space.bind(7, to: 1).status == CIOMMU_OCCUPIED)
        #expect(space.bind(7).host == 2)
        bench.port.leave()
        #expect(space.bind(8).host == 1)
    }

    @Test func laterSectionsHoldNothingBack() throws {
        let bench = NamespaceBench()
        let space = try bench.create(1, 1).get()
        #expect(space.bind(7).host == 1)
        bench.port.enter()
        #expect(space.unbind(7, port: bench.idlePort) == CIOMMU_TIMED_OUT)
        bench.otherPort.enter()
        #expect(space.bind(8).status == CIOMMU_NO_SPACE)
        bench.port.leave()
        bench.port.enter()
        #expect(space.bind(8).host == 1)
        bench.port.leave()
        bench.otherPort.leave()
    }

    @Test func eachHostPASIDWaitsForItsOwnSections() throws {
        let bench = NamespaceBench()
        let space = try bench.create(1, 2).get()
        #expect(space.bind(7).host == 1)
        #expect(space.bind(8).host == 2)
        bench.port.enter()
        #expect(space.unbind(7, port: bench.idlePort) == CIOMMU_TIMED_OUT)
        bench.otherPort.enter()
        #expect(space.unbind(8, port: bench.idlePort) == CIOMMU_TIMED_OUT)
        bench.port.leave()
        #expect(space.bind(9, to: 2).status == CIOMMU_OCCUPIED)
        #expect(space.bind(9, to: 1).status == CIOMMU_OK)
        bench.otherPort.leave()
        #expect(space.bind(10, to: 2).status == CIOMMU_OK)
    }

    @Test func aBoundPairAnswersInsideSectionsToo() throws {
        let bench = NamespaceBench()
        let space = try bench.create(1, 2).get()
        bench.port.enter()
        #expect(space.bind(7).host == 1)
        #expect(space.host(of: 7) == 1)
        bench.port.leave()
    }

    // MARK: Beside arrays, and without memory

    @Test(arguments: [(0, 0), (5, 67), (0, 63), (64, 128), (1, 1_000), (0, lastPASID)] as [(UInt32, UInt32)])
    func aNamespaceAnswersLikeTwoArrays(first: UInt32, last: UInt32) {
        let seed = testSeed()
        #expect(probe_namespace_errors(seed, first, last, 40_000) == 0, "seed \(seed)")
    }

    @Test(.enabled(if: probe_has_mutants()))
    func everyAllocationMayFail() {
        var lives: UInt32 = 0
        let errors = unsafe probe_namespace_failure_errors(&lives)
        #expect(errors == 0)
        #expect(lives > 10 && lives < 1000)
    }
}

/// ECAP of a unit that offers everything.
private let defaultECAP: UInt64 = {
    var config = ciommu_unit_config()
    unsafe ciommu_unit_config_init(&config)
    return config.ecap
}()
