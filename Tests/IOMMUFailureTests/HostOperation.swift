// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The calls of a host's that need memory, a thread or a descriptor: what is done before, the call, and what takes it back.

import IOMMU
import IOMMUTestSupport
import Testing
import VirtualVTd

/// One call.
struct HostOperation: Sendable, CustomTestStringConvertible {
    /// What it wants.
    enum Want {
        /// Memory, threads, descriptors.
        case requests
        /// Pages for tables, which the unit has until they are used up.
        case pages
    }

    let name: String
    var want = Want.requests
    /// Requests that are granted where it wants pages: what it needs before it comes to them.
    var before = 0
    /// Nothing but what it made shows that it succeeded.
    var isQuiet = false
    /// It throws untyped errors, of which the testing library keeps notes: what the heap holds says nothing.
    var throwsAny = false
    /// Domains over a space may stand empty when taking back needs memory too.
    var mayEmpty = false
    var prepare: @Sendable (HostWorld) throws -> Void = { _ in }
    let call: @Sendable (HostWorld) throws -> Void
    var undo: @Sendable (HostWorld) throws -> Void = { $0.made = [] }

    var testDescription: String { name }

    static let all = objects + mappings + spaces + attachments + listeners

    // MARK: Making objects

    static let objects: [HostOperation] = [
        HostOperation(name: "a memory map", isQuiet: true) { $0.made = [try GuestMemory()] },
        HostOperation(name: "a unit", isQuiet: true) {
            $0.made = [try RemappingUnit(capabilities: .full, memory: $0.memory)]
        },
        HostOperation(name: "a port", isQuiet: true) { $0.made = [try $0.unit.makePort()] },
        HostOperation(name: "a paging domain") { $0.made = [try PagingDomain(unit: $0.unit)] },
        HostOperation(name: "a nested domain") {
            let stage = FirstStage(root: 0x30_0000, addressWidth: 57)
            $0.made = [try NestedDomain(parent: $0.direct, firstStage: stage)]
        },
        HostOperation(name: "a device") { $0.made = [try Device(id: 9, sourceID: SourceID(0xff77), in: $0.unit)] },
        HostOperation(name: "a slice") {
            let share = Device.Share.slice(pasid(40)...pasid(50))
            $0.made = [try Device(id: 9, sourceID: HostWorld.shared, share: share, in: $0.unit)]
        },
        HostOperation(name: "a PASID namespace") {
            $0.made = [try PASIDNamespace(unit: $0.unit, hostPASIDs: pasid(1000)...pasid(9000))]
        },
        HostOperation(name: "a message store", isQuiet: true) {
            $0.made = [try InterruptMessageStore(device: $0.device)]
        },
        HostOperation(name: "a device-TLB", isQuiet: true) {
            $0.made = [try $0.device.enableATS { request in request.answer() }]
        },
        HostOperation(
            name: "a parent's device-TLB beside a slice's", isQuiet: true,
            prepare: { $0.made = [try $0.slice.enableATS { request in request.answer() }] },
            call: { $0.made.append(try $0.parent.enableATS { request in request.answer() }) },
            undo: { $0.made.removeLast() }),
        HostOperation(name: "a restored unit", throwsAny: true) {
            let restored = try UnitSnapshot(of: $0.unit).restore(into: $0.empty)
            $0.made = [restored]
        },
        HostOperation(name: "a virtual unit, inline", isQuiet: true) {
            $0.made = [try HostOperation.virtualUnit($0, .inline)]
        },
        HostOperation(name: "a virtual unit with a worker", isQuiet: true) {
            $0.made = [try HostOperation.virtualUnit($0, .worker)]
        },
    ]

    private static func virtualUnit(
        _ world: HostWorld, _ processing: VirtualVTd.Processing
    ) throws(IOMMUError) -> VirtualVTd {
        var configuration = VirtualVTd.Configuration()
        configuration.processing = processing
        configuration.sizes = TestBench.smallCaches
        return try VirtualVTd(configuration, memory: world.memory, host: .init(invalidated: { _ in }))
    }

    // MARK: Memory and what a host maps by itself

