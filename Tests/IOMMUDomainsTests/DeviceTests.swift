// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Devices: making, attaching, replacing, detaching, and every way in which that is refused.

import IOMMU
import IOMMUTestSupport
import Testing

@Suite struct DeviceTests {
    // MARK: Life

    @Test func aDeviceIsBlockedUntilSomethingIsAttached() throws {
        let bench = try HostBench()
        #expect(try bench.passes(), "translation is off")
        do {
            let device = try bench.device(7)
            #expect(try bench.fault()?.device == 7)
            try device.attach(bench.unit.identityDomain)
            #expect(try bench.passes())
            #expect(try bench.passes(source: HostBench.otherSource))
            try device.detach()
            #expect(try bench.fault()?.device == 7)
        }
        #expect(try bench.passes(), "the source id is the guest's again")
    }

    @Test func aDeviceIsTheHostsWhateverTheGuestsTablesSay() throws {
        let image = GuestImage()
        let tables = TableBuilder(image, isScalable: false)
        for source: UInt16 in [0x0110, 0x0325] {
            var context = LegacyContext()
            context.translationType = 2
            tables.setContext(source, context)
        }
        let bench = try HostBench(image)
        try bench.unit.setRootTable(tables.rootRegister)
        try bench.unit.setTranslation(enabled: true)
        #expect(try bench.passes())
        let device = try bench.device(1)
        #expect(try bench.fault() != nil)
        #expect(try bench.passes(source: HostBench.otherSource), "the guest's own source goes on")
        try device.attach(bench.unit.identityDomain)
        #expect(try bench.passes())
        try bench.unit.setTranslation(enabled: false)
        try device.replace(with: bench.unit.blockedDomain)
        #expect(try bench.fault() != nil, "translation is on for a host's device, whatever GCMD.TE says")
    }

    @Test func whatIsSaidAtTheMakingCanBeRead() throws {
        let bench = try HostBench()
        let device = try bench.device(3, .slice(16, 31, .all))
        #expect(device.id == 3)
        #expect(device.sourceID == HostBench.source)
        #expect(device.share == .slice(16, 31, .all))
        #expect(device.share.pasids == pasids(16, 31))
        #expect(device.unit === bench.unit)
        #expect(device.attachments.isEmpty)
        #expect(device.boundTable == nil)
    }

    @Test func theUnitsOwnDomainsAreTheSameObjects() throws {
        let bench = try HostBench()
        let identity = bench.unit.identityDomain
        let blocked = bench.unit.blockedDomain
        #expect(bench.unit.identityDomain === identity)
        #expect(bench.unit.blockedDomain === blocked)
        #expect(identity.kind == .identity && blocked.kind == .blocked)
        #expect(identity.unit === bench.unit)
    }

    // MARK: Attaching

    @Test func eachPASIDHasADomainOfItsOwn() throws {
        let bench = try HostBench()
        let device = try bench.device(1)
        let identity = bench.unit.identityDomain
        let blocked = bench.unit.blockedDomain
        try device.attach(blocked)
        try device.attach(identity, to: pasid(17))
        try device.attach(identity, to: pasid(5))
        #expect(try bench.fault() != nil)
        #expect(try bench.passes(pasid: pasid(17)))
        #expect(try bench.passes(pasid: pasid(5)))
        #expect(try bench.fault(pasid: pasid(6)) != nil)
        #expect(device.attachments.map(\.pasid) == [nil, pasid(5), pasid(17)])
        #expect(device.domain(at: nil) === blocked)
        #expect(device.domain(at: pasid(17)) === identity)
        #expect(device.domain(at: pasid(6)) == nil)
        try device.detach(from: pasid(17))
        #expect(try bench.fault(pasid: pasid(17)) != nil)
        #expect(try bench.passes(pasid: pasid(5)))
        #expect(device.attachments.map(\.pasid) == [nil, pasid(5)])
    }

    @Test func aReplacedDomainIsNotUsedAnyMore() throws {
        let bench = try HostBench()
        let device = try bench.device(1)
        try device.attach(bench.unit.identityDomain, to: pasid(1))
        #expect(try bench.passes(pasid: pasid(1)))
        try device.replace(with: bench.unit.blockedDomain, at: pasid(1))
        #expect(try bench.fault(pasid: pasid(1)) != nil)
        try device.replace(with: bench.unit.identityDomain, at: pasid(1))
        #expect(try bench.passes(pasid: pasid(1)))
        try device.replace(with: bench.unit.identityDomain, at: pasid(1))
        #expect(try bench.passes(pasid: pasid(1)), "a domain may replace itself")
    }

