// SPDX-License-Identifier: LGPL-2.1-or-later
//
// DeviceMachine - a machine whose invalidation queue is on, and devices with device-TLBs behind it.

import Dispatch
import IOMMU
import IOMMUTestSupport
import Testing
import VirtualVTd

import class Foundation.Thread

/// How the unit works, and how wide its descriptors are.
struct QueueManner: Sendable, CustomTestStringConvertible {
    let processing: VirtualVTd.Processing
    let isWide: Bool

    var testDescription: String { "\(processing), \(isWide ? 256 : 128) bits" }
    var size: UInt64 { isWide ? 32 : 16 }

    static let all = [VirtualVTd.Processing.worker, .inline].flatMap { processing in
        [false, true].map { QueueManner(processing: processing, isWide: $0) }
    }
}

/// A machine whose queue is on, and devices behind it.
final class DeviceMachine {
    let machine: VTdMachine
    let manner: QueueManner
    let status: UInt64
    private(set) var tlbs: [DeviceTLB] = []
    private var devices: [Device] = []
    private var endpoints: [Endpoint] = []

    init(
        _ manner: QueueManner, isScalable: Bool = false,
        configure: (inout VirtualVTd.Configuration) -> Void = { _ in }
    ) throws {
        self.manner = manner
        machine = try VTdMachine(processing: manner.processing, configure: configure)
        status = machine.image.allocatePage()
        if isScalable {
            machine.write(0x20, machine.image.allocatePage() | 1 << 10, size: 8)
            machine.command(set: 1 << 30)
        }
        machine.enableQueue(wide: manner.isWide)
    }

    /// Switches ATS on for a source.
    ///
    /// - Parameters:
    ///   - isOfHost: The source is one of the host's devices, not one of the guest's tables.
    ///   - clock: Its deadlines are by this; nil for an hour, which nobody waits for.
    @discardableResult
    func add(
        _ source: UInt16, _ endpoint: Endpoint, pasids: ClosedRange<PASID>? = nil, isOfHost: Bool = false,
        clock: TestClock? = nil
    ) throws -> DeviceTLB {
        let unit = machine.front.unit
        let id = SourceID(UInt32(source))
        var configuration = DeviceTLB.Configuration(source: id, pasids: pasids, device: DeviceID(UInt64(source)))
        configuration.timeout = clock == nil ? .seconds(3600) : .seconds(1)
        if let clock { configuration.clock = { clock.read() } }
        if isOfHost { devices.append(try Device(id: configuration.device, sourceID: id, in: unit)) }
        let tlb = try DeviceTLB(unit: unit, configuration: configuration, handler: endpoint.take)
        tlbs.append(tlb)
        endpoints.append(endpoint)
        return tlb
    }

    deinit {
        // Whoever is asked to drop everything for the last time answers.
        for endpoint in endpoints { endpoint.setManner(.fine) }
        for tlb in tlbs { try? tlb.close() }
    }

    /// Device-TLB invalidation, type 3: an address with its size coded in it where `isSized`.
    static func drop(_ source: UInt16, _ address: UInt64 = 0x1000, isSized: Bool = false) -> Descriptor {
        Descriptor(3 | UInt64(source) << 32, address & ~0xfff | (isSized ? 1 : 0))
    }

    /// The same for a PASID, type 8; nil is all of them (G).
    static func drop(
        _ source: UInt16, pasid: UInt32?, _ address: UInt64, isSized: Bool = false
    ) -> Descriptor {
        Descriptor(
            8 | UInt64(source) << 16 | UInt64(pasid ?? 0) << 32,
            address & ~0xfff | (isSized ? 1 << 11 : 0) | (pasid == nil ? 1 : 0))
    }

    /// A wait that stores `data` in word number `word` of the status page.
    func wait(_ data: UInt64, word: UInt64 = 0, interrupt: Bool = false) -> Descriptor {
        Descriptor(5 | 1 << 5 | (interrupt ? 1 << 4 : 0) | data << 32, status + word * 8)
    }

    /// Puts descriptors into the queue and moves the tail. Nobody waits for anything.
    func start(_ descriptors: Descriptor...) {
        machine.put(descriptors)
        machine.write(0x88, machine.tail)
    }

    /// The same on another thread, for what may take a while inline. Join it before the machine is used.
    func startElsewhere(_ descriptors: Descriptor...) -> DispatchGroup {
        machine.put(descriptors)
        let (front, tail, group) = (machine.front, machine.tail, DispatchGroup())
        group.enter()
        Thread.detachNewThread {
            try? front.write(0x88, size: 4, tail)
            group.leave()
        }
        return group
    }

    func statusWord(_ word: UInt64 = 0) -> UInt64 { machine.image[status + word * 8] }

    /// IQERCD.ITESID and ICESID.
    var timedOutSource: UInt64 { machine.read64(0xb0) >> 32 & 0xffff }
    var refusingSource: UInt64 { machine.read64(0xb0) >> 48 }
}

/// A PASID that is in range.
func pasid(_ number: UInt32) -> PASID {
    guard let pasid = PASID(number) else { preconditionFailure("\(number) is no PASID") }
    return pasid
}