    static let mappings: [HostOperation] = [
        HostOperation(
            name: "registering memory",
            call: { world in try unsafe world.memory.add(world.hostMemory.bytes(0, 2), at: 0x10_0000_0000) },
            undo: { try $0.memory.remove(at: 0x10_0000_0000, count: 2 << 12) }),
        HostOperation(
            name: "replacing registered memory",
            prepare: { world in try unsafe world.memory.add(world.hostMemory.bytes(0, 2), at: 0x10_0000_0000) },
            call: { world in try unsafe world.memory.replace(world.hostMemory.bytes(2, 2), at: 0x10_0000_0000) },
            undo: { world in try unsafe world.memory.replace(world.hostMemory.bytes(0, 2), at: 0x10_0000_0000) }),
        HostOperation(
            name: "removing registered memory",
            prepare: { world in try unsafe world.memory.add(world.hostMemory.bytes(0, 2), at: 0x10_0000_0000) },
            call: { try $0.memory.remove(at: 0x10_0000_0000, count: 2 << 12) },
            undo: { world in try unsafe world.memory.add(world.hostMemory.bytes(0, 2), at: 0x10_0000_0000) }),
        HostOperation(
            name: "a dirty log", isQuiet: true, call: { try $0.memory.setDirtyLog { _, _ in } },
            undo: { try $0.memory.setDirtyLog(nil) }),
        HostOperation(
            name: "mapping in a domain", want: .pages,
            call: { try $0.direct.map(0x7f_ffff_f000, to: 0x1000, length: 2 * HostWorld.region, rights: .read) },
            undo: { try $0.direct.unmap(0x7f_ffff_f000, length: 2 * HostWorld.region) }),
        HostOperation(
            name: "cutting a page of a domain", want: .pages,
            call: { try $0.direct.unmap(0x4000_5000, length: 0x1000) }, undo: { try $0.mapGigabyte() }),
        HostOperation(
            name: "protecting a part of a page of a domain", want: .pages,
            call: { try $0.direct.protect(0x4000_5000, length: 0x1000, rights: .read) },
            undo: { try $0.mapGigabyte() }),
        HostOperation(
            name: "tracking writes page by page", want: .pages,
            // A gigabyte of small pages would take more tables than there are.
            prepare: { try $0.mapGigabyte(upTo: 4 * HostWorld.region) },
            call: { try $0.direct.startDirtyTracking(splittingLargePages: true) },
            undo: {
                try $0.direct.stopDirtyTracking()
                try $0.mapGigabyte(upTo: 4 * HostWorld.region)
            }),
    ]

    // MARK: Spaces, which domains follow

    static let spaces: [HostOperation] = [
        HostOperation(name: "a domain over a space") {
            $0.made = [try PagingDomain(unit: $0.unit, space: $0.space)]
        },
        HostOperation(
            name: "mapping output addresses", want: .pages, mayEmpty: true,
            call: {
                try $0.space.map(.output(0x1000), length: 2 * HostWorld.region, at: 0x7f_ffff_f000, rights: .read)
            },
            undo: { try $0.space.unmap(0x7f_ffff_f000, length: 2 * HostWorld.region) }),
        HostOperation(
            name: "mapping host memory", mayEmpty: true, call: HostOperation.mapHostMemory,
            undo: { try $0.space.unmap(0x1_8000_0000, length: 0x2000) }),
        HostOperation(
            name: "mapping host memory, by pages for tables", want: .pages, before: 1, mayEmpty: true,
            call: HostOperation.mapHostMemory, undo: { try $0.space.unmap(0x1_8000_0000, length: 0x2000) }),
        HostOperation(
            name: "mapping a file", mayEmpty: true, call: HostOperation.mapFile,
            undo: { try $0.space.unmap(0x1_8000_0000, length: 0x3000) }),
        HostOperation(
            name: "mapping a file, by pages for tables", want: .pages, before: 1, mayEmpty: true,
            call: HostOperation.mapFile,
            undo: { try $0.space.unmap(0x1_8000_0000, length: 0x3000) }),
        HostOperation(
            name: "copying a file's area", want: .pages, mayEmpty: true, prepare: HostOperation.mapFile,
            call: { world in
                let space = world.space
                _ = try space.copy(from: space, 0x1_8000_1000, length: 0x2000, at: 0x7f_ffff_f000, rights: .read)
            },
            undo: { try $0.space.unmap(0x7f_ffff_f000, length: 0x2000) }),
        HostOperation(
            name: "unmapping half of a page", want: .pages, mayEmpty: true,
            call: { try $0.space.unmap(0x4010_0000, length: HostWorld.region / 2) }, undo: { try $0.mapHalves() }),
        HostOperation(
            name: "protecting half of a page", want: .pages, mayEmpty: true,
            call: { try $0.space.protect(0x4010_0000, length: HostWorld.region / 2, rights: .read) },
            undo: { try $0.mapHalves() }),
    ]

    private static func mapHostMemory(_ world: HostWorld) throws {
        let source = unsafe AreaSource.host(world.hostMemory.bytes(1, 2))
        try world.space.map(source, length: 0x2000, at: 0x1_8000_0000, rights: [.read, .write])
    }

    private static func mapFile(_ world: HostWorld) throws {
        let source = AreaSource.file(descriptor: world.file.descriptor, offset: 0)
        try world.space.map(source, length: 0x3000, at: 0x1_8000_0000, rights: [.read, .write])
    }

    // MARK: Attachments

