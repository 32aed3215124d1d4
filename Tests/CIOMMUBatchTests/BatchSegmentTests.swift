// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Segments: when a wait descriptor's status is stored, when the host is told, and what becomes of both when a section is late.

import CIOMMU
import IOMMUTestSupport
import Testing

/// A wait that stores `data` at `address`, with or without an interrupt.
func wait(storing data: UInt32, at address: UInt64, interrupts: Bool = false) -> Descriptor {
    Descriptor(5 | 1 << 5 | (interrupts ? 1 << 4 : 0) | UInt64(data) << 32, address)
}

/// A unit with status pages: one writable range of two pages, one read-only page behind it, then a hole.
private final class StatusBench {
    static let status: UInt64 = 0x20_0000
    let bench: BatchBench
    let image: GuestImage
    let other: BenchPort

    init(timeout: UInt64 = 20_000_000_000, poolPorts: UInt32 = 1) {
        image = GuestImage(regions: [
            GuestImage.Region(address: 0x10_0000, pages: 4), GuestImage.Region(address: Self.status, pages: 2),
            GuestImage.Region(address: Self.status + 0x2000, pages: 1, isWritable: false),
        ])
        bench = BatchBench(
            image, root: 0x10_0000,
            configuration: BatchBench.configuration {
                $0.drain_timeout = timeout
                $0.pool_ports = poolPorts
            })
        other = bench.makePort()
    }

    /// The four bytes of a status.
    func word(_ address: UInt64) -> UInt32 {
        UInt32(truncatingIfNeeded: image[address & ~7] >> (address & 4 == 0 ? 0 : 32))
    }
}

/// Row of C3: at the time of the interrupt the status can be read.
func statusPrecedesInterrupt(_ log: inout MismatchLog) throws {
    for flags: UInt64 in 0..<16 where flags & 8 == 0 {
        let status = StatusBench()
        status.bench.log.statusAtWait = { status.word(StatusBench.status) }
        let wait = Descriptor(5 | flags << 4 | 0x1234_5678 << 32, StatusBench.status)
        let result = status.bench.apply([wait], isWide: false)
        status.bench.log.statusAtWait = nil
        log.compare(result.isSuccess(of: 1), true, "flags \(flags): \(result)")
        let stored: UInt32 = flags & 2 != 0 ? 0x1234_5678 : 0
        log.compare(
            status.bench.takeEvents(), [.waited(index: 0, interrupt: flags & 1 != 0, status: stored)],
            "flags \(flags)")
    }
}

/// Row of C4: a section that is late aborts every wait of its segment and after it.
func lateSectionAbortsWaits(_ log: inout MismatchLog) throws {
    let status = StatusBench(timeout: 1_000_000)
    status.other.enter()
    defer { status.other.leave() }
    let result = status.bench.apply(
        [
            wait(storing: 1, at: StatusBench.status), .iotlbGlobal, wait(storing: 2, at: StatusBench.status + 4),
            wait(storing: 3, at: StatusBench.status + 8, interrupts: true),
        ], isWide: false)
    log.compare(result.status, CIOMMU_TIMED_OUT.rawValue, "\(result)")
    log.compare(result.error, errorTimeout, "\(result)")
    log.compare(result.handled, 4, "\(result)")
    log.compare([result.lowest, result.highest], [1, 2], "\(result)")
    log.compare(result.failed, 1, "\(result)")
    log.compare(result.failures, [.late(2, port: status.other.id)], "\(result)")
    log.compare(status.bench.takeEvents(), [.waited(index: 0, interrupt: false, status: nil)], "told")
    log.compare([0, 4, 8].map { status.word(StatusBench.status + $0) }, [1, 0, 0], "stored")
}

