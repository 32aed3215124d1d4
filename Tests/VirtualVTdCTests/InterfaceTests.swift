// SPDX-License-Identifier: LGPL-2.1-or-later
//
// iommu_vtd.h, function by function: what each does, and what each refuses.

import CIOMMU
import CVirtualVTd
import Foundation
import IOMMUTestSupport
import Testing

extension ciommu_status {
    var code: Int32 { Int32(rawValue) }
}

@Suite struct InterfaceTests {
    // MARK: Making and ending units

    /// Makes a unit of what `change` leaves of the arguments.
    private func create(
        _ change: (inout ciommu_unit_config, inout iommu_vtd_config, inout iommu_vtd_host) -> Void,
        withMemory: Bool = true, withConfig: Bool = true, withOut: Bool = true
    ) throws -> (status: Int32, vtd: OpaquePointer?) {
        var memory: OpaquePointer?
        try #require(unsafe ciommu_memory_create(&memory) == CIOMMU_OK)
        var engine = ciommu_unit_config()
        unsafe ciommu_unit_config_init(&engine)
        var host = unsafe CHost.callbacks(Told())
        var vtd: OpaquePointer?
        let status = unsafe withUnsafeMutablePointer(to: &engine) { engine in
            var config = unsafe CHost.config(engine, flags: 0)
            unsafe change(&engine.pointee, &config, &host)
            return unsafe withUnsafeMutablePointer(to: &config) { config in
                unsafe withUnsafeMutablePointer(to: &vtd) { out in
                    unsafe iommu_vtd_create(
                        withConfig ? config : nil, withMemory ? memory : nil, &host, withOut ? out : nil)
                }
            }
        }
        let made = unsafe vtd
        unsafe iommu_vtd_destroy(made)
        #expect(unsafe ciommu_memory_destroy(memory) == CIOMMU_OK, "nobody holds the memory")
        return unsafe (status, made)
    }

    @Test func whatCannotBeIsRefused() throws {
        let invalid = CIOMMU_INVALID_ARGUMENT.code
        let refusals: [(String, Int32, (status: Int32, vtd: OpaquePointer?))] = unsafe [
            ("no configuration", invalid, try create({ _, _, _ in }, withConfig: false)),
            ("no memory map", invalid, try create({ _, _, _ in }, withMemory: false)),
            ("no place for the unit", invalid, try create({ _, _, _ in }, withOut: false)),
            ("a configuration without size", invalid, try create { _, config, _ in unsafe config.size = 0 }),
            ("a shorter configuration", invalid, try create { _, config, _ in unsafe config.size -= 1 }),
            ("callbacks without size", invalid, try create { _, _, host in unsafe host.size = 0 }),
            ("shorter callbacks", invalid, try create { _, _, host in unsafe host.size -= 8 }),
            ("a version of nine bits", invalid, try create { _, config, _ in unsafe config.version = 0x100 }),
            ("an engine without size", invalid, try create { engine, _, _ in engine.size = 0 }),
            ("another layout", invalid, try create { engine, _, _ in engine.layout += 1 }),
            ("another revision", invalid, try create { engine, _, _ in engine.revision = 9 }),
            ("a size out of range", invalid, try create { engine, _, _ in engine.iotlb_entries = 3 }),
            (
                "capabilities that contradict each other", CIOMMU_INCONSISTENT.code,
                try create { engine, _, _ in (engine.cap, engine.ecap) = (8, 0) }
            ),
            (
                "no port for the unit itself", CIOMMU_NO_PORT.code,
                try create { engine, _, _ in (engine.ports, engine.pool_ports) = (1, 1) }
            ),
        ]
        for (name, expected, refusal) in unsafe refusals {
            #expect(unsafe refusal.status == expected, "\(name)")
            #expect(unsafe refusal.vtd == nil, "\(name)")
        }
        _ = try unsafe create { engine, _, _ in (engine.cap, engine.ecap) = (8, 0) }
        #expect(CHost.error.count > 10, "the rule is named")
    }

    @Test func defaultsAreFilledIn() throws {
        let made = try unsafe create { _, config, _ in unsafe config.engine = nil }
        #expect(unsafe made.status == 0 && made.vtd != nil)
        for timeout in [0, 1, UInt64.max - 1, .max] {
            let made = try unsafe create { _, config, _ in unsafe config.page_timeout = timeout }
            #expect(unsafe made.status == 0, "\(timeout): \(CHost.error)")
        }
        let host = try CHost { $0.pool_ports = 0 }
        #expect(host.read(0) == 0x10, "VER")
        unsafe iommu_vtd_destroy(nil)
        #expect(unsafe iommu_vtd_unit(host.vtd) == iommu_vtd_unit(host.vtd))
    }

    @Test func eachThreadHasItsError() throws {
        let invalid = CIOMMU_INVALID_ARGUMENT.code
        #expect(unsafe iommu_vtd_create(nil, nil, nil, nil) == invalid)
        #expect(!CHost.error.isEmpty)
        let group = DispatchGroup()
        group.enter()
        Thread.detachNewThread {
            #expect(CHost.error.isEmpty, "nothing has failed here")
            group.leave()
        }
        group.wait()
        #expect(!CHost.error.isEmpty)
    }

    // MARK: Registers

