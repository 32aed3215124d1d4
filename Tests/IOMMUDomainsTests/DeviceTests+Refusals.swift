// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Every way in which a device refuses, each proving that nothing changed.

import IOMMU
import IOMMUTestSupport
import Testing

extension DeviceTests {
    /// What meets what on one source id.
    static let overlaps: [(Device.Share, Device.Share)] = [
        (.whole, .whole), (.whole, .parent), (.whole, .slice(0, 15)), (.parent, .whole), (.slice(0, 15), .whole),
        (.parent, .parent), (.slice(0, 15), .slice(15, 20)), (.slice(0, 15), .slice(0, 15)),
        (.slice(4, 15), .slice(0, 4)), (.slice(0, 100), .slice(50, 50)),
        (.slice(0, 15, .all), .slice(15, 20)), (.slice(0, 15), .slice(15, 20, .all)),
        (.slice(0, 15, .all), .slice(15, 20, .firstMatching)), (.slice(0, 15, .parent), .slice(15, 20, .all)),
    ]

    @Test(arguments: overlaps)
    func sharesThatMeetAreRefused(_ shares: (Device.Share, Device.Share)) throws {
        let bench = try HostBench()
        let device = try bench.device(1, shares.0)
        let owned = shares.0.pasids?.lowerBound
        try device.attach(bench.unit.identityDomain, to: owned)
        try expectRefusal(.overlap, of: device, in: bench) { _ = try bench.device(2, shares.1) }
        #expect(try bench.unit.owners(of: HostBench.source, pasid: owned).devices == [1])
        _ = try bench.device(2, at: HostBench.otherSource, shares.1)
    }

    @Test func sharesThatDoNotMeetStandSideBySide() throws {
        let bench = try HostBench()
        let devices = [
            try bench.device(1, .slice(0, 15)), try bench.device(2, .parent), try bench.device(3, .slice(16, 16)),
            try bench.device(4, .slice(17, 0xfffff)), try bench.device(5, at: HostBench.otherSource, .whole),
        ]
        #expect(devices.count == 5)
    }

    @Test func anIDIsUniqueInAUnit() throws {
        let bench = try HostBench()
        let other = try HostBench()
        let device = try bench.device(1)
        try expectRefusal(.exists, of: device, in: bench) { _ = try bench.device(1, at: HostBench.otherSource) }
        #expect(try bench.passes(source: HostBench.otherSource), "that source id stays the guest's")
        _ = try other.device(1)
        _ = try bench.device(DeviceID(.max), at: HostBench.otherSource)
    }

    @Test func aDeviceNeedsASourceIDOfSixteenBits() throws {
        let bench = try HostBench()
        #expect(throws: IOMMUError.invalidArgument) { try bench.device(1, at: SourceID(0x1_0000)) }
        _ = try bench.device(1, at: SourceID(0xffff))
    }

    @Test func slicesNeedPASIDsOfTheUnit() throws {
        let none = try HostBench(capabilities: Capabilities(basedOn: .full) { $0.pasids = false })
        #expect(throws: IOMMUError.unsupported) { try none.device(1, .slice(0, 0)) }
        let plain = try none.device(1)
        try expectRefusal(.unsupported, of: plain, in: none) {
            try plain.attach(none.unit.identityDomain, to: pasid(0))
        }
        try plain.attach(none.unit.identityDomain)
        #expect(try none.passes())

        let few = try HostBench(capabilities: Capabilities(basedOn: .full) { $0.pasidBits = 8 })
        #expect(throws: IOMMUError.unsupported) { try few.device(1, .slice(0, 256)) }
        #expect(throws: IOMMUError.unsupported) { try few.device(1, .slice(256, 257)) }
        let slice = try few.device(1, .slice(0, 255))
        try slice.attach(few.unit.identityDomain, to: pasid(255))
        let whole = try few.device(2, at: HostBench.otherSource)
        try expectRefusal(.unsupported, of: whole, in: few) {
            try whole.attach(few.unit.identityDomain, to: pasid(256))
        }
    }