@Suite struct BatchSegmentTests {
    @Test func statusesAreStoredInOrderAndTheHostIsTold() {
        let status = StatusBench()
        let place = StatusBench.status
        var seen: [[UInt32]] = []
        status.bench.log.statusAtWait = {
            seen.append([0, 4, 8].map { status.word(place + $0) })
            return status.word(place + 12)
        }
        let result = status.bench.apply(
            [
                wait(storing: 7, at: place), .iotlbGlobal, wait(storing: 8, at: place + 4, interrupts: true),
                wait(storing: 9, at: place + 8), Descriptor(4 | 1 << 4 | 5 << 32), wait(storing: 10, at: place + 12),
                .contextGlobal,
            ], isWide: false)
        status.bench.log.statusAtWait = nil
        #expect(result.isSuccess(of: 7))
        #expect(result.segments == 5)
        #expect(seen == [[7, 0, 0], [7, 8, 0], [7, 8, 9], [7, 8, 9]])
        #expect(
            status.bench.takeEvents() == [
                .waited(index: 0, interrupt: false, status: 0), .waited(index: 2, interrupt: true, status: 0),
                .waited(index: 3, interrupt: false, status: 0), .interruptCache(index: 4, first: 5, last: 5),
                .waited(index: 5, interrupt: false, status: 10),
            ])
    }

    @Test func aWaitIsDelayedByASectionAndNotByOneThatBeganLater() throws {
        let status = StatusBench()
        for isPooled in [false, true] {
            let section = HeldSection(status.other, milliseconds: 60)
            status.bench.log.statusAtWait = { section.isEnding ? 1 : 0 }
            let result = status.bench.apply(
                [Descriptor(4), .iotlbGlobal, Descriptor(4), wait(storing: 3, at: StatusBench.status)], isWide: false,
                port: isPooled ? .pooled : .own)
            status.bench.log.statusAtWait = nil
            section.close()
            #expect(result.isSuccess(of: 4))
            let all = HostEvent.interruptCache(index: 0, first: 0, last: 0xffff)
            let again = HostEvent.interruptCache(index: 2, first: 0, last: 0xffff)
            #expect(status.bench.takeEvents() == [all, again, .waited(index: 3, interrupt: false, status: 1)])
            #expect(status.word(StatusBench.status) == 3)
        }
    }

    @Test func everySegmentThatWasLateIsReported() throws {
        let status = StatusBench(timeout: 1_000_000)
        status.other.enter()
        let late = status.bench.apply(
            [.iotlbGlobal, Descriptor(5), .iotlbGlobal, Descriptor(4), Descriptor(5), .iotlbDomain(1)], isWide: false)
        status.other.leave()
        #expect(late.status == CIOMMU_TIMED_OUT.rawValue && late.handled == 6 && late.lowest == 0)
        #expect(late.highest == 5, "the last segment may have caused it too")
        let all = HostEvent.interruptCache(index: 3, first: 0, last: 0xffff)
        #expect(status.bench.takeEvents() == [all])
        // The next batch is complete again.
        #expect(status.bench.apply([.iotlbGlobal, Descriptor(5)], isWide: false).isSuccess(of: 2))
        #expect(status.bench.takeEvents() == [.waited(index: 1, interrupt: false, status: nil)])
    }

    /// A section that never ends costs a batch a deadline or two, not one for each wait of the guest's.
    @Test func manySegmentsDoNotEachWaitForTheDeadline() throws {
        let status = StatusBench(timeout: 10_000_000)
        let pair = [Descriptor.iotlbDomain(1), wait(storing: 1, at: StatusBench.status)]
        status.other.enter()
        let clock = ContinuousClock()
        let begin = clock.now
        let late = status.bench.apply((0..<300).flatMap { _ in pair }, isWide: false)
        let time = clock.now - begin
        status.other.leave()
        #expect(late.status == CIOMMU_TIMED_OUT.rawValue && late.handled == 600)
        #expect([late.lowest, late.highest] == [0, 599])
        #expect(status.word(StatusBench.status) == 0)
        #expect(time < .seconds(1), "300 deadlines are 3 s")
    }

    @Test func aLaterSegmentThatIsLateSparesTheWaitsBeforeIt() throws {
        let status = StatusBench(timeout: 1_000_000)
        let place = StatusBench.status
        // The section begins in the first wait's call.
        status.bench.log.statusAtWait = {
            if status.word(place + 4) == 0 { status.other.enter() }
            return 0
        }
        let late = status.bench.apply(
            [
                .iotlbGlobal, wait(storing: 1, at: place), Descriptor(4), .iotlbDomain(1), .iotlbDomain(2),
                wait(storing: 1, at: place + 4), Descriptor(5),
            ], isWide: false)
        status.bench.log.statusAtWait = nil
        status.other.leave()
        #expect(late.status == CIOMMU_TIMED_OUT.rawValue && late.handled == 7)
        #expect(late.lowest == 2 && late.highest >= 5)
        #expect(late.failures.first == .late(5, port: status.other.id))
        #expect(status.word(place) == 1 && status.word(place + 4) == 0)
    }

    @Test func aRefusalAfterALateSegmentNamesBoth() throws {
        let status = StatusBench(timeout: 1_000_000)
        status.other.enter()
        let result = status.bench.apply(
            [Descriptor(4), .iotlbGlobal, Descriptor(5), .iotlbGlobal, Descriptor(0), .iotlbGlobal], isWide: false)
        status.other.leave()
        #expect(result.status == CIOMMU_BAD_DESCRIPTOR.rawValue && result.error == errorDescriptor)
        #expect(result.handled == 4 && result.code == 3 && result.hasText)
        #expect(result.lowest == 0 && result.highest == 4)
        #expect(result.failures.contains(.late(2, port: status.other.id)))
        let refusal = BatchFailure(index: 4, error: errorDescriptor, flags: 0, portID: 0)
        #expect(result.failures.last == refusal && result.failed == UInt32(result.failures.count))
    }

    /// Entry 0 timed out in a batch of its own; a wait in the next batch promises that it is complete.
    @Test func aWaitAfterABatchThatWasLateWaitsForIt() throws {
        let status = StatusBench(timeout: 1_000_000)
        status.other.enter()
        #expect(status.bench.apply([.iotlbGlobal], isWide: false).status == CIOMMU_TIMED_OUT.rawValue)
        let early = status.bench.apply([wait(storing: 1, at: StatusBench.status)], isWide: false)
        status.other.leave()
        #expect(early.status == CIOMMU_TIMED_OUT.rawValue, "\(early)")
        #expect(status.word(StatusBench.status) == 0)
        #expect(status.bench.takeEvents() == [])
        #expect(status.bench.apply([wait(storing: 1, at: StatusBench.status)], isWide: false).isSuccess(of: 1))
        #expect(status.word(StatusBench.status) == 1)
    }

    @Test(arguments: [false, true])
    func aLateSectionIsReportedHoweverManyRangesThereAre(isObserved: Bool) throws {
        let status = StatusBench(timeout: 1_000_000)
        if isObserved { status.bench.observe() }
        let ranges = (0..<200).map { Descriptor.iotlbPages(1, at: UInt64($0) << 20) }
        status.other.enter()
        let result = status.bench.apply(ranges + [wait(storing: 1, at: StatusBench.status)], isWide: false)
        status.other.leave()
        #expect(result.status == CIOMMU_TIMED_OUT.rawValue && result.error == errorTimeout, "\(result)")
        #expect([result.lowest, result.highest, result.handled] == [0, 200, 201])
        #expect(result.failed == 1 && result.failures.first?.portID == status.other.id)
        #expect(status.word(StatusBench.status) == 0)
    }

    @Test func aStatusGoesWhereWritableMemoryIsAndNowhereElse() throws {
        let place = StatusBench.status
        let edge = place + 0x2000
        // First and last word of the range; the read-only page behind it; the hole behind that, and far ones.
        let cases: [(UInt64, Bool)] = [
            (place, true), (place + 4, true), (place + 0xffc, true), (place + 0x1000, true), (edge - 4, true),
            (edge, false), (edge + 0xffc, false), (edge + 0x1000, false), (place - 4, false), (0, false),
            (0xffff_ffff_ffff_fffc, false), (0x10_3ffc, true), (0x10_4000, false),
        ]
        for isPooled in [false, true] {
            for (address, isStored) in cases {
                let status = StatusBench()
                let result = status.bench.apply(
                    [wait(storing: 0xcafe_f00d, at: address)], isWide: false, port: isPooled ? .pooled : .own)
                #expect(result.isSuccess(of: 1), "\(hex(address))")
                #expect(status.bench.takeEvents() == [.waited(index: 0, interrupt: false, status: nil)])
                if status.image.contains(address) {
                    #expect(status.word(address) == (isStored ? 0xcafe_f00d : 0), "\(hex(address))")
                }
                // Its neighbours are as they were.
                for neighbour in [address &- 4, address &+ 4] where status.image.contains(neighbour) {
                    #expect(status.word(neighbour) == 0, "beside \(hex(address))")
                }
            }
        }
    }

    @Test func theDirtyLogHearsOfStatuses() {
        let status = StatusBench()
        status.bench.logWrites()
        let place = StatusBench.status
        _ = status.bench.apply(
            [wait(storing: 1, at: place + 8), .iotlbGlobal, wait(storing: 1, at: place + 0x2000)], isWide: false)
        let wait = [HostEvent.wrote(address: place + 8, length: 4), .waited(index: 0, interrupt: false, status: nil)]
        #expect(status.bench.takeEvents() == wait + [.waited(index: 2, interrupt: false, status: nil)])
    }

    /// Memory that was replaced between two waits: the second status goes to the new one.
    @Test func aStatusFollowsTheMemoryMap() {
        let status = StatusBench()
        _ = status.bench.apply([wait(storing: 1, at: StatusBench.status)], isWide: false)
        precondition(unsafe ciommu_memory_remove(status.bench.memory, StatusBench.status, 0x2000) == CIOMMU_OK)
        let gone = status.bench.apply([wait(storing: 2, at: StatusBench.status)], isWide: false)
        #expect(gone.isSuccess(of: 1))
        #expect(status.word(StatusBench.status) == 1)
    }

    @Test func withoutAPortNothingHappens() {
        let status = StatusBench(poolPorts: 0)
        status.bench.observe()
        let drains = status.bench.statistics.drains
        for count in [0, 1] {
            let all = [Descriptor](repeating: .iotlbGlobal, count: count)
            let none = status.bench.apply(all, isWide: false, port: .pooled)
            #expect(none == BatchResult(CIOMMU_NO_PORT))
        }
        #expect(status.bench.takeEvents() == [])
        #expect(status.bench.statistics.drains == drains)
        #expect(status.bench.apply([.iotlbGlobal], isWide: false).isSuccess(of: 1))
        // A nested domain's entries need none.
        let world = CacheWorld(
            .nested(levels: 4), pages: [0x1000], configuration: BatchBench.configuration { $0.pool_ports = 0 })
        world.makeAllStale()
        #expect(world.bench.apply([world.pageEntry(0)], to: world.domain!, port: .pooled).isSuccess(of: 1))
        #expect(world.view(0, 0) == .new)
    }

    @Test func insideASectionNothingHappens() {
        let world = CacheWorld(.nested(levels: 4), pages: [0x1000])
        world.makeAllStale()
        world.bench.port.enter()
        world.bench.port.enter()
        world.bench.port.leave()
        #expect(world.apply([world.pageEntry(0)]) == BatchResult(CIOMMU_IN_SECTION))
        #expect(world.apply([Descriptor.iotlbGlobal]) == BatchResult(CIOMMU_IN_SECTION))
        #expect(world.apply([Stage1Entry]()) == BatchResult(CIOMMU_IN_SECTION))
        world.bench.port.leave()
        #expect(world.view(0, 0) == .old)
        #expect(world.apply([world.pageEntry(0)]).isSuccess(of: 1))
        #expect(world.view(0, 0) == .new)
    }

    /// The host's functions may use the unit, and the port.
    @Test func callbacksMayCallBack() {
        let status = StatusBench()
        let bench = status.bench
        var inner: [Bool] = []
        bench.log.statusAtWait = {
            bench.log.statusAtWait = nil
            inner.append(bench.apply([.iotlbGlobal, Descriptor(5)], isWide: false).isSuccess(of: 2))
            _ = bench.address(0x1000, source: 1)
            return 0
        }
        #expect(bench.apply([.iotlbGlobal, Descriptor(5), .iotlbGlobal], isWide: false).isSuccess(of: 3))
        #expect(inner == [true])
    }
}
