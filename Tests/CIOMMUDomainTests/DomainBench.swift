// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A unit with what a host sets up itself, behind calls that need no pointers. Only what ciommu_domains.h and ciommu.h declare.

import CIOMMU
import Testing

// So that a failed expectation says what the status was.
// swift-format-ignore: AvoidRetroactiveConformances
extension ciommu_status: @retroactive CustomStringConvertible {
    public var description: String { unsafe String(cString: ciommu_status_text(self)) }
}

// @unchecked: the C functions on domains and devices are thread safe.
/// A domain.
@safe
struct Domain: Equatable, @unchecked Sendable {
    fileprivate let handle: OpaquePointer
    static func == (left: Domain, right: Domain) -> Bool { unsafe left.handle == right.handle }
}

// @unchecked: as above.
/// A device.
@safe
struct Device: Equatable, @unchecked Sendable {
    fileprivate let handle: OpaquePointer
    static func == (left: Device, right: Device) -> Bool { unsafe left.handle == right.handle }
}

/// A port other than the bench's own.
@safe
struct ExtraPort {
    fileprivate let handle: OpaquePointer
}

/// A call that was to succeed and did not.
struct Refused: Error, CustomStringConvertible {
    var status: ciommu_status
    var description: String { status.description }
}

func check(_ status: ciommu_status) throws {
    if status != CIOMMU_OK { throw Refused(status: status) }
}

/// An answer of the engine.
struct Answer: Equatable, CustomStringConvertible {
    var isMapped: Bool
    var address: UInt64 = 0
    var mask: UInt64 = 0
    var pageLg2: UInt32 = 0
    /// Read and write only.
    var rights: UInt32 = 0
    var contiguous: UInt64 = 0
    var fault = FaultRecord()

    var description: String {
        isMapped ? "\(hex(address)) rights \(rights) of 2^\(pageLg2)" : "fault \(fault)"
    }
}

/// A fault's fields.
struct FaultRecord: Equatable, CustomStringConvertible {
    var reason: UInt32 = 0
    var code: UInt32 = 0
    var source: UInt32 = 0
    var pasid: UInt32 = 0
    var access: UInt32 = 0
    var flags: UInt32 = 0
    var address: UInt64 = 0
    var device: UInt64 = 0

    var description: String { "reason \(reason) code \(hex(UInt64(code))) flags \(flags) device \(device)" }

    init() {}

    init(_ fault: ciommu_fault) {
        reason = fault.reason
        code = fault.code
        source = fault.source
        pasid = fault.pasid
        access = fault.access
        flags = fault.flags
        address = fault.address
        device = fault.device
    }
}

func hex(_ value: UInt64) -> String { "0x" + String(value, radix: 16) }

let readWrite = CIOMMU_READ | CIOMMU_WRITE
let noPASID = UInt32.max
let pageBytes: UInt64 = 4096
let pageBytes2M: UInt64 = 1 << 21
let pageBytes1G: UInt64 = 1 << 30

/// A unit, its memory and a port; one thread. Destroys what it made.
@safe
final class DomainBench {
    private let memory: OpaquePointer
    private let unit: OpaquePointer
    private let port: OpaquePointer
    private var domains: [Domain] = []
    private var devices: [Device] = []
    private var ports: [ExtraPort] = []
    private var ram: [Memory] = []

    /// Registered memory.
    @safe
    private struct Memory {
        let address: UInt64
        let host: UnsafeMutableRawPointer
    }

    init(_ configure: (inout ciommu_unit_config) -> Void = { _ in }) throws {
        var config = ciommu_unit_config()
        unsafe ciommu_unit_config_init(&config)
        config.iotlb_entries = 1024
        config.ports = 8
        config.pool_ports = 2
        config.domains = 64
        configure(&config)
        var handle: OpaquePointer?
        try unsafe check(ciommu_memory_create(&handle))
        let memory = unsafe handle!
        unsafe self.memory = memory
        do {
            try unsafe check(ciommu_unit_create(&config, memory, &handle))
        } catch {
            _ = unsafe ciommu_memory_destroy(memory)
            throw error
        }
        unsafe unit = handle!
        try unsafe check(ciommu_port_create(unit, &handle))
        unsafe port = handle!
    }