    /// All ones are no source id, and must not be found where a port keeps nothing, or has forgotten what it kept.
    @Test(arguments: [0x0011, 0x0022, 0x1234]) func allOnesAreNobody(source: UInt32) throws {
        let bench = try HostBench()
        #expect(throws: IOMMUError.invalidArgument) {
            try bench.port.translate(0x5000, access: .read, source: SourceID(.max))
        }
        let domain = try bench.plainDomain()
        try bench.map(domain, 0x5000, length: 0x1000, to: 0x8000)
        let device = try bench.device(1, at: SourceID(source))
        try device.attach(domain)
        #expect(try bench.port.translate(0x5000, access: .read, source: SourceID(source)).translation != nil)
        try device.detach()
        #expect(try bench.port.translate(0x5000, access: .read, source: SourceID(source)).translation == nil)
        #expect(throws: IOMMUError.invalidArgument) {
            try bench.port.translate(0x5000, access: .read, source: SourceID(.max))
        }
    }

    @Test func anAttachedDomainStaysAlive() throws {
        let bench = try HostBench()
        let device = try bench.device(1)
        weak var first: PagingDomain?
        weak var second: PagingDomain?
        do {
            let domain = try bench.parent()
            first = domain
            try device.attach(domain)
        }
        #expect(first != nil)
        do {
            let domain = try bench.parent()
            second = domain
            try device.replace(with: domain)
        }
        #expect(first == nil)
        #expect(second != nil)
        try device.detach()
        #expect(second == nil)
    }

    @Test func aDeviceThatGoesLetsItsDomainsGo() throws {
        let bench = try HostBench()
        weak var kept: PagingDomain?
        do {
            let device = try bench.device(1)
            let domain = try bench.parent()
            kept = domain
            for number: UInt32 in 0..<100 { try device.attach(domain, to: pasid(number)) }
        }
        #expect(kept == nil)
        #expect(try bench.device(1).attachments.isEmpty, "id and source id are free again")
    }

    // MARK: Reset

    @Test func aResetDropsWhatTheDeviceOwnsAndNothingElse() throws {
        let bench = try HostBench()
        let first = try bench.device(1, .slice(0, 15))
        let second = try bench.device(2, .slice(16, 31))
        let third = try bench.device(3, at: HostBench.otherSource)
        let domain = bench.unit.identityDomain
        try first.attach(domain, to: pasid(1))
        try first.attach(domain, to: pasid(15))
        try second.attach(domain, to: pasid(16))
        try third.attach(domain)
        try first.reset()
        #expect(first.attachments.isEmpty)
        #expect(try bench.fault(pasid: pasid(1)) != nil)
        #expect(try bench.fault(pasid: pasid(15)) != nil)
        #expect(try bench.passes(pasid: pasid(16)))
        #expect(try bench.passes(source: HostBench.otherSource))
        #expect(second.attachments.count == 1)
        try first.attach(domain, to: pasid(1))
        #expect(try bench.passes(pasid: pasid(1)))
        try first.reset()
        try first.reset()
    }

    @Test func aUnitResetDetachesEverythingAndKeepsDevicesAndDomains() throws {
        let bench = try HostBench()
        let attached = try bench.device(1, .slice(0, 15))
        let bound = try bench.device(2, at: HostBench.otherSource)
        let domain = try bench.parent()
        try attached.attach(domain, to: pasid(1))
        try bound.bind(PASIDTable(address: OutputAddress(bench.image.allocatePage())))
        try bench.unit.setTranslation(enabled: true)
        try bench.unit.reset()
        #expect(attached.attachments.isEmpty)
        #expect(attached.domain(at: pasid(1)) == nil)
        #expect(bound.boundTable == nil)
        #expect(try bench.fault(pasid: pasid(1))?.device == 1)
        #expect(try bench.fault(source: HostBench.otherSource)?.device == 2)
        #expect(try bench.passes(source: SourceID(0x42)), "translation is off")
        try attached.attach(domain, to: pasid(1))
        try bound.attach(bench.unit.identityDomain)
        #expect(try bench.passes(source: HostBench.otherSource))
    }

    // MARK: Many

    @Test func fourThousandDevicesShareOneSourceID() throws {
        let bench = try HostBench()
        let identity = bench.unit.identityDomain
        var devices: [Device] = []
        for index: UInt32 in 0..<4096 {
            devices.append(try bench.device(DeviceID(UInt64(index)), .slice(256 * index, 256 * index + 255)))
        }
        for (index, device) in devices.enumerated() where index % 3 != 0 {
            try device.attach(identity, to: pasid(UInt32(256 * index + 7)))
        }
        for index: UInt32 in 0..<4096 {
            let own = pasid(256 * index + 7)
            if index % 3 == 0 {
                #expect(try bench.fault(pasid: own)?.device == DeviceID(UInt64(index)))
            } else {
                #expect(try bench.passes(pasid: own))
            }
            #expect(try bench.fault(pasid: pasid(256 * index + 8))?.device == DeviceID(UInt64(index)))
        }
        #expect(throws: IOMMUError.overlap) { try bench.device(5000, .slice(77, 78)) }
        devices.removeAll { $0.id.rawValue % 2 == 0 }
        #expect(try bench.unit.owners(of: HostBench.source, pasid: pasid(256 * 100)).devices == [])
        #expect(try bench.unit.owners(of: HostBench.source, pasid: pasid(256 * 101)).devices == [101])
        #expect(try bench.passes(pasid: pasid(256 * 101 + 7)))
    }
}
