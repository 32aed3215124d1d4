// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Pins of accessors: what they hold, how an unmap waits for them, and that nobody waits for ever.

import Foundation
import IOMMU
import IOMMUTestSupport
import Synchronization
import Testing

@Suite struct PinTests {
    let space: IOAddressSpace

    init() throws {
        space = try IOAddressSpace(memory: GuestMemory())
        _ = try space.map(.output(0x10_0000), length: 0x2000, at: 0x1000, rights: [.read, .write])
        _ = try space.map(.output(0x20_0000), length: 0x1000, at: 0x3000, rights: .read)
    }

    /// An accessor that keeps its pins in a table and lets go of them when asked.
    final class Holder: Sendable {
        let pins = Mutex<[IOPin]>([])
        let asked = Mutex<[ClosedRange<IOVA>]>([])

        func letGo(_ range: ClosedRange<IOVA>) {
            asked.withLock { $0.append(range) }
            let released = pins.withLock { pins in
                let all = pins
                pins = []
                return all
            }
            for pin in released { pin.release() }
        }

        func accessor(_ space: IOAddressSpace) -> IOAccessor {
            IOAccessor(space: space, name: "holder") { [weak self] range in self?.letGo(range) }
        }
    }

    private func idle(_ name: String = "an idle one") -> IOAccessor {
        IOAccessor(space: space, name: name) { _ in }
    }

    @Test func pinGivesTheSegmentsOfItsRange() throws {
        let pin = try idle().pin(0x1800, length: 0x2000, rights: .read)
        #expect(pin.segments.map(\.iova) == [0x1800, 0x3000])
        #expect(pin.segments.map(\.output) == [0x10_0800, 0x20_0000])
        #expect(pin.segments.map(\.length) == [0x1800, 0x800])
        #expect(pin.segments.allSatisfy { unsafe $0.host == nil })
        #expect(space.areas.map(\.pinCount) == [1, 1])
        pin.release()
        pin.release()
        #expect(space.areas.map(\.pinCount) == [0, 0])
    }

    @Test func pinOfHostMemoryReachesItsBytes() throws {
        let host = HostMemory(0x2000)
        unsafe host.bytes().initializeMemory(as: UInt8.self, repeating: 9)
        let iova = try space.map(host.source(), length: 0x2000, rights: .read)
        let pin = try idle().pin(IOVA(iova.rawValue + 0x10), length: 0x1ff0, rights: .read)
        let bytes = try unsafe #require(pin.segments[0].host)
        #expect(bytes.count == 0x1ff0)
        #expect(unsafe bytes.baseAddress == host.bytes(0x10).baseAddress)
        #expect(unsafe bytes.allSatisfy { $0 == 9 })
    }

    @Test func pinThatIsNotAllowedIsRefused() throws {
        let accessor = idle()
        func refuse(
            _ error: IOMMUError, naming words: String, _ iova: IOVA, _ length: UInt64, _ rights: AccessRights = .read,
            line: SourceLocation = #_sourceLocation
        ) {
            expectRefusal(error, naming: words, in: space, sourceLocation: line) {
                _ = try accessor.pin(iova, length: length, rights: rights)
            }
        }
        refuse(.notFound, naming: "0x4000 is not", 0x3000, 0x1001)
        refuse(.notFound, naming: "0xfff is not", 0xfff, 2)
        refuse(.invalidArgument, naming: "zero", 0x1000, 0)
        refuse(.invalidArgument, naming: "none", 0x1000, 1, [])
        refuse(.readOnly, naming: "0x3000...0x3fff", 0x2000, 0x2000, .write)
        refuse(.wraps, naming: "pass", .max, 2)
        try space.protect(0x1000, length: 0x1000, rights: .write)
        refuse(.invalidArgument, naming: "grants W", 0x1000, 1)
    }

    @Test func unmapAsksAccessorsToLetGo() throws {
        let holder = Holder()
        let accessor = holder.accessor(space)
        let pins = try [0x1000, 0x2000, 0x3000].map { try accessor.pin($0, length: 1, rights: .read) }
        holder.pins.withLock { $0 = pins }
        #expect(try space.unmap(0x1000, length: 0x2000) == 0x2000)
        #expect(holder.asked.withLock { $0 } == [0x1000...0x2fff])
        // Nobody pins what is left, so nobody is asked.
        #expect(try space.unmapAll() == 0x1000)
        #expect(holder.asked.withLock { $0.count } == 1)
    }

    @Test func accessorThatDoesNotLetGoIsNamedAndNothingChanges() throws {
        let pin = try idle("a deaf one").pin(0x1000, length: 1)
        expectRefusal(.inUse, naming: "a deaf one did not let go of 0x1000...0x2fff", in: space) {
            try space.unmap(0x1000, length: 0x2000, patience: .milliseconds(5))
        }
        expectRefusal(.inUse, naming: "a deaf one", in: space) { try space.unmapAll(patience: .zero) }
        // What was refused can be used and pinned again.
        try idle().pin(0x1000, length: 1).release()
        try space.protect(0x2000, length: 0x1000, rights: .read)
        #expect(try space.unmap(0x2000, length: 0x1000) == 0x1000)
        pin.release()
        #expect(try space.unmap(0x1000, length: 0x1000) == 0x1000)
    }

