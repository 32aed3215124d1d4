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

    let front: VirtualVTd
    let port: Port
    let isInline: Bool
    private let heard: Heard
    /// Its requests end with it.
    private(set) var interface: PageRequestInterface?

    private final class Heard: Sendable {
        let signals = Mutex<[RegisterModel.Signal]>([])
        let answers = Mutex<[PageAnswer]>([])
    }

    init(_ profile: RegistersProfile, _ memory: GuestMemory, isInline: Bool) throws {
        var configuration = profile.configuration
        configuration.processing = isInline ? .inline : .worker
        let heard = Heard()
        front = try VirtualVTd(
            configuration, memory: memory,
            host: VirtualVTd.Host(signal: { address, data in
                heard.signals.withLock { $0.append(RegisterModel.Signal(address: address, data: UInt64(data))) }
            }))
        port = try front.unit.makePort()
        self.heard = heard
        self.isInline = isInline
    }

    /// A device that has asked for nothing yet.
    func plugDevice() throws {
        interface = nil
        guard front.configuration.capabilities.pageRequests else { return }
        let heard = heard
        interface = try PageRequestInterface(
            unit: front.unit, configuration: .init(source: SourceID(UInt32(Self.device)), device: 5)
        ) { answer in heard.answers.withLock { $0.append(answer) } }
    }

    /// Its requests are of no interest to it any more.
    func unplugDevice() { interface = nil }

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
