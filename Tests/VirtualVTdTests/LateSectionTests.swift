// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A section that stays open longer than the unit's time-out: nothing tells the guest that its command is done before it is.

import IOMMU
import IOMMUTestSupport
import Synchronization
import Testing
import VirtualVTd

@Suite struct LateSectionTests {
    private static func machine(_ capabilities: Capabilities = .full) throws -> VTdMachine {
        try VTdMachine(capabilities, processing: .worker) { $0.sizes.drainTimeout = .milliseconds(1) }
    }

    /// Until the engine has given up waiting several times.
    private static func wait(_ machine: VTdMachine) {
        let unit = machine.front.unit
        let before = unit.statistics.drainTimeouts
        eventually("five waits in vain") { unit.statistics.drainTimeouts >= before + 5 }
    }

    @Test func commandsWaitForSections() throws {
        let machine = try Self.machine()
        let root = machine.image.allocatePage()
        let device = machine.port
        // Each command: what is written, and how its end shows.
        let commands: [(write: (VTdMachine) -> Void, isDone: (VTdMachine) -> Bool)] = [
            ({ $0.write(0x28, 1 << 63 | 1 << 61, size: 8) }, { $0.read64(0x28) == 1 << 61 | 1 << 59 }),
            ({ $0.write(0x108, 1 << 63 | 1 << 60, size: 8) }, { $0.read64(0x108) == 1 << 60 | 1 << 57 }),
            (
                {
                    $0.write(0x20, root, size: 8)
                    $0.write(0x18, 1 << 30)
                }, { $0[0x1c] == 1 << 30 }
            ),
            ({ $0.write(0x18, 1 << 24) }, { $0[0x1c] == 1 << 30 | 1 << 24 }),
            ({ $0.write(0x18, 1 << 31) }, { $0[0x1c] == 1 << 31 | 1 << 30 | 1 << 24 }),
        ]
        for (number, command) in commands.enumerated() {
            device.withSection {
                // Something that the section may use, so that there is something to wait for.
                _ = try? device.translate(0x5000, access: .read, source: SourceID(0x10))
                command.write(machine)
                Self.wait(machine)
                #expect(!command.isDone(machine), "command \(number)")
            }
            machine.front.finishWorks()
            #expect(command.isDone(machine), "command \(number)")
        }
    }

    @Test func aResetDoesNotWaitForEver() throws {
        let machine = try Self.machine()
        let device = machine.port
        device.withSection {
            machine.write(0x28, 1 << 63 | 1 << 61, size: 8)
            Self.wait(machine)
            #expect(machine.read64(0x28) >> 63 == 1)
            // In a thread of its own: it is no call for a section's own thread.
            let box = MachineBox(machine: machine)
            let error = ErrorBox()
            onThreads(1) { _ in
                do throws(IOMMUError) {
                    try box.machine.front.reset()
                } catch let thrown {
                    error.set(thrown)
                }
            }
            #expect(error.get() == .timedOut)
            #expect(machine.read64(0x28) == 0)
        }
    }

    /// DMA of a device that the host has attached is no affair of the guest's.
    @Test func faultsOfTheHostsDevicesStayWithTheHost() throws {
        let machine = try VTdMachine()
        let device = try Device(id: 1, sourceID: SourceID(0x20), in: machine.front.unit)
        let domain = try PagingDomain(unit: machine.front.unit)
        try device.attach(domain)
        machine.write(0x20, machine.image.allocatePage(), size: 8)
        machine.command(set: 1 << 30)
        machine.command(set: 1 << 31)
        machine.fault(0x20)
        #expect(machine[0x34] == 0)
        machine.fault(0x28)
        #expect(machine[0x34] == 2)
    }
}

private final class ErrorBox: Sendable {
    private let error = Mutex<IOMMUError?>(nil)

    func set(_ value: IOMMUError) { error.withLock { $0 = value } }
    func get() -> IOMMUError? { error.withLock { $0 } }
}