    @Test func aUnitMayOfferMorePASIDBitsThanAPASIDHas() throws {
        let bench = try HostBench(capabilities: Capabilities(basedOn: .full) { $0.pasidBits = 32 })
        let slice = try bench.device(1, .slice(1, 0xfffff))
        try slice.attach(bench.unit.identityDomain, to: pasid(0xfffff))
        #expect(try bench.passes(pasid: pasid(0xfffff)))
    }

    @Test func aSliceIsNotTakenFromAParentThatUsesIt() throws {
        let bench = try HostBench()
        let parent = try bench.device(1, .parent)
        try parent.attach(bench.unit.identityDomain, to: pasid(16))
        try expectRefusal(.inUse, of: parent, in: bench) { _ = try bench.device(2, .slice(10, 20)) }
        try parent.detach(from: pasid(16))
        _ = try bench.device(2, .slice(10, 20))
    }

    @Test func whatIsOccupiedStays() throws {
        let bench = try HostBench()
        let device = try bench.device(1)
        try device.attach(bench.unit.identityDomain)
        try device.attach(bench.unit.identityDomain, to: pasid(16))
        for pasid in [nil, pasid(16)] {
            try expectRefusal(.occupied, of: device, in: bench) {
                try device.attach(bench.unit.blockedDomain, to: pasid)
            }
            try expectRefusal(.occupied, of: device, in: bench) {
                try device.attach(bench.unit.identityDomain, to: pasid)
            }
        }
    }

    @Test func whatIsNotThereCannotBeReplacedOrDetached() throws {
        let bench = try HostBench()
        let device = try bench.device(1)
        try device.attach(bench.unit.identityDomain, to: pasid(16))
        for pasid in [nil, pasid(17)] {
            try expectRefusal(.notAttached, of: device, in: bench) {
                try device.replace(with: bench.unit.identityDomain, at: pasid)
            }
            try expectRefusal(.notAttached, of: device, in: bench) { try device.detach(from: pasid) }
        }
        try expectRefusal(.notAttached, of: device, in: bench) { try device.unbind() }
    }

    @Test func onlyWhatADeviceOwnsCanBeAttachedTo() throws {
        let bench = try HostBench()
        let slice = try bench.device(1, .slice(16, 31))
        let parent = try bench.device(2, .parent)
        let domain = bench.unit.identityDomain
        try slice.attach(domain, to: pasid(16))
        try parent.attach(domain)
        for pasid in [nil, pasid(15), pasid(32)] {
            try expectRefusal(.notOwned, of: slice, in: bench) { try slice.attach(domain, to: pasid) }
        }
        for pasid in [pasid(16), pasid(17), pasid(31)] {
            try expectRefusal(.notOwned, of: parent, in: bench) { try parent.attach(domain, to: pasid) }
        }
        try parent.attach(domain, to: pasid(32))
        #expect(try bench.passes(pasid: pasid(32)))
    }

    @Test func aDomainBelongsToOneUnit() throws {
        let bench = try HostBench()
        let other = try HostBench()
        let device = try bench.device(1)
        for domain in [other.unit.identityDomain, other.unit.blockedDomain, try other.parent()] as [Domain] {
            try expectRefusal(.otherUnit, of: device, in: bench) { try device.attach(domain) }
        }
        try device.attach(bench.unit.identityDomain)
        try expectRefusal(.otherUnit, of: device, in: bench) { try device.replace(with: other.parent()) }
    }

    @Test func anotherUnitsPortIsRefused() throws {
        let bench = try HostBench()
        let other = try HostBench()
        let device = try bench.device(1)
        try device.attach(bench.unit.identityDomain)
        try expectRefusal(.invalidArgument, of: device, in: bench) { try device.detach(port: other.port) }
        try expectRefusal(.invalidArgument, of: device, in: bench) { try device.reset(port: other.port) }
        try expectRefusal(.invalidArgument, of: device, in: bench) {
            try device.replace(with: bench.unit.blockedDomain, port: other.port)
        }
        try expectRefusal(.invalidArgument, of: device, in: bench) {
            _ = try Device(id: 2, sourceID: HostBench.otherSource, in: bench.unit, port: other.port)
        }
        #expect(try bench.passes(source: HostBench.otherSource))
    }

