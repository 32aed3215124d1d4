// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A unit over a guest image, and the C calls of batches without pointers. One test, one thread, unless said otherwise.

import CIOMMU
import IOMMUTestSupport

/// The events of one bench, for callbacks.
final class HostLog {
    var events: [HostEvent] = []
    /// Called at each wait, before it is recorded: what the guest would read then.
    var statusAtWait: (() -> UInt32)?
    /// Called at each thing heard.
    var atHeard: (() -> Void)?
}

// @safe: handles are made once and destroyed with this object, the image's memory and the log live as long.
/// A unit with a port.
@safe
final class BatchBench {
    let model: UnitModel
    let image: GuestImage
    let memory: OpaquePointer
    let unit: OpaquePointer
    let port: BenchPort
    let log = HostLog()
    private(set) var root: UInt64
    private var observer: UInt32?
    private var domains: [BenchDomain] = []
    private var devices: [BenchDevice] = []

    /// Configuration of most benches: small, and patient with sections.
    static func configuration(_ change: (inout ciommu_unit_config) -> Void = { _ in }) -> ciommu_unit_config {
        var config = ciommu_unit_config()
        unsafe ciommu_unit_config_init(&config)
        config.iotlb_entries = 4096
        config.walk_cache_entries = 0  // a known leaf table is read, so what the IOTLB keeps would not show
        config.bindings = 128
        config.spaces = 128
        config.domains = 64
        config.ports = 8
        config.pool_ports = 1
        config.drain_timeout = 20_000_000_000
        change(&config)
        return config
    }

    init(
        _ image: GuestImage = GuestImage(), model: UnitModel = .full, root: UInt64 = 0,
        configuration: ciommu_unit_config = BatchBench.configuration()
    ) {
        self.model = model
        self.image = image
        self.root = root
        var config = configuration
        config.cap = model.cap
        config.ecap = model.ecap
        config.revision = UInt32(model.revision)
        config.host_address_width = UInt32(model.hostAddressWidth)
        let memory = unsafe Self.made { unsafe ciommu_memory_create($0) }
        for (index, region) in image.regions.enumerated() {
            let host = unsafe image.host(region: index)
            var range = unsafe ciommu_memory_range(
                size: UInt32(MemoryLayout<ciommu_memory_range>.size),
                rights: region.isWritable ? CIOMMU_READ | CIOMMU_WRITE : CIOMMU_READ, address: region.address,
                length: UInt64(host.count), host: host.baseAddress)
            precondition(unsafe ciommu_memory_add(memory, &range) == CIOMMU_OK)
        }
        let unit = unsafe Self.made { unsafe ciommu_unit_create(&config, memory, $0) }
        precondition(unsafe ciommu_unit_set_root(unit, root) == CIOMMU_OK)
        precondition(unsafe ciommu_unit_set_translation(unit, true) == CIOMMU_OK)
        unsafe self.memory = memory
        unsafe self.unit = unit
        port = unsafe BenchPort(handle: Self.made { unsafe ciommu_port_create(unit, $0) })
    }

    deinit {
        if let observer { _ = unsafe ciommu_observer_remove(unit, observer) }
        for device in devices { _ = unsafe ciommu_device_destroy(device.handle, nil) }
        for domain in domains.reversed() { _ = unsafe ciommu_domain_destroy(domain.handle) }
        precondition(unsafe ciommu_unit_destroy(unit) == CIOMMU_OK)
        precondition(unsafe ciommu_memory_destroy(memory) == CIOMMU_OK)
    }

    static func made(_ make: (UnsafeMutablePointer<OpaquePointer?>) -> ciommu_status) -> OpaquePointer {
        var handle: OpaquePointer?
        let status = unsafe make(&handle)
        precondition(status == CIOMMU_OK, "\(status)")
        return unsafe handle!
    }

    func setRoot(_ register: UInt64) {
        root = register
        precondition(unsafe ciommu_unit_set_root(unit, register) == CIOMMU_OK)
    }

    func makePort() -> BenchPort {
        unsafe BenchPort(handle: Self.made { unsafe ciommu_port_create(unit, $0) })
    }

    var statistics: ciommu_statistics {
        var statistics = ciommu_statistics()
        statistics.size = UInt32(MemoryLayout<ciommu_statistics>.size)
        unsafe ciommu_unit_statistics(unit, &statistics)
        return statistics
    }

    // MARK: Listening

    /// From now on the log hears of invalidations.
    func observe() {
        guard observer == nil else { return }
        var id: UInt32 = 0
        let context = unsafe Unmanaged.passUnretained(log).toOpaque()
        let status = unsafe ciommu_observer_add(
            unit,
            { context, what in
                guard let context = unsafe context, let what = unsafe what?.pointee else { return }
                let log = unsafe Unmanaged<HostLog>.fromOpaque(context).takeUnretainedValue()
                log.atHeard?()
                log.events.append(.heard(Heard(what)))
            }, context, &id)
        precondition(status == CIOMMU_OK)
        observer = id
    }

