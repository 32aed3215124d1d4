// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A unit with an interrupt-remapping table in memory, a device and a store, for tests of the Swift interface. The engine itself is
// tested in C, field by field (CIOMMUFaultTests).

import IOMMU
import IOMMUTestSupport
import Testing

/// One unit, two ports, one thread.
final class InterruptBench {
    static let source = SourceID(bus: 1, device: 2, function: 0)

    let image = GuestImage()
    let unit: RemappingUnit
    let port: Port
    /// Whose sections others wait for.
    let other: Port
    let device: Device
    let store: InterruptMessageStore

    /// - Parameter isPatient: Changes wait for sections; otherwise they time out at once.
    init(isPatient: Bool = true, share: Device.Share = .whole) throws {
        var configuration = RemappingUnit.Configuration()
        configuration.iotlbEntries = 1024
        configuration.drainTimeout = isPatient ? .seconds(60) : .zero
        let memory = try GuestMemory()
        try image.register(in: memory)
        unit = try RemappingUnit(capabilities: .full, memory: memory, configuration: configuration)
        port = try unit.makePort()
        other = try unit.makePort()
        device = try Device(id: 7, sourceID: Self.source, share: share, in: unit)
        store = try InterruptMessageStore(device: device, count: 4)
    }

    /// Latches a table of 256 entries at the start of memory.
    func enableRemapping(allowsCompatibilityFormat: Bool = false) throws {
        try unit.setInterruptTable(
            GuestImage.ram | 7, enabled: true, allowsCompatibilityFormat: allowsCompatibilityFormat, port: port)
    }

    /// Writes an entry of the table.
    func setEntry(_ index: Int, _ low: UInt64, _ high: UInt64 = 0) {
        image[GuestImage.ram + UInt64(index) * 16] = low
        image[GuestImage.ram + UInt64(index) * 16 + 8] = high
    }

    /// The data of what is signalled when work raises an entry; nil when nothing is.
    func raise(_ index: Int, _ pasid: UInt32?) throws -> UInt32? {
        var signalled: UInt32?
        let delivery = try store.deliver(index, pasid: pasid.map(makePASID), through: port) { signalled = $0.data }
        #expect(delivery.message?.data == signalled)
        return signalled
    }

    /// What raising an entry comes to.
    func outcome(_ index: Int, _ pasid: UInt32?) throws -> MessageDelivery {
        try port.withSection { () throws(IOMMUError) in
            try store.delivery(of: index, pasid: pasid.map(makePASID), through: port)
        }
    }
}

func makePASID(_ value: UInt32) -> PASID {
    guard let pasid = PASID(value) else { preconditionFailure("a PASID of more than 20 bits") }
    return pasid
}
