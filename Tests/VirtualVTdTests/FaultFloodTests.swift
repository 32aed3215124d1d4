// SPDX-License-Identifier: LGPL-2.1-or-later
//
// More faults than the engine keeps: the event still comes, and what a life of the unit leaves is not told to the next one.

import IOMMU
import IOMMUTestSupport
import Synchronization
import Testing
import VirtualVTd

import class Foundation.Thread

/// Lets threads pass in the order in which they come, as many as are permitted.
private final class Gate: Sendable {
    private let numbers = Mutex((come: 0, permitted: 0))

    var count: Int { numbers.withLock { $0.come } }

    func permit(_ count: Int) { numbers.withLock { $0.permitted += count } }

    func pass() {
        let mine = numbers.withLock { numbers in
            numbers.come += 1
            return numbers.come
        }
        while numbers.withLock({ $0.permitted }) < mine { Thread.sleep(forTimeInterval: 0.001) }
    }
}

@Suite struct FaultFloodTests {
    /// What the engine keeps, and what one access takes.
    private static let (kept, taken) = (4096, 64)

    /// Faults that differ, all in the engine's queue when it returns, however small the port's ring is.
    private func flood(_ port: Port, _ source: UInt32, _ count: Int) throws {
        for number in 1...count {
            _ = try port.translate(IOVA(UInt64(number) << 12), access: .read, source: SourceID(source))
            if number % 16 == 0 || number == count { _ = port.unit.expirePageRequests() }
        }
    }

    /// The collector stops after as many as are kept. If it is held up meanwhile there may be more, and the engine, whose queue has not
    /// been empty since, gives no notice of them.
    @Test func theEventComesAfterAFlood() throws {
        let gate = Gate()
        let image = GuestImage()
        let memory = try GuestMemory()
        try image.register(in: memory)
        var configuration = VirtualVTd.Configuration(
            capabilities: try Capabilities(basedOn: .full) {
                $0.faultRecordingRegisters = 1
                $0.faultRecordingOffset = 0x400
            })
        configuration.processing = .worker
        configuration.sizes = TestBench.smallCaches
        let front = try VirtualVTd(configuration, memory: memory, host: .init(signal: { _, _ in gate.pass() }))
        let port = try front.unit.makePort()
        // Its faults are taken, and concern no guest.
        let hosts = try Device(id: 7, sourceID: SourceID(0x77), in: front.unit)
        for (offset, value) in [(0x20, image.allocatePage()), (0x18, 1 << 30), (0x18, 1 << 31), (0x38, 0)] {
            try front.write(offset, size: offset == 0x20 ? 8 : 4, value)
            front.finishWorks()
        }

        try flood(port, 1, 1)
        eventually("the first event") { gate.count == 1 }
        try front.write(0x40c, size: 4, 1 << 31)
        #expect(front.read(0x34, size: 4) & 3 == 0)
        // The last part that the collector takes raises an event, which holds it up; then something is there still.
        try flood(port, 0x77, Self.kept - Self.taken)
        try flood(port, 2, Self.taken + 16)
        gate.permit(1)
        eventually("the second event") { gate.count == 2 }
        try flood(port, 0x77, 1024)
        gate.permit(100)
        try front.write(0x40c, size: 4, 1 << 31)
        try front.write(0x34, size: 4, 1)
        #expect(front.read(0x34, size: 4) & 3 == 0)
        try flood(port, 3, 1)
        eventually("the third event") { gate.count == 3 }
        #expect(front.read(0x408, size: 4) & 0xffff == 3)
        withExtendedLifetime(hosts) {}
    }

    @Test(arguments: [false, true]) func theNextLifeHearsNothing(isRestored: Bool) throws {
        let machine = try VTdMachine()
        let snapshot = machine.front.snapshot()
        machine.write(0x20, machine.image.allocatePage(), size: 8)
        machine.command(set: 1 << 30)
        machine.command(set: 1 << 31)
        try flood(machine.port, 1, Self.kept + 100)
        if isRestored {
            try machine.front.restore(snapshot)
        } else {
            try machine.front.reset()
        }
        #expect(machine[0x34] == 0)
        #expect(machine[0x38] == 1 << 31)
    }
}
