// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A host that uses iommu_vtd.h, and nothing else: memory, a virtual unit, a port, and what the unit told it.

import CIOMMU
import CVirtualVTd
import IOMMUTestSupport
import Synchronization
import Testing

/// What a unit's callbacks and a device's handler said.
final class Told: Sendable {
    struct Events: Equatable {
        var signals: [UInt32] = []
        var entries: [ClosedRange<UInt32>] = []
        var invalidations = 0
        var answers: [UInt32] = []
    }

    private let events = Mutex(Events())

    func note(_ change: (inout sending Events) -> Void) { events.withLock { change(&$0) } }

    /// What came since the last call.
    func take() -> Events {
        events.withLock { events in
            defer { events = Events() }
            return events
        }
    }

    var context: UnsafeMutableRawPointer { unsafe Unmanaged.passUnretained(self).toOpaque() }

    static func of(_ context: UnsafeMutableRawPointer?) -> Told? {
        unsafe context.map { unsafe Unmanaged<Told>.fromOpaque($0).takeUnretainedValue() }
    }
}

/// One host, one thread.
@safe
final class CHost {
    static let source: UInt32 = 0x18

    let image: GuestImage
    let memory: OpaquePointer
    let told = Told()
    private(set) var vtd: OpaquePointer
    private(set) var port: OpaquePointer
    let queue: UInt64
    private var tail: UInt64 = 0

    /// - Parameter image: What the guest has in its memory; another host's, after a migration.
    init(
        _ image: GuestImage = GuestImage(), flags: UInt32 = UInt32(IOMMU_VTD_INLINE),
        _ configure: (inout ciommu_unit_config) -> Void = { _ in }
    ) throws {
        self.image = image
        queue = image.allocatePage()
        var memory: OpaquePointer?
        try #require(unsafe ciommu_memory_create(&memory) == CIOMMU_OK)
        unsafe self.memory = try #require(unsafe memory)
        for (index, region) in image.regions.enumerated() {
            let host = unsafe image.host(region: index)
            var range = unsafe ciommu_memory_range(
                size: UInt32(MemoryLayout<ciommu_memory_range>.size),
                rights: UInt32(region.isWritable ? CIOMMU_READ | CIOMMU_WRITE : CIOMMU_READ),
                address: region.address, length: UInt64(host.count), host: host.baseAddress)
            try #require(unsafe ciommu_memory_add(memory, &range) == CIOMMU_OK)
        }
        var engine = ciommu_unit_config()
        unsafe ciommu_unit_config_init(&engine)
        engine.iotlb_entries = 1024
        configure(&engine)
        let told = told
        var vtd: OpaquePointer?
        var port: OpaquePointer?
        try unsafe withUnsafePointer(to: engine) { engine in
            var config = unsafe CHost.config(engine, flags: flags)
            var host = unsafe CHost.callbacks(told)
            try #require(unsafe iommu_vtd_create(&config, memory, &host, &vtd) == 0)
        }
        unsafe self.vtd = try #require(unsafe vtd)
        try #require(unsafe ciommu_port_create(iommu_vtd_unit(vtd), &port) == CIOMMU_OK)
        unsafe self.port = try #require(unsafe port)
    }

    deinit {
        _ = unsafe ciommu_port_destroy(port)
        unsafe iommu_vtd_destroy(vtd)
        let status = unsafe ciommu_memory_destroy(memory)
        precondition(status == CIOMMU_OK, "the unit has let go of the memory")
    }

    static func config(_ engine: UnsafePointer<ciommu_unit_config>?, flags: UInt32) -> iommu_vtd_config {
        var config = unsafe iommu_vtd_config()
        unsafe config.size = UInt32(MemoryLayout<iommu_vtd_config>.size)
        unsafe config.flags = flags
        unsafe config.engine = engine
        return unsafe config
    }

    static func callbacks(_ told: Told) -> iommu_vtd_host {
        var host = unsafe iommu_vtd_host()
        unsafe host.size = UInt32(MemoryLayout<iommu_vtd_host>.size)
        unsafe host.context = told.context
        unsafe host.signal = { context, _, data in unsafe Told.of(context)?.note { $0.signals.append(data) } }
        unsafe host.interrupt_entries = { context, first, last in
            unsafe Told.of(context)?.note { $0.entries.append(first...last) }
        }
        unsafe host.invalidated = { context, _ in unsafe Told.of(context)?.note { $0.invalidations += 1 } }
        return unsafe host
    }

    // MARK: What a guest does

    @discardableResult
    func write(_ offset: UInt64, _ value: UInt64, size: UInt32 = 4) -> Int32 {
        unsafe iommu_vtd_write(vtd, nil, offset, size, value)
    }

    func read(_ offset: UInt64, size: UInt32 = 4) -> UInt64 {
        unsafe iommu_vtd_read(vtd, offset, size)
    }

    func command(_ bit: UInt64) {
        write(0x18, read(0x1c) & 0x96ff_ffff | 1 << bit)
        unsafe iommu_vtd_finish(vtd)
    }

    /// Tables in scalable mode by which one source may ask for pages; translation and the queue.
    func start() {
        let builder = TableBuilder(image, isScalable: true)
        var context = ScalableContext()
        context.allowsPageRequests = true
        builder.setContext(UInt16(Self.source), context)
        write(0x20, builder.rootRegister, size: 8)
        command(30)
        command(31)
        write(0x90, queue | 1 << 11, size: 8)
        command(26)
        write(0xd0, image.allocatePage(), size: 8)
    }

    /// Puts a descriptor of 256 bits into the queue.
    func submit(_ low: UInt64, _ high: UInt64) {
        for (index, word) in [low, high, 0, 0].enumerated() { image[queue + tail + UInt64(index) * 8] = word }
        tail = (tail + 32) % 4096
        write(0x88, tail)
        unsafe iommu_vtd_finish(vtd)
    }

    /// Goes on where another host's guest stood.
    func take(over other: CHost) {
        tail = other.tail
    }

    // MARK: State

    func snapshot() -> [CChar] {
        let count = unsafe Int(iommu_vtd_snapshot(vtd, nil, 0))
        return unsafe [CChar](unsafeUninitializedCapacity: count) { buffer, filled in
            filled = unsafe Int(iommu_vtd_snapshot(vtd, buffer.baseAddress, UInt64(count)))
        }
    }

    func restore(_ text: [CChar]) -> Int32 {
        unsafe text.withUnsafeBufferPointer { text in
            unsafe iommu_vtd_restore(vtd, text.baseAddress, UInt64(text.count))
        }
    }

    /// What the last failure on this thread said.
    static var error: String { unsafe iommu_vtd_error().map { unsafe String(cString: $0) } ?? "nothing at all" }
}
