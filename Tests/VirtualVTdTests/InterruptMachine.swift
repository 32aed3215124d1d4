// SPDX-License-Identifier: LGPL-2.1-or-later
//
// InterruptMachine - a guest that has set up interrupt remapping, through registers.

import IOMMU
import IOMMUTestSupport
import Testing
import VirtualVTd

/// A guest with a table of 256 entries, which is full of one entry that is present and means nothing else.
final class InterruptMachine {
    static let source: UInt16 = 0x0110
    /// Present, vector 0x51.
    static let present: UInt64 = 1 | 0x51 << 16
    static let size = 7

    let machine: VTdMachine
    let table: UInt64
    let isExtended: Bool

    init(
        isExtended: Bool = false, allowsCompatibility: Bool = false, _ capabilities: Capabilities = .full,
        processing: VirtualVTd.Processing = .inline, configure: (inout VirtualVTd.Configuration) -> Void = { _ in }
    ) throws {
        machine = try VTdMachine(capabilities, processing: processing, configure: configure)
        self.isExtended = isExtended
        table = machine.image.allocatePage()
        for index in UInt64(0)..<256 { set(index, Self.present) }
        machine.write(0xb8, register(table), size: 8)
        machine.command(set: 1 << 24)
        machine.command(set: 1 << 25)
        if allowsCompatibility { machine.command(set: 1 << 23) }
    }

    func register(_ table: UInt64) -> UInt64 { table | (isExtended ? 1 << 11 : 0) | UInt64(Self.size) }

    /// The handle in a message of remappable format [FORMATS-VTD F1].
    static func address(handle: UInt64, subhandle: Bool = false) -> UInt64 {
        0xfee0_0010 | (handle & 0x7fff) << 5 | (handle >> 15) << 2 | (subhandle ? 8 : 0)
    }

    func set(_ index: UInt64, _ low: UInt64, _ high: UInt64 = 0) {
        machine.image[table + index * 16] = low
        machine.image[table + index * 16 + 8] = high
    }

    /// Raises an interrupt; what is signalled goes out of the section.
    func raise(_ address: UInt64, _ data: UInt32 = 0, _ source: UInt16 = InterruptMachine.source) throws
        -> InterruptResult
    {
        var signalled: InterruptMessage?
        let result = try machine.port.signalInterrupt(
            address: address, data: data, source: SourceID(UInt32(source))
        ) { signalled = $0 }
        #expect(result.message == signalled)
        machine.front.collectFaults()
        return result
    }

    func vector(_ handle: UInt64 = 3) throws -> UInt8? { try raise(Self.address(handle: handle)).message?.vector }

    /// Takes and clears fault record 0, if there is one: its halves.
    func takeRecord() -> (low: UInt64, high: UInt64)? {
        let place = machine.front.configuration.capabilities.faultRecordingOffset + Int(machine[0x34] >> 8 & 0xff) * 16
        guard machine[0x34] & 2 != 0 else { return nil }
        let record = (machine.read64(place), machine.read64(place + 8))
        machine[place + 12] = 1 << 31
        return record
    }
}