    // MARK: Sections

    @Test func insideASectionOfTheCallersPortNothingIsWaitedFor() throws {
        let bench = try HostBench()
        let device = try bench.device(1)
        let table = PASIDTable(address: OutputAddress(bench.image.allocatePage()))
        try bench.port.withSection { () throws in
            try device.attach(bench.unit.identityDomain)
            let port = bench.port
            try expectRefusal(.inSection, of: device, in: bench) { try device.detach(port: port) }
            try expectRefusal(.inSection, of: device, in: bench) { try device.reset(port: port) }
            try expectRefusal(.inSection, of: device, in: bench) {
                try device.replace(with: bench.unit.blockedDomain, port: port)
            }
            try expectRefusal(.inSection, of: device, in: bench) {
                _ = try Device(id: 2, sourceID: HostBench.otherSource, in: bench.unit, port: port)
            }
            #expect(try bench.passes(source: HostBench.otherSource))
        }
        try device.detach(port: bench.port)
        try bench.port.withSection { () throws in
            let port = bench.port
            try expectRefusal(.inSection, of: device, in: bench) { try device.bind(table, port: port) }
        }
        try device.bind(table, port: bench.port)
        try bench.port.withSection { () throws in
            let port = bench.port
            try expectRefusal(.inSection, of: device, in: bench) { try device.unbind(port: port) }
        }
        try device.unbind(port: bench.port)
    }

    @Test func aCallThatTimesOutHasTakenEffect() throws {
        let bench = try HostBench.impatient()
        let device = try bench.device(1)
        let other = try bench.unit.makePort()
        let idle = bench.port
        let table = PASIDTable(address: OutputAddress(bench.image.allocatePage()))
        weak var kept: PagingDomain?
        try device.attach(bench.unit.identityDomain)
        try other.withSection { () throws in
            do {
                let domain = try bench.parent()
                kept = domain
                #expect(throws: IOMMUError.timedOut) { try device.replace(with: domain, port: idle) }
            }
            #expect(kept != nil)
            #expect(device.domain() === kept)
            #expect(throws: IOMMUError.timedOut) { try device.detach(port: idle) }
            #expect(kept == nil)
            #expect(device.domain() == nil)
            #expect(throws: IOMMUError.timedOut) { try device.bind(table, port: idle) }
            #expect(device.boundTable == table)
            #expect(throws: IOMMUError.timedOut) { try device.unbind(port: idle) }
            #expect(device.boundTable == nil)
            try device.attach(bench.unit.identityDomain)
            #expect(throws: IOMMUError.timedOut) { try device.reset(port: idle) }
            #expect(device.attachments.isEmpty)
            #expect(try bench.fault() != nil)
        }
        try bench.unit.drain()
    }

    @Test func aDeviceWhoseMakingTimesOutIsNotThere() throws {
        let bench = try HostBench.impatient()
        let other = try bench.unit.makePort()
        let idle = bench.port
        try other.withSection { () throws in
            #expect(throws: IOMMUError.timedOut) {
                try Device(id: 1, sourceID: HostBench.source, in: bench.unit, port: idle)
            }
            #expect(try !bench.unit.owners(of: HostBench.source).isKnown)
            #expect(try bench.passes())
        }
        _ = try bench.device(1)
    }

    @Test func aDeviceMayGoWhileASectionRuns() throws {
        let bench = try HostBench.impatient()
        let other = try bench.unit.makePort()
        weak var kept: PagingDomain?
        do {
            let device = try bench.device(1)
            let domain = try bench.parent()
            kept = domain
            try device.attach(domain)
            try other.withSection { () throws in
                let held = device
                #expect(held.attachments.count == 1)
            }
        }
        #expect(kept == nil)
        var last: Device? = try bench.device(1)
        try last?.attach(bench.unit.identityDomain)
        other.withSection { last = nil }
        #expect(last == nil)
        #expect(try bench.unit.owners(of: HostBench.source).isKnown == false)
        #expect(try bench.passes())
    }
}