    @Test(arguments: [0, UInt32(IOMMU_VTD_INLINE)])
    func aGuestProgramsIt(flags: UInt32) throws {
        let host = try CHost(flags: flags)
        host.start()
        _ = host.told.take()
        host.write(0xa4, 0x41)
        host.write(0xa0, 0)
        let status = host.image.allocatePage()
        host.submit(4 | 1 << 4 | 3 << 27 | 8 << 32, 0)
        host.submit(2 | 1 << 4, 0)
        host.submit(5 | 1 << 5 | 1 << 4 | 0x77 << 32, status)
        #expect(host.image[status] == 0x77 && host.read(0x80) == host.read(0x88))
        var events = host.told.take()
        #expect(events.signals == [0x41] && events.entries == [8...15] && events.invalidations >= 1)
        // A device without an entry.
        host.write(0x3c, 0x42)
        host.write(0x38, 0)
        var result = ciommu_result()
        result.size = UInt32(MemoryLayout<ciommu_result>.size)
        unsafe ciommu_port_enter(host.port)
        _ = unsafe ciommu_translate(
            iommu_vtd_unit(host.vtd), host.port, 0x99, UInt32(CIOMMU_NO_PASID), 0x1000, UInt32(CIOMMU_READ), 0, &result)
        unsafe ciommu_port_leave(host.port)
        unsafe iommu_vtd_collect_faults(host.vtd)
        #expect(host.read(0x34) & 2 == 2)
        events = host.told.take()
        #expect(events.signals == [0x42])
        #expect(unsafe iommu_vtd_reset(host.vtd) == 0)
        #expect(host.read(0x1c) == 0 && host.read(0x34) == 0)
    }

    @Test func strangeAccessesAreHarmless() throws {
        let host = try CHost()
        host.start()
        let before = host.snapshot()
        for offset: UInt64 in [1, 0x17, 0x1000, 0xffff_ffff, 1 << 63, .max] {
            for size: UInt32 in [0, 1, 3, 5, 16, .max] {
                #expect(unsafe iommu_vtd_read(host.vtd, offset, size) >= 0)
                #expect(unsafe iommu_vtd_write(host.vtd, nil, offset, size, .max) == 0)
            }
        }
        #expect(host.snapshot() == before)
    }

    @Test func aWriteThatWouldWaitForItselfIsRefused() throws {
        let host = try CHost()
        unsafe ciommu_port_enter(host.port)
        #expect(unsafe iommu_vtd_write(host.vtd, host.port, 0x18, 4, 1 << 31) == CIOMMU_IN_SECTION.code)
        #expect(CHost.error.contains("section"))
        unsafe ciommu_port_leave(host.port)
        #expect(host.read(0x1c) == 0)
        #expect(unsafe iommu_vtd_write(host.vtd, host.port, 0x18, 4, 1 << 31) == 0)
        #expect(host.read(0x1c) == 1 << 31)
        let worker = try CHost(flags: 0)
        unsafe ciommu_port_enter(worker.port)
        #expect(unsafe iommu_vtd_write(worker.vtd, worker.port, 0x18, 4, 1 << 31) == 0)
        unsafe ciommu_port_leave(worker.port)
        unsafe iommu_vtd_finish(worker.vtd)
        #expect(worker.read(0x1c) == 1 << 31)
    }

    @Test func aResetThatASectionHoldsUpSaysSo() throws {
        let host = try CHost { $0.drain_timeout = 1_000_000 }
        host.start()
        let (entered, left) = (DispatchSemaphore(value: 0), DispatchSemaphore(value: 0))
        let address = unsafe UInt(bitPattern: host.port)
        let group = DispatchGroup()
        group.enter()
        Thread.detachNewThread {
            let port = unsafe OpaquePointer(bitPattern: address)
            unsafe ciommu_port_enter(port)
            entered.signal()
            left.wait()
            unsafe ciommu_port_leave(port)
            group.leave()
        }
        entered.wait()
        #expect(unsafe iommu_vtd_reset(host.vtd) == CIOMMU_TIMED_OUT.code)
        #expect(host.read(0x1c) == 0, "reset all the same")
        left.signal()
        group.wait()
        #expect(unsafe iommu_vtd_reset(host.vtd) == 0)
    }

    // MARK: Migration

    @Test func aStateMoves() throws {
        let old = try CHost()
        old.start()
        let state = old.snapshot()
        // Not more than there is room for.
        var part = [CChar](repeating: 1, count: 20)
        let count = unsafe part.withUnsafeMutableBufferPointer { part in
            unsafe iommu_vtd_snapshot(old.vtd, part.baseAddress, 10)
        }
        #expect(count == UInt64(state.count) && Array(part[..<10]) == Array(state[..<10]))
        #expect(part[10...].allSatisfy { $0 == 1 })
        let new = try CHost(old.image)
        #expect(new.restore(state) == 0, "\(CHost.error)")
        #expect(new.snapshot() == state)
        #expect(new.read(0x1c) == old.read(0x1c))
    }

    @Test func whatIsNoStateIsRefused() throws {
        let host = try CHost()
        host.start()
        let state = host.snapshot()
        let invalid = CIOMMU_INVALID_ARGUMENT.code
        #expect(unsafe iommu_vtd_restore(host.vtd, nil, 10) == invalid)
        #expect(unsafe iommu_vtd_restore(host.vtd, [0], .max) == invalid)
        #expect(host.restore([]) == invalid)
        #expect(host.restore(Array(state.dropLast())) == invalid)
        #expect(host.restore(Array("{}".utf8CString)) == invalid)
        let other = try CHost { $0.host_address_width = 40 }
        #expect(other.restore(state) == CIOMMU_UNSUPPORTED.code)
        #expect(CHost.error.contains("capabilities"))
        #expect(host.snapshot() == state, "nothing has changed")
    }
}
