// SPDX-License-Identifier: LGPL-2.1-or-later
//
// PageQueueCore - owns the C queue: what PageQueue and the groups that it gave out refer to.

internal import CIOMMU
internal import Dispatch
internal import IOMMUCore
internal import IOMMUDomains
internal import Synchronization

// @unchecked: every C function on a queue is thread safe; it is destroyed with this object.
/// Protocol (life)
///   References   the queue, each group, and each iteration hold this object. C holds `box`, which refers to this object
///                weakly: a call of C that comes while it goes finds nothing and does nothing.
///   The end      `close` answers everything and drains; it may be called often. Afterwards groups can still be asked,
///                and answer `alreadyAnswered`.
@safe
final class PageQueueCore: @unchecked Sendable {
    let unit: RemappingUnit
    let box: PageQueueBox
    private let domain: Domain?
    private let handle: OpaquePointer

    init(
        _ unit: RemappingUnit, _ domain: Domain?, _ configuration: PageQueue.Configuration, _ lanes: PageLanes?
    ) throws(IOMMUError) {
        var config = unsafe try configuration.makeC()
        let box = PageQueueBox(lanes, configuration)
        let context = unsafe Unmanaged.passUnretained(box).toOpaque()
        unsafe config.ready = readyTrampoline
        unsafe config.retire = retireTrampoline
        unsafe config.context = context
        unsafe config.clock = configuration.clock == nil ? nil : clockTrampoline
        unsafe config.clock_context = context
        var handle: OpaquePointer?
        let status = unsafe ciommu_page_queue_create(unit.handle, domain?.handle, &config, &handle)
        guard status == CIOMMU_OK, let handle = unsafe handle else {
            let error = IOMMUError(status)
            guard error == .unsupported else { throw error }
            let isLacking = !unit.capabilities.pageRequests
            throw error.with(detail: isLacking ? "page requests need ECAP.PRS" : "a nest parent takes none")
        }
        self.unit = unit
        self.domain = domain
        self.box = box
        unsafe self.handle = unsafe handle
        box.owner.withLock { $0.core = self }
    }

    deinit {
        unsafe ciommu_page_queue_destroy(handle)
        extendLifetime(box)
    }

    func close() {
        unsafe ciommu_page_queue_close(handle)
        box.signal.end()
    }

    func read() throws(IOMMUError) -> PageGroup? {
        var capacity = 64
        while true {
            var needed = 0
            var group: PageGroup?
            let status = unsafe withUnsafeTemporaryAllocation(of: ciommu_page.self, capacity: capacity) { pages in
                var c = unsafe ciommu_page_group()
                unsafe c.size = UInt32(MemoryLayout<ciommu_page_group>.size)
                unsafe c.capacity = UInt32(capacity)
                unsafe c.pages = pages.baseAddress
                let status = unsafe ciommu_page_read(handle, &c)
                needed = unsafe Int(c.count)
                if status == CIOMMU_OK {
                    group = unsafe PageGroup(c, self)
                }
                return status
            }
            switch status {
            case CIOMMU_OK: return group
            case CIOMMU_NOT_FOUND: return nil
            case CIOMMU_NO_SPACE: capacity = max(needed, capacity * 2)
            default: throw IOMMUError(status)
            }
        }
    }

    func respond(_ cookie: UInt64, _ response: PageResponse) throws(IOMMUError) {
        try unsafe IOMMUError.check(ciommu_page_respond(handle, cookie, response.c))
    }

    func respond(to name: PageGroupName, _ response: PageResponse) throws(IOMMUError) {
        let index = UInt32(clamping: name.group)
        try unsafe IOMMUError.check(
            ciommu_page_respond_by_group(handle, name.source.rawValue, name.pasid.wire, index, response.c))
    }

    func isOpen(_ cookie: UInt64) -> Bool {
        unsafe ciommu_page_is_open(handle, cookie)
    }

    var hasOverflowed: Bool {
        unsafe ciommu_page_queue_overflowed(handle)
    }