    /// From now on the log hears of what the engine writes.
    func logWrites() {
        let context = unsafe Unmanaged.passUnretained(log).toOpaque()
        let status = unsafe ciommu_memory_set_dirty_log(
            memory,
            { context, address, length in
                guard let context = unsafe context else { return }
                let log = unsafe Unmanaged<HostLog>.fromOpaque(context).takeUnretainedValue()
                log.events.append(.wrote(address: address, length: length))
            }, context)
        precondition(status == CIOMMU_OK)
    }

    /// What happened since the last call.
    func takeEvents() -> [HostEvent] {
        defer { log.events.removeAll(keepingCapacity: true) }
        return log.events
    }

    // MARK: Translation

    /// Where a read leads; nil for a fault.
    func address(
        _ iova: UInt64, source: UInt16, pasid: UInt32? = nil, port: BenchPort? = nil, isCached: Bool = true
    ) -> UInt64? {
        var result = unsafe ciommu_result()
        unsafe result.size = UInt32(MemoryLayout<ciommu_result>.size)
        let status = unsafe ciommu_translate(
            unit, (port ?? self.port).handle, UInt32(source), pasid ?? UInt32.max, iova, CIOMMU_READ,
            isCached ? CIOMMU_NO_FAULT : CIOMMU_NO_FAULT | CIOMMU_NO_CACHE, &result)
        precondition(status == CIOMMU_OK)
        return unsafe result.outcome == CIOMMU_TRANSLATED_OK.rawValue ? result.address : nil
    }

    // MARK: Domains of the host

    /// A paging domain that maps the image's ranges to themselves and may be a parent.
    func makeParent() -> BenchDomain {
        var config = ciommu_paging_config()
        unsafe ciommu_paging_config_init(&config)
        config.flags = CIOMMU_PAGING_NEST_PARENT
        let domain = unsafe BenchDomain(handle: Self.made { unsafe ciommu_paging_create(unit, &config, $0) })
        for region in image.regions {
            var mapping = ciommu_mapping()
            mapping.size = UInt32(MemoryLayout<ciommu_mapping>.size)
            mapping.rights = region.isWritable ? CIOMMU_READ | CIOMMU_WRITE : CIOMMU_READ
            mapping.iova = region.address
            mapping.length = UInt64(region.byteCount)
            mapping.address = region.address
            precondition(unsafe ciommu_domain_map(domain.handle, &mapping) == CIOMMU_OK)
        }
        domains.append(domain)
        return domain
    }

    /// A nested domain over `parent`, attached to the requests of a new device with this source id.
    func makeNested(over parent: BenchDomain, root: UInt64, levels: Int = 4, source: UInt16) -> BenchDomain {
        var config = ciommu_nested_config()
        config.size = UInt32(MemoryLayout<ciommu_nested_config>.size)
        config.address_width = levels == 5 ? 57 : 48
        config.pgtbl_addr = root
        let domain = unsafe BenchDomain(
            handle: Self.made { unsafe ciommu_nested_create(parent.handle, &config, $0) })
        var device = ciommu_device_config()
        device.size = UInt32(MemoryLayout<ciommu_device_config>.size)
        device.source = UInt32(source)
        device.id = UInt64(source)
        let made = unsafe BenchDevice(handle: Self.made { unsafe ciommu_device_create(unit, nil, &device, $0) })
        precondition(unsafe ciommu_device_attach(made.handle, UInt32.max, domain.handle) == CIOMMU_OK)
        domains.append(domain)
        devices.append(made)
        return domain
    }
}

// @safe: used only while its bench is.
/// A port of a bench.
@safe
struct BenchPort: @unchecked Sendable {
    let handle: OpaquePointer

    var id: UInt32 { unsafe ciommu_port_id(handle) }
    func enter() { unsafe ciommu_port_enter(handle) }
    func leave() { unsafe ciommu_port_leave(handle) }
}

// @safe: used only while its bench is.
/// A domain of the host.
@safe
struct BenchDomain {
    let handle: OpaquePointer
}

// @safe: used only while its bench is.
/// A device of the host.
@safe
struct BenchDevice {
    let handle: OpaquePointer
}

extension BatchBench {
    /// The unit's own domains.
    var identity: BenchDomain { unsafe BenchDomain(handle: ciommu_domain_identity(unit)) }
    var blocked: BenchDomain { unsafe BenchDomain(handle: ciommu_domain_blocked(unit)) }
}

extension Heard {
    init(_ what: ciommu_invalidation) {
        self.init(
            kind: what.kind, domain: what.domain, pasid: what.pasid, source: what.source, sourceMask: what.source_mask,
            stages: what.stages, isLeafOnly: what.leaf_only != 0, first: what.first, last: what.last)
    }
}