    deinit {
        for port in ports { #expect(unsafe ciommu_port_destroy(port.handle) == CIOMMU_OK) }
        for device in devices { _ = unsafe ciommu_device_destroy(device.handle, nil) }
        // Children first: they were made after their parents.
        for domain in domains.reversed() { #expect(unsafe ciommu_domain_destroy(domain.handle) == CIOMMU_OK) }
        #expect(unsafe ciommu_port_destroy(port) == CIOMMU_OK)
        #expect(unsafe ciommu_unit_destroy(unit) == CIOMMU_OK)
        #expect(unsafe ciommu_memory_destroy(memory) == CIOMMU_OK)
        for range in ram { unsafe range.host.deallocate() }
    }

    // MARK: Memory

    /// Registers zeroed memory at an output address.
    func register(_ address: UInt64, bytes: Int) throws {
        let host = UnsafeMutableRawPointer.allocate(byteCount: bytes, alignment: 4096)
        unsafe host.initializeMemory(as: UInt8.self, repeating: 0, count: bytes)
        unsafe ram.append(Memory(address: address, host: host))
        var range = unsafe ciommu_memory_range()
        unsafe range.size = UInt32(MemoryLayout<ciommu_memory_range>.size)
        unsafe range.rights = readWrite
        unsafe range.address = address
        unsafe range.length = UInt64(bytes)
        unsafe range.host = host
        try unsafe check(ciommu_memory_add(memory, &range))
    }

    /// Writes registered memory as the guest's processor would.
    func poke(_ address: UInt64, _ value: UInt64) {
        let range = ram.last { $0.address <= address }!
        unsafe range.host.storeBytes(of: value, toByteOffset: Int(address - range.address), as: UInt64.self)
    }

    func peek(_ address: UInt64) -> UInt64 {
        let range = ram.last { $0.address <= address }!
        return unsafe range.host.load(fromByteOffset: Int(address - range.address), as: UInt64.self)
    }

    // MARK: Domains

    var blocked: Domain { unsafe Domain(handle: ciommu_domain_blocked(unit)) }
    var identity: Domain { unsafe Domain(handle: ciommu_domain_identity(unit)) }

    func makePaging(width: UInt32 = 48, largest: UInt32 = 0, flags: UInt32 = 0) throws -> Domain {
        var config = ciommu_paging_config()
        unsafe ciommu_paging_config_init(&config)
        config.flags = flags
        config.address_width = width
        config.largest_page_lg2 = largest
        var handle: OpaquePointer?
        try unsafe check(ciommu_paging_create(unit, &config, &handle))
        let domain = unsafe Domain(handle: handle!)
        domains.append(domain)
        return domain
    }

    func makeNested(
        on parent: Domain, root: UInt64, width: UInt32 = 48, flags: UInt32 = 0
    ) throws -> Domain {
        var config = ciommu_nested_config()
        config.size = UInt32(MemoryLayout<ciommu_nested_config>.size)
        config.address_width = width
        config.flags = UInt64(flags)
        config.pgtbl_addr = root
        var handle: OpaquePointer?
        try unsafe check(ciommu_nested_create(parent.handle, &config, &handle))
        let domain = unsafe Domain(handle: handle!)
        domains.append(domain)
        return domain
    }

    func destroy(_ domain: Domain) -> ciommu_status {
        let status = unsafe ciommu_domain_destroy(domain.handle)
        if status == CIOMMU_OK { domains.removeAll { $0 == domain } }
        return status
    }

    func kind(_ domain: Domain) -> ciommu_domain_kind { unsafe ciommu_domain_kind(domain.handle) }

    func tryMap(
        _ domain: Domain, _ iova: UInt64, to address: UInt64, _ length: UInt64, _ rights: UInt32 = readWrite
    ) -> ciommu_status {
        var mapping = ciommu_mapping()
        mapping.size = UInt32(MemoryLayout<ciommu_mapping>.size)
        mapping.rights = rights
        mapping.iova = iova
        mapping.length = length
        mapping.address = address
        return unsafe ciommu_domain_map(domain.handle, &mapping)
    }

    func map(
        _ domain: Domain, _ iova: UInt64, to address: UInt64, _ length: UInt64, _ rights: UInt32 = readWrite
    ) throws {
        try check(tryMap(domain, iova, to: address, length, rights))
    }

    /// Also how many bytes were unmapped.
    func tryUnmap(
        _ domain: Domain, _ iova: UInt64, _ length: UInt64, withPort: Bool = false
    ) -> (status: ciommu_status, bytes: UInt64) {
        var bytes: UInt64 = 0xdead
        let status = unsafe ciommu_domain_unmap(domain.handle, withPort ? port : nil, iova, length, &bytes)
        return (status, bytes)
    }

    @discardableResult
    func unmap(_ domain: Domain, _ iova: UInt64, _ length: UInt64) throws -> UInt64 {
        let (status, bytes) = tryUnmap(domain, iova, length)
        try check(status)
        return bytes
    }

    @discardableResult
    func unmapAll(_ domain: Domain) throws -> UInt64 { try unmap(domain, 0, .max) }

    func protect(
        _ domain: Domain, _ iova: UInt64, _ length: UInt64, _ rights: UInt32, withPort: Bool = false
    ) -> ciommu_status {
        unsafe ciommu_domain_protect(domain.handle, withPort ? port : nil, iova, length, rights)
    }

    /// The page that holds `iova`, or the next.
    func next(_ domain: Domain, _ iova: UInt64) -> Page? {
        var mapping = ciommu_mapping()
        mapping.size = UInt32(MemoryLayout<ciommu_mapping>.size)
        guard unsafe ciommu_domain_next(domain.handle, iova, &mapping) == CIOMMU_OK else { return nil }
        return Page(
            iova: mapping.iova, address: mapping.address, lg2: mapping.page_lg2, rights: mapping.rights,
            isDirty: mapping.dirty != 0, length: mapping.length)
    }

    /// Everything that is mapped.
    func listing(_ domain: Domain) -> [Page] {
        var pages: [Page] = []
        var iova: UInt64 = 0
        while let page = next(domain, iova) {
            pages.append(page)
            let (end, wraps) = page.iova.addingReportingOverflow(page.length)
            if wraps || end <= iova { break }
            iova = end
        }
        return pages
    }

    func statistics(_ domain: Domain) -> ciommu_domain_statistics {
        var statistics = ciommu_domain_statistics()
        statistics.size = UInt32(MemoryLayout<ciommu_domain_statistics>.size)
        unsafe ciommu_domain_read_statistics(domain.handle, &statistics)
        return statistics
    }

    func invalidateNested(_ domain: Domain, first: UInt64 = 0, last: UInt64 = .max, leafOnly: Bool = false)
        -> ciommu_status
    {
        unsafe ciommu_nested_invalidate(domain.handle, nil, first, last, leafOnly)
    }

    // MARK: Dirty tracking

    func startTracking(_ domain: Domain, flags: UInt32 = 0, withPort: Bool = false) -> ciommu_status {
        unsafe ciommu_dirty_start(domain.handle, withPort ? port : nil, flags)
    }

    func stopTracking(_ domain: Domain, withPort: Bool = false) -> ciommu_status {
        unsafe ciommu_dirty_stop(domain.handle, withPort ? port : nil)
    }

    /// `bitmap` must be large enough.
    func readDirty(
        _ domain: Domain, _ iova: UInt64, _ length: UInt64, pageSize: UInt64 = pageBytes, flags: UInt32 = 0,
        into bitmap: inout [UInt64], withPort: Bool = false
    ) -> ciommu_status {
        unsafe ciommu_dirty_read(
            domain.handle, withPort ? port : nil, iova, length, pageSize, &bitmap, flags)
    }

    /// The indices of the bits that are set.
    func dirtyBits(
        _ domain: Domain, _ iova: UInt64, _ length: UInt64, pageSize: UInt64 = pageBytes, flags: UInt32 = 0
    ) throws -> [Int] {
        let count = Int(length / pageSize)
        var bitmap = [UInt64](repeating: 0, count: (count + 63) / 64)
        try check(readDirty(domain, iova, length, pageSize: pageSize, flags: flags, into: &bitmap))
        return (0..<bitmap.count * 64).filter { bitmap[$0 / 64] >> UInt64($0 % 64) & 1 != 0 }
    }

    // MARK: Devices

    func tryMakeDevice(
        source: UInt32, id: UInt64, share: ciommu_share = CIOMMU_SHARE_WHOLE,
        policy: ciommu_shared_pasid_policy = CIOMMU_SHARED_PASID_REFUSED, pasids: ClosedRange<UInt32> = 0...0
    ) -> (status: ciommu_status, device: Device?) {
        var config = ciommu_device_config()
        config.size = UInt32(MemoryLayout<ciommu_device_config>.size)
        config.source = source
        config.id = id
        config.share = share.rawValue
        config.policy = policy.rawValue
        config.first_pasid = pasids.lowerBound
        config.last_pasid = pasids.upperBound
        var handle: OpaquePointer?
        let status = unsafe ciommu_device_create(unit, nil, &config, &handle)
        guard status == CIOMMU_OK, let handle = unsafe handle else { return (status, nil) }
        let device = unsafe Device(handle: handle)
        devices.append(device)
        return (status, device)
    }

    func makeDevice(
        source: UInt32 = 0x42, id: UInt64 = 1, share: ciommu_share = CIOMMU_SHARE_WHOLE,
        policy: ciommu_shared_pasid_policy = CIOMMU_SHARED_PASID_REFUSED, pasids: ClosedRange<UInt32> = 0...0
    ) throws -> Device {
        let (status, device) = tryMakeDevice(source: source, id: id, share: share, policy: policy, pasids: pasids)
        try check(status)
        return device!
    }

    func destroy(_ device: Device) -> ciommu_status {
        devices.removeAll { $0 == device }
        return unsafe ciommu_device_destroy(device.handle, nil)
    }

    func reset(_ device: Device) -> ciommu_status { unsafe ciommu_device_reset(device.handle, nil) }

    func attach(_ device: Device, _ domain: Domain, pasid: UInt32 = noPASID) -> ciommu_status {
        unsafe ciommu_device_attach(device.handle, pasid, domain.handle)
    }

    func replace(
        _ device: Device, _ domain: Domain, pasid: UInt32 = noPASID, withPort: Bool = false
    ) -> ciommu_status {
        unsafe ciommu_device_replace(device.handle, withPort ? port : nil, pasid, domain.handle)
    }

    func detach(_ device: Device, pasid: UInt32 = noPASID, withPort: Bool = false) -> ciommu_status {
        unsafe ciommu_device_detach(device.handle, withPort ? port : nil, pasid)
    }

    func domain(of device: Device, pasid: UInt32 = noPASID) -> Domain? {
        guard let handle = unsafe ciommu_device_domain(device.handle, pasid) else { return nil }
        return unsafe Domain(handle: handle)
    }

    /// The ids of those a fault of (source, pasid) belongs to, and CIOMMU_OWNER_*.
    func owners(source: UInt32, pasid: UInt32 = noPASID, capacity: Int = 8) -> (
        ids: [UInt64], count: Int, flags: UInt32
    ) {
        var ids = [UInt64](repeating: .max, count: capacity)
        var count: UInt32 = 0
        var flags: UInt32 = 0
        let status = unsafe ciommu_owners(unit, source, pasid, &ids, UInt32(capacity), &count, &flags)
        #expect(status == CIOMMU_OK)
        return (Array(ids.prefix(min(Int(count), capacity))), Int(count), flags)
    }

    // MARK: Requests

    func enter() { unsafe ciommu_port_enter(port) }
    func leave() { unsafe ciommu_port_leave(port) }

    /// Another port, in a section until `leave`.
    func enterElsewhere() throws -> ExtraPort {
        var handle: OpaquePointer?
        try unsafe check(ciommu_port_create(unit, &handle))
        let port = unsafe ExtraPort(handle: handle!)
        ports.append(port)
        unsafe ciommu_port_enter(port.handle)
        return port
    }

    func leave(_ port: ExtraPort) { unsafe ciommu_port_leave(port.handle) }

    func unitStatistics() -> ciommu_statistics {
        var statistics = ciommu_statistics()
        statistics.size = UInt32(MemoryLayout<ciommu_statistics>.size)
        unsafe ciommu_unit_statistics(unit, &statistics)
        return statistics
    }

    /// Calls `body` and returns what observers heard meanwhile.
    func heard(_ body: () throws -> Void) throws -> [ciommu_invalidation] {
        final class Log { var heard: [ciommu_invalidation] = [] }
        let log = Log()
        var id: UInt32 = 0
        try unsafe check(
            ciommu_observer_add(
                unit,
                { context, invalidation in
                    unsafe Unmanaged<Log>.fromOpaque(context!).takeUnretainedValue().heard.append(invalidation!.pointee)
                }, Unmanaged.passUnretained(log).toOpaque(), &id))
        defer { #expect(unsafe ciommu_observer_remove(unit, id) == CIOMMU_OK) }
        try body()
        return log.heard
    }

    func id(_ domain: Domain) -> UInt32 { unsafe ciommu_domain_id(domain.handle) }

    func drain() -> ciommu_status { unsafe ciommu_unit_drain(unit, nil) }
    func setTranslation(_ isEnabled: Bool) throws { try unsafe check(ciommu_unit_set_translation(unit, isEnabled)) }
    func resetUnit() -> ciommu_status { unsafe ciommu_unit_reset(unit) }

    func ask(
        _ iova: UInt64, _ access: UInt32 = CIOMMU_READ, source: UInt32 = 0x42, pasid: UInt32 = noPASID,
        flags: UInt32 = CIOMMU_NO_FAULT
    ) throws -> Answer {
        var result = unsafe ciommu_result()
        unsafe result.size = UInt32(MemoryLayout<ciommu_result>.size)
        try unsafe check(ciommu_translate(unit, port, source, pasid, iova, access, flags, &result))
        if unsafe result.outcome == CIOMMU_FAULT.rawValue {
            return unsafe Answer(isMapped: false, fault: FaultRecord(result.fault))
        }
        return unsafe Answer(
            isMapped: true, address: result.address, mask: result.mask, pageLg2: result.page_lg2,
            rights: result.rights & readWrite, contiguous: result.contiguous)
    }

    /// Writes eight bytes through the copy helper.
    func write(_ iova: UInt64, _ value: UInt64, source: UInt32 = 0x42, pasid: UInt32 = noPASID) -> ciommu_status {
        var request = ciommu_request()
        request.source = source
        request.pasid = pasid
        request.iova = iova
        request.length = 8
        var progress = ciommu_progress()
        progress.size = UInt32(MemoryLayout<ciommu_progress>.size)
        return unsafe withUnsafeBytes(of: value) {
            unsafe ciommu_write(port, &request, $0.baseAddress, &progress)
        }
    }

    func takeFaults() -> [FaultRecord] {
        var faults = [ciommu_fault](repeating: ciommu_fault(), count: 64)
        for index in faults.indices { faults[index].size = UInt32(MemoryLayout<ciommu_fault>.size) }
        let count = unsafe ciommu_port_take_faults(port, &faults, UInt32(faults.count), nil)
        return faults.prefix(Int(count)).map { FaultRecord($0) }
    }
}
