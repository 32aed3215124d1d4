// SPDX-License-Identifier: LGPL-2.1-or-later
//
// iommu_vtd.h in Swift: each function of the header, as it says. A handle is a retained object.

internal import CIOMMU
public import CVirtualVTd
internal import FoundationEssentials
internal import Glibc
internal import IOMMUCore
internal import VirtualVTd

/// What the thread's last failed call has to say: text of C, in a place that the thread has for it.
private enum LastError {
    private static let key: pthread_key_t = {
        var key = pthread_key_t()
        let status = unsafe pthread_key_create(&key) { text in unsafe free(text) }
        precondition(status == 0, "the process has no thread-specific keys left")
        return key
    }()

    static func note(_ text: String) {
        unsafe free(pthread_getspecific(key))
        unsafe pthread_setspecific(key, strdup(text))
    }

    static var pointer: UnsafePointer<CChar>? {
        if unsafe pthread_getspecific(key) == nil { note("") }
        return unsafe UnsafePointer(pthread_getspecific(key)?.assumingMemoryBound(to: CChar.self))
    }
}

/// Runs `body`; the status of what it throws.
private func status(_ body: () throws(IOMMUError) -> Void) -> Int32 {
    do throws(IOMMUError) {
        try body()
        return 0
    } catch {
        LastError.note("\(error)")
        return Int32(error.status.rawValue)
    }
}

private func front(_ handle: OpaquePointer) -> VirtualVTd {
    unsafe Unmanaged<VirtualVTd>.fromOpaque(UnsafeRawPointer(handle)).takeUnretainedValue()
}

// @unchecked: functions and a pointer of the host, which says in the header that any thread may call them.
/// The host's callbacks.
@safe
private struct Callbacks: @unchecked Sendable {
    let host: iommu_vtd_host

    var swift: VirtualVTd.Host {
        var swift = VirtualVTd.Host(signal: { address, data in unsafe host.signal?(host.context, address, data) })
        if unsafe host.interrupt_entries != nil {
            swift.interruptEntriesChanged = { entries in
                unsafe host.interrupt_entries(host.context, UInt32(entries.lowerBound), UInt32(entries.upperBound))
            }
        }
        if unsafe host.invalidated != nil {
            swift.invalidated = { invalidation in
                var event = ciommu_invalidation(invalidation)
                unsafe host.invalidated(host.context, &event)
            }
        }
        return swift
    }
}

/// Makes a unit; parameters, errors and thread rules stand at `iommu_vtd_create` in the header.
@c(iommu_vtd_create)
public func create(
    _ config: UnsafePointer<iommu_vtd_config>?, _ memory: OpaquePointer?, _ host: UnsafePointer<iommu_vtd_host>?,
    _ out: UnsafeMutablePointer<OpaquePointer?>?
) -> Int32 {
    status { () throws(IOMMUError) in
        guard let config = unsafe config?.pointee, let memory = unsafe memory, let out = unsafe out,
            unsafe config.size >= UInt32(MemoryLayout<iommu_vtd_config>.size)
        else { throw .invalidArgument }
        var callbacks = unsafe iommu_vtd_host()
        if let host = unsafe host {
            guard unsafe host.pointee.size >= UInt32(MemoryLayout<iommu_vtd_host>.size) else { throw .invalidArgument }
            unsafe callbacks = host.pointee
        }
        var configuration = VirtualVTd.Configuration()
        if let engine = unsafe config.engine?.pointee { configuration = try makeConfiguration(engine) }
        let timeout = unsafe config.page_timeout
        if timeout == .max {
            configuration.pageTimeout = nil
        } else if timeout != 0 {
            // Not more than the engine's clock can count: that is 292 years.
            configuration.pageTimeout = .nanoseconds(Int64(clamping: min(timeout, UInt64(Int64.max) - 1_000_000_000)))
        }
        let version = unsafe config.version
        if version != 0 {
            guard let version = UInt8(exactly: version) else {
                throw .invalidArgument.with(detail: "VER has eight bits")
            }
            configuration.version = version
        }
        configuration.processing = unsafe config.flags & UInt32(IOMMU_VTD_INLINE) != 0 ? .inline : .worker
        let callers = unsafe Callbacks(host: callbacks).swift
        let vtd = try VirtualVTd(configuration, memory: unsafe GuestMemory(borrowing: memory), host: callers)
        unsafe out.pointee = OpaquePointer(Unmanaged.passRetained(vtd).toOpaque())
    }
}

/// Capabilities and sizes as the engine knows them.
private func makeConfiguration(_ engine: ciommu_unit_config) throws(IOMMUError) -> VirtualVTd.Configuration {
    guard engine.size >= UInt32(MemoryLayout<ciommu_unit_config>.size), engine.layout == CIOMMU_LAYOUT,
        let revision = Capabilities.Revision(rawValue: engine.revision)
    else { throw .invalidArgument.with(detail: "not a ciommu_unit_config of this version") }
    var configuration = VirtualVTd.Configuration(
        capabilities: try Capabilities(
            cap: engine.cap, ecap: engine.ecap, revision: revision, hostAddressWidth: Int(engine.host_address_width)))
    configuration.sizes = RemappingUnit.Configuration(engine)
    return configuration
}

