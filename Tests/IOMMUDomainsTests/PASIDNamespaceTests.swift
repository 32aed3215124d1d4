// SPDX-License-Identifier: LGPL-2.1-or-later
//
// PASID namespaces: binding, lookup, unbinding, and what is refused.

import IOMMU
import IOMMUTestSupport
import Testing

@Suite struct PASIDNamespaceTests {
    @Test func aGuestPASIDMeansItsHostPASIDUntilItIsUnbound() throws {
        let bench = try HostBench()
        let space = try PASIDNamespace(unit: bench.unit, hostPASIDs: pasids(100, 199))
        #expect(space.hostPASIDs == pasids(100, 199))
        #expect(try space.bind(guest: pasid(5), to: pasid(150)) == pasid(150))
        let chosen = try space.bind(guest: pasid(0xfffff))
        #expect(space.hostPASIDs.contains(chosen) && chosen != pasid(150))
        #expect(space.host(for: pasid(5)) == pasid(150))
        #expect(space.guest(for: pasid(150)) == pasid(5))
        #expect(space.host(for: pasid(0xfffff)) == chosen)
        #expect(space.guest(for: chosen) == pasid(0xfffff))
        #expect(
            space.bindings == [
                .init(guest: pasid(5), host: pasid(150)), .init(guest: pasid(0xfffff), host: chosen),
            ])
        try space.unbind(guest: pasid(5))
        #expect(space.host(for: pasid(5)) == nil)
        #expect(space.guest(for: pasid(150)) == nil)
        #expect(try space.bind(guest: pasid(6), to: pasid(150)) == pasid(150))
        #expect(space.guest(for: pasid(150)) == pasid(6))
        #expect(space.host(for: pasid(77)) == nil && space.guest(for: pasid(99)) == nil)
    }

    @Test func whatIsBoundIsNotBoundAgain() throws {
        let bench = try HostBench()
        let space = try PASIDNamespace(unit: bench.unit, hostPASIDs: pasids(10, 12))
        try space.bind(guest: pasid(1), to: pasid(11))
        let before = space.bindings
        #expect(throws: IOMMUError.occupied) { try space.bind(guest: pasid(1)) }
        #expect(throws: IOMMUError.occupied) { try space.bind(guest: pasid(1), to: pasid(12)) }
        #expect(throws: IOMMUError.occupied) { try space.bind(guest: pasid(2), to: pasid(11)) }
        #expect(throws: IOMMUError.notOwned) { try space.bind(guest: pasid(2), to: pasid(9)) }
        #expect(throws: IOMMUError.notOwned) { try space.bind(guest: pasid(2), to: pasid(13)) }
        #expect(throws: IOMMUError.notFound) { try space.unbind(guest: pasid(2)) }
        #expect(throws: IOMMUError.notFound) { try space.unbind(guest: pasid(11)) }
        #expect(space.bindings == before)
    }

    @Test func aNamespaceRunsOutAndRecovers() throws {
        let bench = try HostBench()
        let space = try PASIDNamespace(unit: bench.unit, hostPASIDs: pasids(0xffff0, 0xfffff))
        let hosts = try (0..<16).map { try space.bind(guest: pasid(1000 + $0)) }
        #expect(Set(hosts).count == 16)
        #expect(throws: IOMMUError.noSpace) { try space.bind(guest: pasid(0)) }
        try space.unbind(guest: pasid(1007))
        #expect(try space.bind(guest: pasid(0)) == hosts[7])
        #expect(space.bindings.count == 16)
        #expect(space.bindings.first == .init(guest: pasid(0), host: hosts[7]))
    }

    @Test func namespacesOfAUnitDoNotOverlap() throws {
        let bench = try HostBench()
        let other = try HostBench()
        var space: PASIDNamespace? = try PASIDNamespace(unit: bench.unit, hostPASIDs: pasids(100, 199))
        for range in [pasids(100, 199), pasids(0, 100), pasids(199, 300), pasids(150, 151), pasids(0, 0xfffff)] {
            #expect(throws: IOMMUError.overlap) { try PASIDNamespace(unit: bench.unit, hostPASIDs: range) }
        }
        let below = try PASIDNamespace(unit: bench.unit, hostPASIDs: pasids(0, 99))
        _ = try PASIDNamespace(unit: other.unit, hostPASIDs: pasids(0, 0xfffff))
        #expect(space != nil)
        space = nil
        _ = try PASIDNamespace(unit: bench.unit, hostPASIDs: pasids(100, 0xfffff))
        #expect(below.bindings.isEmpty)
    }

    @Test func aNamespaceNeedsPASIDsOfTheUnit() throws {
        let none = try HostBench(capabilities: Capabilities(basedOn: .full) { $0.pasids = false })
        #expect(throws: IOMMUError.unsupported) { try PASIDNamespace(unit: none.unit, hostPASIDs: pasids(0, 0)) }
        let few = try HostBench(capabilities: Capabilities(basedOn: .full) { $0.pasidBits = 8 })
        #expect(throws: IOMMUError.unsupported) { try PASIDNamespace(unit: few.unit, hostPASIDs: pasids(0, 256)) }
        let space = try PASIDNamespace(unit: few.unit, hostPASIDs: pasids(255, 255))
        #expect(try space.bind(guest: pasid(0xfffff)) == pasid(255))
    }

    @Test func aHostPASIDIsNotReusedWhileASectionMayHaveFoundIt() throws {
        let bench = try HostBench.impatient()
        let space = try PASIDNamespace(unit: bench.unit, hostPASIDs: pasids(7, 7))
        try space.bind(guest: pasid(1))
        let other = try bench.unit.makePort()
        let idle = bench.port
        try other.withSection { () throws in
            #expect(space.host(for: pasid(1)) == pasid(7))
            #expect(throws: IOMMUError.timedOut) { try space.unbind(guest: pasid(1), port: idle) }
            #expect(space.host(for: pasid(1)) == nil)
            #expect(throws: IOMMUError.occupied) { try space.bind(guest: pasid(2), to: pasid(7)) }
            #expect(space.bindings.isEmpty)
        }
        #expect(try space.bind(guest: pasid(2), to: pasid(7)) == pasid(7))
    }

    @Test func unbindingFromInsideASectionIsRefused() throws {
        let bench = try HostBench()
        let other = try HostBench()
        let space = try PASIDNamespace(unit: bench.unit, hostPASIDs: pasids(7, 9))
        try space.bind(guest: pasid(1))
        try bench.port.withSection { () throws in
            let port = bench.port
            #expect(throws: IOMMUError.inSection) { try space.unbind(guest: pasid(1), port: port) }
            try space.bind(guest: pasid(2))
        }
        #expect(throws: IOMMUError.invalidArgument) { try space.unbind(guest: pasid(1), port: other.port) }
        #expect(space.bindings.count == 2)
        try space.unbind(guest: pasid(1), port: bench.port)
        #expect(space.bindings.map(\.guest) == [pasid(2)])
    }

    /// Random bindings against two dictionaries.
    @Test func aNamespaceIsABijection() throws {
        var generator = SeededGenerator.forTest()
        let bench = try HostBench()
        let space = try PASIDNamespace(unit: bench.unit, hostPASIDs: pasids(1000, 1063))
        var hosts: [PASID: PASID] = [:]
        for step in 0..<4000 {
            let note = Comment(rawValue: "step \(step), IOMMU_TEST_SEED=\(generator.seed)")
            let guest = pasid(UInt32(generator.below(100)))
            if generator.oneIn(2) {
                let host = generator.oneIn(2) ? nil : pasid(UInt32(1000 + generator.below(64)))
                let isTaken = hosts[guest] != nil || host.map { hosts.values.contains($0) } == true
                do throws(IOMMUError) {
                    let bound = try space.bind(guest: guest, to: host)
                    #expect(!isTaken && !hosts.values.contains(bound), note)
                    #expect(host == nil || host == bound, note)
                    hosts[guest] = bound
                } catch {
                    #expect(isTaken && error == .occupied || hosts.count == 64 && error == .noSpace, note)
                }
            } else if hosts.removeValue(forKey: guest) != nil {
                try space.unbind(guest: guest)
            } else {
                #expect(throws: IOMMUError.notFound, note) { try space.unbind(guest: guest) }
            }
            #expect(space.host(for: guest) == hosts[guest], note)
        }
        #expect(space.bindings == hosts.sorted { $0.key < $1.key }.map { .init(guest: $0.key, host: $0.value) })
        for (guest, host) in hosts { #expect(space.guest(for: host) == guest) }
    }
}
