// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Devices of a host in C that come along with a guest: iommu_vtd_resume_page_requests.

import CIOMMU
import CVirtualVTd
import IOMMUTestSupport
import Testing

@Suite struct ResumeTests {
    /// A device's interface, and what it was made with.
    @safe
    private final class PageDevice {
        var config = unsafe ciommu_page_interface_config()
        let interface: OpaquePointer
        private let host: CHost

        init(_ host: CHost, _ change: (inout ciommu_page_interface_config) -> Void = { _ in }) throws {
            unsafe config.size = UInt32(MemoryLayout<ciommu_page_interface_config>.size)
            unsafe config.flags = UInt32(CIOMMU_PAGE_ALL_PASIDS)
            unsafe config.source = CHost.source
            unsafe config.groups = 16
            unsafe config.pages = 16
            unsafe config.device = 5
            unsafe config.context = host.told.context
            unsafe config.handler = { context, answer in
                guard let answer = unsafe answer?.pointee else { return }
                unsafe Told.of(context)?.note { $0.answers += [answer.group, answer.code] }
            }
            unsafe change(&config)
            var made: OpaquePointer?
            try #require(unsafe ciommu_page_interface_create(iommu_vtd_unit(host.vtd), &config, &made) == CIOMMU_OK)
            unsafe interface = try #require(unsafe made)
            self.host = host
        }

        deinit { unsafe ciommu_page_interface_destroy(interface) }

        func ask(_ address: UInt64, group: UInt32, pasid: UInt32 = 3, isLast: Bool = true) -> ciommu_status {
            var request = ciommu_page_request()
            request.size = UInt32(MemoryLayout<ciommu_page_request>.size)
            (request.pasid, request.address, request.group) = (pasid, address, group)
            request.access = UInt32(CIOMMU_READ | CIOMMU_WRITE)
            request.flags = isLast ? UInt32(CIOMMU_PAGE_LAST) : 0
            return unsafe ciommu_page_request(interface, nil, &request)
        }

        func resume() -> Int32 {
            unsafe iommu_vtd_resume_page_requests(host.vtd, interface, &config)
        }
    }

    /// A guest with page requests of two PASIDs in its queue, on the unit that it was moved to.
    private func move(_ configure: (inout ciommu_unit_config) -> Void = { _ in }) throws -> CHost {
        let old = try CHost()
        old.start()
        let device = try PageDevice(old)
        #expect(device.ask(0x5000, group: 7, isLast: false) == CIOMMU_OK)
        #expect(device.ask(0x6000, group: 7) == CIOMMU_OK)
        #expect(device.ask(0x7000, group: 9, pasid: 20) == CIOMMU_OK)
        #expect(old.read(0xc8, size: 8) == 3 * 32)
        let new = try CHost(old.image, configure)
        #expect(new.restore(old.snapshot()) == 0, "\(CHost.error)")
        new.take(over: old)
        // Only now, so that the device's end there is none of the guest's answers.
        withExtendedLifetime(device) {}
        return new
    }

    private func respond(_ host: CHost, group: UInt64, pasid: UInt64, code: UInt64) {
        // The queue lies where the first host put it.
        let queue = host.read(0x90, size: 8) & ~0xfff
        let tail = host.read(0x88)
        let words = [9 | 1 << 4 | code << 12 | UInt64(CHost.source) << 16 | pasid << 32, group << 3, 0, 0]
        for (index, word) in words.enumerated() { host.image[queue + tail + UInt64(index) * 8] = word }
        host.write(0x88, tail + 32)
        unsafe iommu_vtd_finish(host.vtd)
    }

    @Test func theDeviceHearsTheGuest() throws {
        let host = try move()
        respond(host, group: 9, pasid: 20, code: 1)
        let device = try PageDevice(host)
        #expect(device.resume() == 0, "\(CHost.error)")
        #expect(host.told.take().answers == [9, 1], "what the guest answered before")
        respond(host, group: 7, pasid: 3, code: 0)
        #expect(host.told.take().answers == [7, 0])
        #expect(host.read(0xc8, size: 8) == 3 * 32, "the guest sees nothing twice")
        #expect(device.resume() == 0, "nothing is left to come back for")
        #expect(host.told.take().answers == [])
        #expect(device.ask(0x8000, group: 1) == CIOMMU_OK)
        #expect(host.read(0xc8, size: 8) == 4 * 32)
    }

    @Test func eachInterfaceComesForItsOwn() throws {
        let host = try move()
        let low = try PageDevice(host) { config in
            unsafe (config.flags, config.first_pasid, config.last_pasid) = (0, 0, 15)
        }
        let high = try PageDevice(host) { config in
            unsafe (config.flags, config.first_pasid, config.last_pasid) = (0, 16, 31)
        }
        let none = try PageDevice(host) { config in
            unsafe (config.flags, config.first_pasid) = (0, UInt32(CIOMMU_NO_PASID))
            unsafe config.last_pasid = UInt32(CIOMMU_NO_PASID)
        }
        #expect(none.resume() == 0)
        #expect(low.resume() == 0, "\(CHost.error)")
        respond(host, group: 9, pasid: 20, code: 2)
        #expect(host.told.take().answers == [], "its device has yet to come")
        #expect(high.resume() == 0, "\(CHost.error)")
        #expect(host.told.take().answers == [9, 2])
        respond(host, group: 7, pasid: 3, code: 0)
        #expect(host.told.take().answers == [7, 0])
    }

    @Test func whatCannotComeBackIsRefusedAndMayTryAgain() throws {
        let host = try move()
        let device = try PageDevice(host)
        let invalid = CIOMMU_INVALID_ARGUMENT.code
        #expect(unsafe iommu_vtd_resume_page_requests(host.vtd, nil, &device.config) == invalid)
        #expect(unsafe iommu_vtd_resume_page_requests(host.vtd, device.interface, nil) == invalid)
        unsafe device.config.size -= 1
        #expect(device.resume() == invalid)
        unsafe device.config.size += 1
        let closed = try PageDevice(host)
        unsafe ciommu_page_interface_close(closed.interface)
        #expect(closed.resume() == CIOMMU_CLOSED.code)
        #expect(!CHost.error.isEmpty)
        // One page at a time: the second of a group finds no place, and later it does.
        let small = try PageDevice(host) { config in unsafe config.pages = 1 }
        #expect(small.resume() == CIOMMU_NO_SPACE.code)
        #expect(host.told.take().answers == [] && host.read(0xc8, size: 8) == 3 * 32)
        unsafe ciommu_page_interface_close(small.interface)
        _ = host.told.take()
        #expect(device.resume() == 0, "\(CHost.error)")
        respond(host, group: 7, pasid: 3, code: 0)
        respond(host, group: 9, pasid: 20, code: 0)
        #expect(host.told.take().answers == [7, 0, 9, 0])
        #expect(host.read(0xc8, size: 8) == 3 * 32)
    }

    @Test func withoutPageRequestsThereIsNothingToComeBackFor() throws {
        let host = try CHost()
        let device = try PageDevice(host)
        #expect(device.resume() == 0)
        host.start()
        #expect(unsafe iommu_vtd_reset(host.vtd) == 0)
        #expect(device.resume() == 0)
    }
}