    func acknowledgeOverflow() {
        unsafe ciommu_page_queue_acknowledge(handle)
    }

    func fileDescriptor() throws(IOMMUError) -> Int32 {
        let descriptor = unsafe ciommu_page_queue_descriptor(handle)
        guard descriptor >= 0 else { throw .noMemory }
        return descriptor
    }

    var statistics: PageQueueStatistics {
        var statistics = ciommu_page_queue_statistics()
        statistics.size = UInt32(MemoryLayout<ciommu_page_queue_statistics>.size)
        unsafe ciommu_page_queue_read_statistics(handle, &statistics)
        return PageQueueStatistics(statistics)
    }
}

/// What C holds.
final class PageQueueBox: Sendable {
    struct Owner {
        weak var core: PageQueueCore?
    }

    let owner = Mutex(Owner())
    let lanes: PageLanes?
    let signal = PageSignal()
    let clock: (@Sendable () -> UInt64)?
    let acknowledgesOverflow: Bool

    init(_ lanes: PageLanes?, _ configuration: PageQueue.Configuration) {
        self.lanes = lanes
        clock = configuration.clock
        acknowledgesOverflow = configuration.acknowledgesOverflow
    }

    /// There is something to be read.
    func ready() {
        signal.notify()
        guard let lanes, var core = owner.withLock({ $0.core }) else { return }
        lanes.pump(core, acknowledges: acknowledgesOverflow)
        if isKnownUniquelyReferenced(&core) {
            // A handler gave the queue up. It cannot end inside its own call.
            DispatchQueue.global().async { [core] in extendLifetime(core) }
        }
    }
}

private func readyTrampoline(context: UnsafeMutableRawPointer?) {
    guard let context = unsafe context else { return }
    unsafe Unmanaged<PageQueueBox>.fromOpaque(context).takeUnretainedValue().ready()
}

private func retireTrampoline(context: UnsafeMutableRawPointer?, device: UInt64, everybody: Bool) {
    guard let context = unsafe context else { return }
    let box = unsafe Unmanaged<PageQueueBox>.fromOpaque(context).takeUnretainedValue()
    box.lanes?.close(everybody ? nil : DeviceID(device))
}

private func clockTrampoline(context: UnsafeMutableRawPointer?) -> UInt64 {
    guard let context = unsafe context else { return 0 }
    return unsafe Unmanaged<PageQueueBox>.fromOpaque(context).takeUnretainedValue().clock?() ?? 0
}

extension PageResponse {
    var c: ciommu_page_code {
        switch self {
        case .success: CIOMMU_PAGE_SUCCESS
        case .invalid: CIOMMU_PAGE_INVALID
        case .failure: CIOMMU_PAGE_FAILURE
        }
    }
}

extension PageQueue.Configuration {
    /// As the C interface wants it, which checks the ranges. Without callbacks.
    func makeC() throws(IOMMUError) -> ciommu_page_queue_config {
        guard let groups = UInt32(exactly: groups), let pages = UInt32(exactly: pages) else {
            throw .invalidArgument.with(detail: "groups is \(self.groups), pages is \(self.pages)")
        }
        var config = unsafe ciommu_page_queue_config()
        unsafe config.size = UInt32(MemoryLayout<ciommu_page_queue_config>.size)
        unsafe config.flags = sharesAnswers ? 0 : CIOMMU_PAGE_QUEUE_NO_SHARING
        unsafe config.groups = groups
        unsafe config.pages = pages
        unsafe config.timeout = .max
        if let timeout {
            let (seconds, attoseconds) = timeout.components
            guard timeout > .zero, seconds < Int64.max / 1_000_000_000 else {
                throw .invalidArgument.with(detail: "timeout is \(timeout)")
            }
            // At least one: less than a nanosecond is no deadline at all.
            unsafe config.timeout = max(1, UInt64(seconds) * 1_000_000_000 + UInt64(attoseconds) / 1_000_000_000)
        }
        return unsafe config
    }
}