/// Ends a unit: `iommu_vtd_destroy`.
@c(iommu_vtd_destroy)
public func destroy(_ vtd: OpaquePointer?) {
    guard let vtd = unsafe vtd else { return }
    unsafe Unmanaged<VirtualVTd>.fromOpaque(UnsafeRawPointer(vtd)).release()
}

/// What the thread's last failed call has to say: `iommu_vtd_error`.
@c(iommu_vtd_error)
public func lastError() -> UnsafePointer<CChar>? {
    unsafe LastError.pointer
}

/// A guest's read of registers: `iommu_vtd_read`.
@c(iommu_vtd_read)
public func read(_ vtd: OpaquePointer, _ offset: UInt64, _ size: UInt32) -> UInt64 {
    unsafe front(vtd).read(Int(clamping: offset), size: Int(size))
}

/// A guest's write to registers: `iommu_vtd_write`.
@c(iommu_vtd_write)
public func write(
    _ vtd: OpaquePointer, _ port: OpaquePointer?, _ offset: UInt64, _ size: UInt32, _ value: UInt64
) -> Int32 {
    status { () throws(IOMMUError) in
        let isInside = unsafe port.map { unsafe UnsafePointer<ciommu_port_head>($0).pointee.depth != 0 } ?? false
        unsafe try front(vtd).write(Int(clamping: offset), size: Int(size), value, isInside: isInside)
    }
}

/// Takes recorded faults into the registers: `iommu_vtd_collect_faults`.
@c(iommu_vtd_collect_faults)
public func collectFaults(_ vtd: OpaquePointer) {
    unsafe front(vtd).collectFaults()
}

/// Waits for what was asked for: `iommu_vtd_finish`.
@c(iommu_vtd_finish)
public func finish(_ vtd: OpaquePointer) {
    unsafe front(vtd).finishWorks()
}

/// As after power-on: `iommu_vtd_reset`.
@c(iommu_vtd_reset)
public func reset(_ vtd: OpaquePointer) -> Int32 {
    status { () throws(IOMMUError) in unsafe try front(vtd).reset() }
}

/// The engine's unit: `iommu_vtd_unit`.
@c(iommu_vtd_unit)
public func unit(_ vtd: OpaquePointer) -> OpaquePointer {
    unsafe front(vtd).unit.handle
}

/// The state as text: `iommu_vtd_snapshot`.
@c(iommu_vtd_snapshot)
public func snapshot(_ vtd: OpaquePointer, _ buffer: UnsafeMutablePointer<CChar>?, _ bytes: UInt64) -> UInt64 {
    let encoder = JSONEncoder()
    encoder.outputFormatting = .sortedKeys
    guard let text = unsafe try? encoder.encode(front(vtd).snapshot()) else { return 0 }
    if let buffer = unsafe buffer {
        let part = text.prefix(Int(clamping: bytes))
        unsafe part.withUnsafeBytes { source in
            guard let base = source.baseAddress else { return }
            unsafe UnsafeMutableRawPointer(buffer).copyMemory(from: base, byteCount: source.count)
        }
    }
    return UInt64(text.count)
}

/// Puts a unit into a state: `iommu_vtd_restore`.
@c(iommu_vtd_restore)
public func restore(_ vtd: OpaquePointer, _ buffer: UnsafePointer<CChar>?, _ bytes: UInt64) -> Int32 {
    status { () throws(IOMMUError) in
        guard let buffer = unsafe buffer, let count = Int(exactly: bytes) else { throw .invalidArgument }
        let text = unsafe Data(bytes: buffer, count: count)
        guard let state = try? JSONDecoder().decode(VirtualVTd.Snapshot.self, from: text) else {
            throw .invalidArgument
        }
        unsafe try front(vtd).restore(state)
    }
}

/// A device comes back for the answers to its page requests: `iommu_vtd_resume_page_requests`.
@c(iommu_vtd_resume_page_requests)
public func resumePageRequests(
    _ vtd: OpaquePointer, _ interface: OpaquePointer?, _ config: UnsafePointer<ciommu_page_interface_config>?
) -> Int32 {
    status { () throws(IOMMUError) in
        guard let interface = unsafe interface, let config = unsafe config,
            unsafe config.pointee.size >= UInt32(MemoryLayout<ciommu_page_interface_config>.size)
        else { throw .invalidArgument }
        let isWhole = unsafe config.pointee.flags & CIOMMU_PAGE_ALL_PASIDS != 0
        let (first, last) = unsafe (config.pointee.first_pasid, config.pointee.last_pasid)
        unsafe try front(vtd).resumePageRequests(
            of: SourceID(config.pointee.source),
            owns: { pasid in
                let number = pasid?.rawValue ?? UInt32(CIOMMU_NO_PASID)
                return isWhole || (number >= first && number <= last)
            },
            through: interface)
    }
}
