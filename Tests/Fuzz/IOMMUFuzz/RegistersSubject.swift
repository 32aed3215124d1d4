// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A virtual unit with a port for its devices, what it signalled, and a device that asks for pages.

import IOMMU
import IOMMUTestSupport
import Synchronization
import VirtualVTd

/// One of the two units between which a guest is moved.
final class RegistersSubject {
    static let device: UInt16 = 0x10
    /// Devices with caches of their own.
    static let cached: [UInt16] = [0x10, 0x18]

    let front: VirtualVTd
    let port: Port
    let isInline: Bool
    private let heard: Heard
    /// The caches of its devices, by source.
    private(set) var caches: [UInt16: DeviceTLB] = [:]
    private(set) var endpoints: [UInt16: FuzzDevice] = [:]
    /// Its requests end with it.
    private(set) var interface: PageRequestInterface?

    private final class Heard: Sendable {
        let signals = Mutex<[RegisterModel.Signal]>([])
        let answers = Mutex<[PageAnswer]>([])
        /// The host's handler clears ICS at once, as if the guest's ran there.
        let clears = Atomic(false)
        let front = Mutex<Link>(Link())
    }

    private struct Link {
        weak var front: VirtualVTd?
    }

    init(_ profile: RegistersProfile, _ memory: GuestMemory, isInline: Bool) throws {
        var configuration = profile.configuration
        configuration.processing = isInline ? .inline : .worker
        let heard = Heard()
        front = try VirtualVTd(
            configuration, memory: memory,
            host: VirtualVTd.Host(signal: { address, data in
                heard.signals.withLock { $0.append(RegisterModel.Signal(address: address, data: UInt64(data))) }
                if heard.clears.load(ordering: .relaxed), let front = heard.front.withLock({ $0.front }) {
                    _ = front.read(0x34, size: 4)
                    try? front.write(0x9c, size: 4, 1)
                }
            }))
        port = try front.unit.makePort()
        self.heard = heard
        self.isInline = isInline
        let made = front
        heard.front.withLock { $0.front = made }
    }

    func setClearing(_ isClearing: Bool) { heard.clears.store(isClearing, ordering: .relaxed) }

    /// A device that has asked for nothing yet.
    func plugDevice() throws {
        unplugDevice()
        setClearing(false)
        if front.configuration.capabilities.deviceTLBs {
            for source in Self.cached { try plugCache(source) }
        }
        guard front.configuration.capabilities.pageRequests else { return }
        let heard = heard
        interface = try PageRequestInterface(
            unit: front.unit, configuration: .init(source: SourceID(UInt32(Self.device)), device: 5)
        ) { answer in heard.answers.withLock { $0.append(answer) } }
    }

    private func plugCache(_ source: UInt16) throws {
        let endpoint = FuzzDevice { [weak front] in
            guard let front else { return }
            // Nothing of this changes anything: the queue runs already, and goes to its tail.
            _ = front.read(0x34, size: 4)
            try? front.write(0x88, size: 8, front.read(0x88, size: 8))
            front.collectFaults()
            front.finishWorks()
        }
        var configuration = DeviceTLB.Configuration(
            source: SourceID(UInt32(source)), device: DeviceID(UInt64(source)))
        configuration.timeout = FuzzDevice.timeout
        configuration.clock = { endpoint.now() }
        caches[source] = try DeviceTLB(unit: front.unit, configuration: configuration, handler: endpoint.take)
        endpoints[source] = endpoint
    }

    /// Its requests are of no interest to it any more, and its caches are empty.
    func unplugDevice() {
        interface = nil
        for (source, cache) in caches {
            endpoints[source]?.setManner(.fine)
            do throws(IOMMUError) {
                try cache.close()
            } catch {
                finding("a device that answers is not forgotten: \(error)")
            }
        }
        (caches, endpoints) = ([:], [:])
    }

    /// What was signalled since the last call.
    func takeSignals() -> [RegisterModel.Signal] {
        heard.signals.withLock { signals in
            defer { signals = [] }
            return signals
        }
    }

    /// What the device was answered since the last call.
    func takeAnswers() -> [PageAnswer] {
        heard.answers.withLock { answers in
            defer { answers = [] }
            return answers
        }
    }
}