    static let attachments: [HostOperation] = [
        HostOperation(
            name: "attaching", prepare: { try $0.device.detach() }, call: { try $0.device.attach($0.nested) },
            undo: { try $0.device.detach() }),
        HostOperation(
            name: "attaching for a PASID", call: { try $0.device.attach($0.second, to: pasid(0xabcde)) },
            undo: { try $0.device.detach(from: pasid(0xabcde)) }),
        HostOperation(
            name: "attaching for a PASID of a slice", call: { try $0.slice.attach($0.direct, to: pasid(31)) },
            undo: { try $0.slice.detach(from: pasid(31)) }),
        HostOperation(
            name: "replacing", call: { try $0.device.replace(with: $0.second) },
            undo: { try $0.device.replace(with: $0.first) }),
        HostOperation(
            name: "replacing for a PASID", call: { try $0.device.replace(with: $0.nested, at: pasid(5)) },
            undo: { try $0.device.replace(with: $0.direct, at: pasid(5)) }),
        HostOperation(
            name: "binding a PASID table",
            prepare: { $0.made = [try Device(id: 9, sourceID: SourceID(0x77), in: $0.unit)] },
            call: { world in
                let device = world.made.first as? Device
                try device?.bind(PASIDTable(pasidBits: 12, address: OutputAddress(GuestImage.ram)))
            },
            undo: { try ($0.made.first as? Device)?.unbind() }),
        HostOperation(
            name: "binding guest PASIDs",
            call: { world in
                // All or none: the test's own doing, so that one call has many steps.
                for number: UInt32 in 200..<240 {
                    do throws(IOMMUError) {
                        try world.namespace.bind(guest: pasid(number))
                    } catch {
                        for bound in 200..<number { try world.namespace.unbind(guest: pasid(bound)) }
                        throw error
                    }
                }
            },
            undo: { for number: UInt32 in 200..<240 { try $0.namespace.unbind(guest: pasid(number)) } }),
    ]

    // MARK: Whoever hears of things

    static let listeners: [HostOperation] = [
        HostOperation(
            name: "an observer", isQuiet: true, call: { $0.made = [try $0.unit.addObserver { _ in }] },
            undo: { world in
                for token in world.made { try (token as? ObserverToken).map(world.unit.removeObserver) }
                world.made = []
            }),
        HostOperation(name: "a fault queue", isQuiet: true) { $0.made = [try FaultQueue(of: .rest, in: $0.unit)] },
        HostOperation(name: "a device's fault queue", isQuiet: true) {
            $0.made = [try FaultQueue(of: .device($0.device), in: $0.unit, options: FaultQueueOptions(quota: 16))]
        },
        HostOperation(
            name: "a fault queue's descriptor", prepare: { $0.made = [try FaultQueue(of: .rest, in: $0.unit)] },
            call: { _ = try ($0.made.first as? FaultQueue)?.fileDescriptor() },
            undo: { world in
                world.made = []
                world.made = [try FaultQueue(of: .rest, in: world.unit)]
            }),
        HostOperation(
            name: "a receiver of faults", isQuiet: true, prepare: { $0.made = [FaultDispatcher(unit: $0.unit)] },
            call: { world in
                let dispatcher = world.made[0] as? FaultDispatcher
                guard let reception = try dispatcher?.receive(from: .rest, on: .thread(), handler: { _ in }) else {
                    return
                }
                world.made.append(reception)
            },
            undo: { (($0.made.removeLast()) as? FaultReception)?.cancel() }),
        HostOperation(
            name: "a sequence of faults", isQuiet: true, prepare: { $0.made = [FaultDispatcher(unit: $0.unit)] },
            call: { world in
                let dispatcher = world.made[0] as? FaultDispatcher
                guard let records = try dispatcher?.records(of: .device(world.device)) else { return }
                world.made.append(records)
            },
            undo: { $0.made.removeLast() }),
        HostOperation(name: "a queue of page requests", isQuiet: true) { $0.made = [try PageQueue($0.first)] },
        HostOperation(name: "a handler of page requests", isQuiet: true) {
            $0.made = [try PageQueue($0.nested) { _ in }]
        },
        HostOperation(name: "a guest's queue of page requests", isQuiet: true) {
            $0.made = [try PageQueue(guestTablesOf: $0.unit)]
        },
        HostOperation(
            name: "a page queue's descriptor", prepare: { $0.made = [try PageQueue($0.first)] },
            call: { _ = try ($0.made.first as? PageQueue)?.fileDescriptor() },
            undo: { world in
                world.made = []
                world.made = [try PageQueue(world.first)]
            }),
        HostOperation(name: "an interface for page requests", isQuiet: true) {
            $0.made = [try $0.device.enablePageRequests()]
        },
        HostOperation(
            name: "submitting a batch", isQuiet: true,
            call: { world in
                var batch = try InvalidationBatch(.vtdQueue128)
                for _ in 0..<8 { try batch.append(.iotlb()) }
                try world.unit.submit(batch) { _ in }
            },
            undo: { $0.unit.finishSubmissions() }),
    ]
}
