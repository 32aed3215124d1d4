// SPDX-License-Identifier: LGPL-2.1-or-later
//
// What a host does around a port: sections and drains, invalidation, observers, the dirty log, memory that comes and goes.

import IOMMU
import Synchronization
import Testing

extension PortTests {
    @Test func sectionEndsWhenTheBodyThrows() throws {
        struct Stop: Error {}
        var configuration = RemappingUnit.Configuration()
        configuration.drainTimeout = .zero
        let guest = try PortTestGuest(configuration)
        guest.map(0, to: 0x1_0000)
        let port = try guest.unit.makePort()
        for count in [8, 0x3000, 8] {  // a walk, pieces that end in a fault, a hit
            #expect(throws: Stop.self) {
                try port.withAccess(to: 0, count: count, access: .read, source: source) { _ in throw Stop() }
            }
            try guest.unit.drain()
        }
        #expect(throws: Stop.self) { try port.withSection { throw Stop() } }
        try guest.unit.drain()
    }

    @Test func openSectionHoldsTheDrainBackAndIsNamed() throws {
        var configuration = RemappingUnit.Configuration()
        configuration.drainTimeout = .milliseconds(1)
        let guest = try PortTestGuest(configuration)
        let other = try guest.unit.makePort()
        let port = try guest.unit.makePort()
        #expect(port.id != other.id)
        let error = port.withSection {
            #expect(throws: IOMMUError.timedOut) { try guest.unit.drain() }
        }
        #expect(error?.portID == port.id)
        try guest.unit.drain()
        #expect(guest.unit.statistics.drainTimeouts >= 1)
    }

    @Test func invalidationFromInsideOnesOwnSectionIsRefused() throws {
        let guest = try PortTestGuest()
        let port = try guest.unit.makePort()
        port.withSection {
            #expect(throws: IOMMUError.inSection) { try guest.unit.invalidate(Invalidation(.translations), port: port) }
            #expect(throws: IOMMUError.inSection) { try guest.unit.invalidate(descriptor: .iotlb(), port: port) }
        }
        try guest.unit.invalidate(Invalidation(.translations), port: port)
        let stranger = try PortTestGuest().unit.makePort()
        #expect(throws: IOMMUError.invalidArgument) {
            try guest.unit.invalidate(Invalidation(.translations), port: stranger)
        }
    }

    @Test func changedMappingShowsAfterInvalidation() throws {
        let guest = try PortTestGuest()
        guest.map(3, to: 0x1_0000)
        let port = try guest.unit.makePort()
        #expect(try port.translate(0x3000, access: .read, source: source).translation?.address == 0x1_0000)
        guest.map(3, to: 0x1_8000)
        let outcome = try guest.unit.invalidate(descriptor: .iotlb(domain: 1, page: 0x3000, leafOnly: true))
        guard case .caches(let invalidation) = outcome else {
            Issue.record("an IOTLB invalidation became \(outcome)")
            return
        }
        #expect(invalidation.kind == .translations && invalidation.domain == 1 && invalidation.leafOnly)
        #expect(invalidation.first == 0x3000 && invalidation.last == 0x3fff)
        #expect(try port.translate(0x3000, access: .read, source: source).translation?.address == 0x1_8000)
    }

    @Test func waitDescriptorIsLeftToTheHost() throws {
        let guest = try PortTestGuest()
        let outcome = try guest.unit.invalidate(descriptor: .wait(status: (0x2000, 7), interrupt: true))
        guard case .wait(let wait) = outcome else {
            Issue.record("a wait became \(outcome)")
            return
        }
        #expect(wait.interrupt && !wait.fence && !wait.drainPageRequests)
        #expect(wait.statusAddress == 0x2000 && wait.statusData == 7)
    }

    @Test func badDescriptorIsRefusedWithItsRule() throws {
        let guest = try PortTestGuest()
        let error = #expect(throws: IOMMUError.badDescriptor) {
            try guest.unit.invalidate(descriptor: InvalidationDescriptor(0xf, 0))
        }
        #expect(error?.invalidationQueueError == 3)
        #expect(error?.detail?.isEmpty == false)
        #expect(error?.description.contains("IQEI 3") == true)
    }

    @Test func observerHearsUntilItIsRemoved() throws {
        final class Witness: Sendable {
            let heard = Mutex<[Invalidation]>([])
        }
        let guest = try PortTestGuest()
        weak var released: Witness?
        do {
            let witness = Witness()
            released = witness
            let token = try guest.unit.addObserver { invalidation in
                witness.heard.withLock { $0.append(invalidation) }
            }
            let sent = Invalidation(.translations, domain: 1, stages: .second, first: 0x1000, last: 0x1fff)
            try guest.unit.invalidate(sent)
            #expect(witness.heard.withLock { $0 } == [sent])
            try guest.unit.removeObserver(token)
            try guest.unit.invalidate(sent)
            #expect(witness.heard.withLock { $0.count } == 1)
            #expect(throws: IOMMUError.notFound) { try guest.unit.removeObserver(token) }
        }
        #expect(released == nil)
    }

    @Test func staleTokenRemovesNobodyElse() throws {
        let guest = try PortTestGuest()
        let count = Atomic(0)
        let stale = try guest.unit.addObserver { _ in }
        try guest.unit.removeObserver(stale)
        let token = try guest.unit.addObserver { _ in count.add(1, ordering: .relaxed) }
        #expect(throws: IOMMUError.notFound) { try guest.unit.removeObserver(stale) }
        #expect(throws: IOMMUError.notFound) { try PortTestGuest().unit.removeObserver(token) }
        try guest.unit.invalidate(Invalidation(.translations))
        #expect(count.load(ordering: .relaxed) == 1)
        try guest.unit.removeObserver(token)
    }

    @Test func dirtyLogHearsOfWritesUntilItIsCleared() throws {
        final class Witness: Sendable {
            let heard = Mutex<[ClosedRange<UInt64>]>([])
        }
        let guest = try PortTestGuest()
        guest.map(0, to: 0x1_0000)
        let port = try guest.unit.makePort()
        let bytes = [UInt8](repeating: 1, count: 16)
        weak var released: Witness?
        do {
            let witness = Witness()
            released = witness
            try guest.memory.setDirtyLog { address, count in
                witness.heard.withLock { $0.append(address.rawValue...address.rawValue + UInt64(count) - 1) }
            }
            _ = try port.write(bytes.span, to: 0x100, source: source)
            #expect(witness.heard.withLock { $0 } == [0x1_0100...0x1_010f])
            try guest.memory.setDirtyLog(nil)
            _ = try port.write(bytes.span, to: 0x100, source: source)
            #expect(witness.heard.withLock { $0.count } == 1)
        }
        #expect(released == nil)
    }

    @Test func memoryComesAndGoesWhileThePortRuns() throws {
        let guest = try PortTestGuest()
        guest.map(0, to: PortTestGuest.missingPage)
        let port = try guest.unit.makePort()
        func firstByte() throws -> UInt8? {
            try port.withAccess(to: 0, count: 8, access: .read, source: source) { segments in
                unsafe segments.bytes(of: 0)?.unsafeLoad(as: UInt8.self)
            }
        }
        let address = OutputAddress(PortTestGuest.missingPage)
        #expect(try firstByte() == nil)
        try unsafe guest.memory.add(guest.rom, at: address, rights: .read)
        #expect(try firstByte() == 0x5a)
        #expect(throws: IOMMUError.overlap) { try unsafe guest.memory.add(guest.rom, at: address) }
        #expect(throws: IOMMUError.notFound) { try guest.memory.remove(at: 0x900_0000, count: 4096) }
        #expect(throws: IOMMUError.invalidArgument) { try guest.memory.remove(at: address, count: -1) }
        try guest.memory.remove(at: address, count: 4096)
        #expect(try firstByte() == nil)
    }

    @Test func portLimitIsKeptAndPortsAreGivenBack() throws {
        var configuration = RemappingUnit.Configuration()
        configuration.ports = 1
        configuration.pooledPorts = 0
        let unit = try RemappingUnit(capabilities: .full, memory: GuestMemory(), configuration: configuration)
        do {
            let port = try unit.makePort()
            #expect(throws: IOMMUError.noPort) { _ = try unit.makePort() }
            #expect(throws: IOMMUError.noPort) { try unit.translate(0, access: .read, source: source) }
            #expect(port.unit === unit)
        }
        _ = try unit.makePort()
    }

    @Test func sizesOutOfRangeAreRefused() throws {
        let memory = try GuestMemory()
        for change: (inout RemappingUnit.Configuration) -> Void in [
            { $0.iotlbEntries = 3 }, { $0.iotlbEntries = -1 }, { $0.firstLevelEntries = 1 << 20 }, { $0.ports = 0 },
            { $0.faultEntries = 0 }, { $0.pooledPorts = 1000 }, { $0.bindings = 1 << 40 },
        ] {
            var configuration = RemappingUnit.Configuration()
            change(&configuration)
            #expect(throws: IOMMUError.invalidArgument) {
                try RemappingUnit(capabilities: .full, memory: memory, configuration: configuration)
            }
        }
    }

    @Test func portCanBeSentToAnotherTask() async throws {
        let guest = try PortTestGuest()
        guest.map(3, to: 0x1_0000)
        let port = try guest.unit.makePort()
        let task = Task { [source] in try port.translate(0x3000, access: .read, source: source) }
        #expect(try await task.value.translation?.address == 0x1_0000)
    }

    @Test func traceNamesEveryEntry() throws {
        let guest = try PortTestGuest()
        guest.map(3, to: 0x1_0000)
        let trace = try guest.unit.trace(0x3123, access: .write, source: source)
        #expect(trace.result.translation?.address == 0x1_0123 && !trace.isTruncated)
        #expect(trace.steps.map(\.table) == [.root, .context, .secondStage, .secondStage, .secondStage])
        #expect(trace.steps.map(\.level) == [nil, nil, 2, 1, 0])
        #expect(trace.steps.map(\.address) == [0x1000, 0x2380, 0x3000, 0x4000, 0x5018])
        #expect(trace.steps.map(\.words) == [[0x2001, 0], [0x3001, 0x101], [0x4003], [0x5003], [0x1_0003]])
        let failed = try guest.unit.trace(0x7000, access: .read, source: source)
        #expect(failed.result.fault?.code == 6 && failed.steps.last?.words == [0])
    }

    @Test func disabledUnitPassesRequestsThrough() throws {
        let guest = try PortTestGuest()
        try guest.unit.reset()
        let port = try guest.unit.makePort()
        let translation = try #require(try port.translate(0x1234, access: .write, source: source).translation)
        #expect(translation.address == 0x1234 && translation.rights == [.read, .write])
        try guest.unit.setRootTable(0x1000)
        try guest.unit.setTranslation(enabled: true)
        #expect(try port.translate(0x1234, access: .write, source: source).fault != nil)
    }
}
