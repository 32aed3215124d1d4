// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A unit with some memory and ports, and what a host heard of a batch: for the tests of this module.

import IOMMU
import IOMMUTestSupport
import Synchronization
import Testing

import class Foundation.Thread

/// One unit in legacy mode, one port of the test's own; one thread.
final class InvalidationBench {
    static let source = SourceID(bus: 1, device: 2, function: 0)

    let image: GuestImage
    let memory: GuestMemory
    let unit: RemappingUnit
    let port: Port

    init(
        capabilities: Capabilities = .full, pooledPorts: Int = 2, drainTimeout: Duration? = nil
    ) throws {
        var configuration = TestBench.smallCaches
        configuration.pooledPorts = pooledPorts
        if let drainTimeout { configuration.drainTimeout = drainTimeout }
        image = GuestImage()
        memory = try GuestMemory()
        try image.register(in: memory)
        unit = try RemappingUnit(capabilities: capabilities, memory: memory, configuration: configuration)
        port = try unit.makePort()
    }

    /// Latches a root table: scalable mode takes 256-bit descriptors only.
    func useScalableMode() throws {
        try unit.setRootTable(image.allocatePage() | 1 << 10)
    }

    /// A word of guest memory, 32 bits.
    func status(at address: UInt64) -> UInt32 {
        UInt32(truncatingIfNeeded: image[address & ~7] >> ((address & 4) * 8))
    }

    /// Where a read ends; nil for a fault.
    func output(_ iova: UInt64, pasid: PASID? = nil) throws -> UInt64? {
        try port.translate(IOVA(iova), access: .read, source: Self.source, pasid: pasid).translation?.address.rawValue
    }
}

/// A nested domain, attached, whose guest's first stage the test changes. Guest-physical addresses of tables are output
/// addresses; two gigabytes of data lie elsewhere, each mapped by the parent with its largest pages.
final class NestedGuest {
    /// Guest-physical, and where the parent has it.
    static let old: (guest: UInt64, output: UInt64) = (0x80_0000_0000, 0x20_0000_0000)
    static let new: (guest: UInt64, output: UInt64) = (0x90_0000_0000, 0x40_0000_0000)

    let bench: InvalidationBench
    let domain: NestedDomain
    let device: Device
    let tables: PagingTables

    init(_ bench: InvalidationBench) throws {
        self.bench = bench
        let parent = try PagingDomain(unit: bench.unit, options: .nestParent)
        let rights: AccessRights = [.read, .write]
        try parent.map(IOVA(GuestImage.ram), to: OutputAddress(GuestImage.ram), length: 512 << 12, rights: rights)
        for place in [Self.old, Self.new] {
            try parent.map(IOVA(place.guest), to: OutputAddress(place.output), length: 1 << 30, rights: rights)
        }
        tables = PagingTables(.first, levels: 4, in: bench.image)
        domain = try NestedDomain(parent: parent, firstStage: FirstStage(root: IOVA(tables.root)))
        device = try Device(id: 7, sourceID: InvalidationBench.source, in: bench.unit)
        try device.attach(domain)
    }

    /// Maps a page to the old place, or moves it to the new one. Nothing is invalidated.
    func map(_ input: UInt64, at offset: UInt64, level: Int = 0, moved: Bool = false) {
        tables.map(input, to: (moved ? Self.new : Self.old).guest + offset, level: level)
    }

    /// True when a read at the input ends at the offset in the old or new place.
    func isAt(_ place: (guest: UInt64, output: UInt64), _ input: UInt64, _ offset: UInt64) throws -> Bool {
        try bench.output(input) == place.output + offset
    }
}

/// What a host heard, in order.
final class Heard: Sendable {
    enum Event: Hashable, Sendable {
        case interrupts(Int, ClosedRange<Int>)
        case response(Int, InvalidationDescriptor)
        case waited(Int, interrupt: Bool, status: UInt32?)
    }

    private let log = Mutex<[Event]>([])

    var events: [Event] { log.withLock { $0 } }

    func add(_ event: Event) { log.withLock { $0.append(event) } }

    /// A host that tells this. `status` is asked at each wait descriptor.
    func host(status: (@Sendable () -> UInt32)? = nil) -> InvalidationHost {
        InvalidationHost(
            interruptCache: { self.add(.interrupts($0, $1)) },
            pageResponse: { self.add(.response($0, $1)) },
            waited: { self.add(.waited($0, interrupt: $1, status: status?())) })
    }
}

extension InvalidationBatch {
    /// A batch of 128-bit descriptors.
    static func queue(_ descriptors: [InvalidationDescriptor]) throws -> InvalidationBatch {
        var batch = try InvalidationBatch(.vtdQueue128)
        for descriptor in descriptors { try batch.append(descriptor) }
        return batch
    }
}

extension InvalidationDescriptor {
    /// An IOTLB descriptor with a reserved bit set: refused with IQEI 4.
    static let refused = InvalidationDescriptor(0x12 | 1 << 63, 0)

    /// Interrupt-entry cache, by index.
    static func interrupts(_ index: UInt64, mask: UInt64 = 0) -> InvalidationDescriptor {
        InvalidationDescriptor(4 | 1 << 4 | mask << 27 | index << 32, 0)
    }
}

/// A value that several threads change.
final class Locked<Value: Sendable>: Sendable {
    private let state: Mutex<Value>

    init(_ value: Value) { state = Mutex(value) }

    var value: Value { state.withLock { $0 } }

    func change(_ body: (inout Value) -> Void) { state.withLock { body(&$0) } }
}

/// Runs what blocks on a thread of its own: threads of the Swift runtime must stay free for those who answer.
func onOwnThread<Result: Sendable>(_ body: @escaping @Sendable () throws -> Result) async throws -> Result {
    try await withCheckedThrowingContinuation { continuation in
        Thread.detachNewThread {
            continuation.resume(with: Swift.Result { try body() })
        }
    }
}
