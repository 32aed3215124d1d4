// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A unit with one paging domain and devices that ask it for pages: for the tests of page requests.

import Dispatch
import IOMMU
import IOMMUTestSupport
import Synchronization
import Testing

/// Every function of it may be used on any thread, but the port, which a test makes itself.
final class PageBench: Sendable {
    let memory: GuestMemory
    let unit: RemappingUnit
    let domain: PagingDomain

    init(capabilities: Capabilities = .full) throws {
        let image = GuestImage()
        memory = try GuestMemory()
        try image.register(in: memory)
        unit = try RemappingUnit(
            capabilities: capabilities, memory: memory, configuration: TestBench.smallCaches)
        domain = try PagingDomain(unit: unit)
    }

    /// A device with a source id of its own, attached to the domain.
    func device(_ number: UInt32) throws -> Device {
        let device = try Device(id: DeviceID(UInt64(number)), sourceID: SourceID(number), in: unit)
        try device.attach(domain)
        return device
    }

    /// The input address of a page.
    static func iova(_ page: Int) -> IOVA {
        IOVA(UInt64(0x4000_0000 + page * 4096))
    }

    /// What an owner does to resolve a group: maps its pages; one that is mapped already is fine.
    func resolve(_ group: PageGroup) throws {
        for page in group.pages {
            let output = OutputAddress(page.address.rawValue)
            do {
                try domain.map(page.address, to: output, length: 4096, rights: [.read, .write])
            } catch {
                guard error == .overlap else { throw error }
            }
        }
    }
}

/// The answers that a device heard.
final class PageLog: Sendable {
    private let list = Mutex<[PageAnswer]>([])

    var answers: [PageAnswer] { list.withLock { $0 } }

    var handler: @Sendable (PageAnswer) -> Void {
        { [self] answer in list.withLock { $0.append(answer) } }
    }
}

extension PageQueue.Configuration {
    /// Waits for its owner however slow the machine is; what is tested about deadlines sets its own.
    static var patient: PageQueue.Configuration {
        var configuration = PageQueue.Configuration()
        configuration.timeout = nil
        return configuration
    }
}

/// Time that a test moves by hand.
final class PageClock: Sendable {
    private let now = Atomic<UInt64>(1_000)

    func pass(_ nanoseconds: UInt64) {
        now.add(nanoseconds, ordering: .relaxed)
    }

    var read: @Sendable () -> UInt64 {
        { [self] in now.load(ordering: .relaxed) }
    }
}

/// Waits until a condition holds.
func pageWait(_ condition: () -> Bool) async throws {
    var rounds = 0
    while !condition() && rounds < 240_000 {
        try await Task.sleep(for: .microseconds(500))
        rounds += 1
    }
    #expect(condition())
}

/// A value that closures share.
final class PageShared<Value: Sendable>: Sendable {
    private let state: Mutex<Value>

    init(_ value: Value) {
        state = Mutex(value)
    }

    var value: Value { state.withLock { $0 } }

    func change(_ body: (inout Value) -> Void) {
        state.withLock { body(&$0) }
    }
}