    @Test func waitingUnmapRefusesEverybodyElse() throws {
        let heard = Atomic(false)
        let space = space
        let other = idle()
        let holder = IOAccessor(space: space, name: "a watcher") { range in
            heard.store(true, ordering: .relaxed)
            #expect(range == 0x1000...0x2fff)
            #expect(throws: IOMMUError.inUse) { try other.pin(0x2fff, length: 1) }
            #expect(throws: IOMMUError.inUse) { try space.unmapAll() }
            #expect(throws: IOMMUError.inUse) { try space.protect(0x1000, length: 0x1000, rights: .read) }
            #expect(throws: IOMMUError.inUse) {
                try space.copy(from: space, 0x2000, length: 0x1000, rights: .read)
            }
            #expect(throws: IOMMUError.overlap) {
                try space.map(.output(0), length: 0x1000, at: 0x1000, rights: .read)
            }
            // What is not in the range goes on.
            #expect(throws: Never.self) {
                try other.pin(0x3000, length: 1, rights: .read).release()
                try space.unmap(0x3000, length: 0x1000)
            }
        }
        let pin = try holder.pin(0x1000, length: 1)
        expectRefusalOfUnmap { try space.unmap(0x1000, length: 0x2000, patience: .milliseconds(1)) }
        let wasHeard = heard.load(ordering: .relaxed)
        #expect(wasHeard)
        pin.release()
    }

    private func expectRefusalOfUnmap(_ body: () throws -> Void) {
        #expect(throws: IOMMUError.inUse) { try body() }
    }

    @Test func pinKeepsItsRightsAndCountsThroughASplit() throws {
        let pin = try idle("a writer").pin(0x1000, length: 0x1000)
        expectRefusal(.inUse, naming: "a writer has 0x1000...0x1fff pinned for RW", in: space) {
            try space.protect(0x1000, length: 0x1000, rights: .read)
        }
        try space.protect(0x2000, length: 0x1000, rights: .read)
        #expect(space.areas.map(\.pinCount) == [1, 0, 0])
        #expect(try space.unmap(0x2000, length: 0x1000) == 0x1000)
        pin.release()
        #expect(space.areas.map(\.pinCount) == [0, 0])
    }

    @Test func copyIsNotPinned() throws {
        let pin = try idle().pin(0x1000, length: 0x1000)
        let copy = try space.copy(from: space, 0x1000, length: 0x1000, rights: .read)
        #expect(space.area(holding: copy)?.pinCount == 0)
        try space.unmap(copy, length: 0x1000)
        pin.release()
    }

    @Test func pinEndsWithItsLastReference() throws {
        do {
            let pin = try idle().pin(0x1000, length: 1)
            #expect(space.area(holding: 0x1000)?.pinCount == 1)
            extendLifetime(pin)
        }
        #expect(space.area(holding: 0x1000)?.pinCount == 0)
    }

    @Test func spaceLivesAsLongAsAPin() throws {
        weak var remembered: IOAddressSpace?
        do {
            let brief = try IOAddressSpace(memory: GuestMemory())
            remembered = brief
            _ = try brief.map(.output(0), length: 0x1000, at: 0, rights: .read)
            let pin = try IOAccessor(space: brief, name: "one") { _ in }.pin(0, length: 1, rights: .read)
            extendLifetime(pin)
        }
        #expect(remembered == nil)
    }

    /// Threads pin and unpin while others unmap and map again: a pin that is held never sees its area go.
    @Test func noAreaGoesWhileAThreadHasItPinned() throws {
        let pages = 8
        let space = try IOAddressSpace(memory: GuestMemory())
        for page in 0..<UInt64(pages) {
            _ = try space.map(.output(OutputAddress(page << 12)), length: 0x1000, at: IOVA(page << 12), rights: .read)
        }
        let seed = SeededGenerator.forTest().seed
        final class Counters: Sendable {
            let violations = Atomic(0)
            let pinned = Atomic(0)
            let unmapped = Atomic(0)
            let pinners = Atomic(3)
        }
        let counters = Counters()
        let ended = DispatchSemaphore(value: 0)
        for worker in 0..<3 as Range<UInt64> {
            Thread.detachNewThread {
                var random = SeededGenerator(seed: seed &+ worker)
                let accessor = IOAccessor(space: space, name: "worker \(worker)") { _ in }
                for _ in 0..<3000 {
                    let page = UInt64(random.below(pages))
                    guard let pin = try? accessor.pin(IOVA(page << 12), length: 0x1000, rights: .read) else { continue }
                    for _ in 0..<random.below(50) {
                        if space.area(holding: IOVA(page << 12)) == nil {
                            counters.violations.add(1, ordering: .relaxed)
                        }
                    }
                    pin.release()
                    counters.pinned.add(1, ordering: .relaxed)
                }
                counters.pinners.subtract(1, ordering: .relaxed)
                ended.signal()
            }
        }
        Thread.detachNewThread {
            var random = SeededGenerator(seed: seed &+ 7)
            while counters.pinners.load(ordering: .relaxed) > 0 {
                let page = UInt64(random.below(pages))
                guard (try? space.unmap(IOVA(page << 12), length: 0x1000, patience: .seconds(20))) != nil else {
                    counters.violations.add(1, ordering: .relaxed)
                    continue
                }
                counters.unmapped.add(1, ordering: .relaxed)
                _ = try? space.map(
                    .output(OutputAddress(page << 12)), length: 0x1000, at: IOVA(page << 12), rights: .read)
            }
            ended.signal()
        }
        for _ in 0..<4 { ended.wait() }
        let note = Comment(rawValue: "seed \(seed)")
        #expect(counters.violations.load(ordering: .relaxed) == 0, note)
        #expect(counters.pinned.load(ordering: .relaxed) > 100, note)
        #expect(counters.unmapped.load(ordering: .relaxed) > 10, note)
        #expect(space.areas.allSatisfy { $0.pinCount == 0 })
        #expect(space.areaCount == pages)
    }
}
