// SPDX-License-Identifier: LGPL-2.1-or-later
//
// To whom a (source id, PASID) and its faults belong: slices, the parent, policies for shared PASIDs.

import IOMMU
import IOMMUTestSupport
import Testing

@Suite struct AttributionTests {
    /// Expects that owners and a fault of a request say the same.
    private func expect(
        _ bench: HostBench, source: SourceID = HostBench.source, pasid: PASID?, is expected: Attribution,
        sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        #expect(try bench.unit.owners(of: source, pasid: pasid) == expected, sourceLocation: sourceLocation)
        let fault = try #require(
            try bench.fault(0xdead_0000, source: source, pasid: pasid), sourceLocation: sourceLocation)
        #expect(fault.device == expected.devices.first, sourceLocation: sourceLocation)
        #expect(fault.isAmbiguous == expected.isAmbiguous, sourceLocation: sourceLocation)
        #expect(fault.isUnclaimed == expected.isUnclaimed, sourceLocation: sourceLocation)
        // The same through the ring.
        let recorded = try #require(bench.port.takeFaults().faults.last, sourceLocation: sourceLocation)
        #expect(recorded.isRecorded, sourceLocation: sourceLocation)
        #expect(recorded.device == fault.device, sourceLocation: sourceLocation)
        #expect(recorded.isAmbiguous == fault.isAmbiguous, sourceLocation: sourceLocation)
        #expect(recorded.isUnclaimed == fault.isUnclaimed, sourceLocation: sourceLocation)
    }

    private func one(_ id: DeviceID) -> Attribution {
        Attribution(devices: [id], isKnown: true)
    }

    @Test func aSourceWithoutDevicesIsTheGuests() throws {
        let bench = try HostBench()
        #expect(try bench.unit.owners(of: HostBench.source) == Attribution())
        #expect(try bench.unit.owners(of: HostBench.source, pasid: pasid(3)) == Attribution())
        #expect(throws: IOMMUError.invalidArgument) { try bench.unit.owners(of: SourceID(0x1_0000)) }
        try bench.unit.setRootTable(0)
        try bench.unit.setTranslation(enabled: true)
        let fault = try #require(try bench.fault())
        #expect(fault.device == nil && !fault.isAmbiguous && !fault.isUnclaimed)
    }

    @Test func aWholeDeviceOwnsEveryPASID() throws {
        let bench = try HostBench()
        let device = try bench.device(DeviceID(.max))
        for pasid in [nil, pasid(0), pasid(0xfffff)] {
            try expect(bench, pasid: pasid, is: one(DeviceID(.max)))
        }
        #expect(device.id == DeviceID(.max))
    }

    @Test func eachSliceOwnsItsPASIDsAndTheParentTheRest() throws {
        let bench = try HostBench()
        let low = try bench.device(0, .slice(16, 31))
        let high = try bench.device(12, .slice(32, 0xfffff))
        try expect(bench, pasid: pasid(16), is: one(0))
        try expect(bench, pasid: pasid(31), is: one(0))
        try expect(bench, pasid: pasid(32), is: one(12))
        try expect(bench, pasid: pasid(0xfffff), is: one(12))
        try expect(bench, pasid: pasid(15), is: Attribution(isUnclaimed: true, isKnown: true))
        try expect(bench, pasid: nil, is: Attribution(isKnown: true))
        var parent: Device? = try bench.device(7, .parent)
        try expect(bench, pasid: pasid(15), is: Attribution(devices: [7], isUnclaimed: true, isKnown: true))
        try expect(bench, pasid: nil, is: one(7))
        try expect(bench, pasid: pasid(16), is: one(0))
        #expect(parent != nil)
        parent = nil
        try expect(bench, pasid: nil, is: Attribution(isKnown: true))
        #expect(low.id < high.id)
    }

    @Test func faultsOfAttachedDomainsNameTheDevice() throws {
        let bench = try HostBench()
        let low = try bench.device(1, .slice(16, 31))
        let high = try bench.device(2, .slice(32, 47))
        let domain = try bench.parent()
        try bench.map(domain, 0x1000, length: 4096, to: 0x5000)
        try low.attach(domain, to: pasid(20))
        try high.attach(domain, to: pasid(40))
        for _ in 0..<2 {
            #expect(try bench.output(pasid: pasid(20)) == 0x5000)
            #expect(try bench.output(pasid: pasid(40)) == 0x5000)
        }
        try expect(bench, pasid: pasid(20), is: one(1))
        try expect(bench, pasid: pasid(40), is: one(2))
        try expect(bench, pasid: pasid(21), is: one(1))
    }

    @Test func aSharedPASIDIsAttributedByItsPolicy() throws {
        let shared = pasid(20)
        let both: [(Device.SharedPASIDPolicy, Attribution)] = [
            (.firstMatching, Attribution(devices: [9], isAmbiguous: true, isKnown: true)),
            (.all, Attribution(devices: [9, 4], isAmbiguous: true, isKnown: true)),
            (.parent, Attribution(devices: [6], isAmbiguous: true, isKnown: true)),
        ]
        for (policy, expected) in both {
            let bench = try HostBench()
            let older = try bench.device(9, .slice(16, 24, policy))
            let younger = try bench.device(4, .slice(20, 31, policy))
            let parent = try bench.device(6, .parent)
            let domain = try bench.parent()
            try expect(bench, pasid: shared, is: expected)
            try expect(bench, pasid: pasid(19), is: one(9))
            try expect(bench, pasid: pasid(25), is: one(4))
            // Who attached it is known to use it.
            try younger.attach(domain, to: shared)
            try expect(bench, pasid: shared, is: one(4))
            try older.attach(domain, to: shared)
            try expect(bench, pasid: shared, is: expected)
            #expect(older.domain(at: shared) === domain && younger.domain(at: shared) === domain)
            try younger.detach(from: shared)
            try expect(bench, pasid: shared, is: one(9))
            #expect(older.domain(at: shared) === domain && younger.domain(at: shared) == nil)
            #expect(parent.attachments.isEmpty)
        }
    }

    @Test func theParentPolicyWithoutAParentNamesNobody() throws {
        let bench = try HostBench()
        let devices = try [1, 2].map { try bench.device(DeviceID($0), .slice(0, 9, .parent)) }
        try expect(bench, pasid: pasid(5), is: Attribution(isAmbiguous: true, isKnown: true))
        #expect(devices.count == 2)
    }

    @Test func manyDevicesMayShareAPASID() throws {
        let bench = try HostBench()
        let ids = (0..<100).map { DeviceID(UInt64(1000 - $0)) }
        var devices = try ids.map { try bench.device($0, .slice(7, 7, .all)) }
        try expect(
            bench, pasid: pasid(7), is: Attribution(devices: ids, isAmbiguous: true, isKnown: true))
        devices.removeSubrange(20...)
        try expect(
            bench, pasid: pasid(7), is: Attribution(devices: Array(ids[..<20]), isAmbiguous: true, isKnown: true))
        devices.removeSubrange(1...)
        try expect(bench, pasid: pasid(7), is: one(ids[0]))
    }

    @Test func onASharedPASIDOneDomainIsSharedAndNoOtherAllowed() throws {
        let bench = try HostBench()
        let first = try bench.device(1, .slice(0, 9, .all))
        let second = try bench.device(2, .slice(5, 15, .all))
        let domain = try bench.parent()
        let shared = pasid(6)
        try first.attach(domain, to: shared)
        try expectRefusal(.occupied, of: second, in: bench) { try second.attach(bench.unit.identityDomain, to: shared) }
        try expectRefusal(.occupied, of: first, in: bench) { try first.attach(domain, to: shared) }
        try expectRefusal(.notAttached, of: second, in: bench) { try second.detach(from: shared) }
        try second.attach(domain, to: shared)
        try expectRefusal(.occupied, of: second, in: bench) {
            try second.replace(with: bench.unit.identityDomain, at: shared)
        }
        try first.detach(from: shared)
        try second.replace(with: bench.unit.identityDomain, at: shared)
        #expect(try bench.passes(pasid: shared))
        try second.reset()
        #expect(try bench.fault(pasid: shared) != nil)
    }

    /// Slices at random under one policy, against a list.
    @Test func attributionFollowsSlicesThatComeAndGo() throws {
        var generator = SeededGenerator.forTest()
        let bench = try HostBench()
        var devices: [Device] = []
        var next: UInt64 = 1
        for step in 0..<300 {
            let note = Comment(rawValue: "step \(step), IOMMU_TEST_SEED=\(generator.seed)")
            if devices.count > 12 || !devices.isEmpty && generator.oneIn(3) {
                devices.remove(at: generator.below(devices.count))
            } else {
                let first = UInt32(generator.below(600))
                let last = first + UInt32(generator.below(generator.oneIn(4) ? 400 : 20))
                devices.append(try bench.device(DeviceID(next), .slice(first, last, .all)))
                next += 1
            }
            for _ in 0..<20 {
                let asked = pasid(UInt32(generator.below(1024)))
                let owners = devices.filter { $0.share.pasids?.contains(asked) == true }.map(\.id)
                let expected = Attribution(
                    devices: owners, isAmbiguous: owners.count > 1, isUnclaimed: owners.isEmpty && !devices.isEmpty,
                    isKnown: !devices.isEmpty)
                #expect(try bench.unit.owners(of: HostBench.source, pasid: asked) == expected, note)
            }
        }
    }
}
