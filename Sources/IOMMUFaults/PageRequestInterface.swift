// SPDX-License-Identifier: LGPL-2.1-or-later
//
// PageRequestInterface - a device's capability to ask for pages (PRI). Owns the C interface.

internal import CIOMMU
public import IOMMUCore
internal import IOMMUDomains

// @unchecked: every C function on an interface is thread safe; it is destroyed with this object.
/// A device's capability to ask for pages (PRI): it gathers what the device sends into groups, and tells the device each
/// group's answer once.
///
/// Whose groups they are is decided when they are asked for: the ``PageQueue`` of the domain that the device attached, of
/// the nested domain that it attached for requests without PASID, or of a guest's own tables.
///
/// Any thread may call, at any time, but not from inside an access section of a port. It keeps its unit alive. Its last
/// reference must not go inside its own handler.
@safe
public final class PageRequestInterface: @unchecked Sendable {
    /// Who asks, and how much at once.
    public let configuration: Configuration

    /// The unit that the device is behind.
    public let unit: RemappingUnit

    private let handle: OpaquePointer
    private let box: PageHandlerBox

    /// Gives a device an interface for page requests. All its memory is taken here.
    ///
    /// - Parameters:
    ///   - unit: The unit that the device is behind.
    ///   - configuration: Who asks.
    ///   - handler: Hears of each group's answer, on the thread that gave it or ended what the group belongs to, outside
    ///     locks and sections. It returns soon; it may call the library, also to detach its device.
    /// - Throws: ``IOMMUError/unsupported`` without ECAP.PRS, or for PASIDs beyond ECAP.PSS;
    ///   ``IOMMUError/invalidArgument`` for a value out of its range; ``IOMMUError/noMemory``.
    public init(
        unit: RemappingUnit, configuration: Configuration,
        handler: @escaping @Sendable (PageAnswer) -> Void = { _ in }
    ) throws(IOMMUError) {
        var config = unsafe try configuration.makeC()
        let box = PageHandlerBox(handler)
        unsafe config.handler = answerTrampoline
        unsafe config.context = Unmanaged.passUnretained(box).toOpaque()
        var handle: OpaquePointer?
        let status = unsafe ciommu_page_interface_create(unit.handle, &config, &handle)
        guard status == CIOMMU_OK, let handle = unsafe handle else {
            let error = IOMMUError(status)
            let isLacking = error == .unsupported && !unit.capabilities.pageRequests
            throw isLacking ? error.with(detail: "page requests need ECAP.PRS") : error
        }
        self.configuration = configuration
        self.unit = unit
        self.box = box
        unsafe self.handle = unsafe handle
    }

    deinit {
        unsafe ciommu_page_interface_destroy(handle)
        extendLifetime(box)
    }

    /// Switches page requests off: everything outstanding is answered with `invalid`, and when this returns no handler
    /// runs in another thread. Requests are refused from then on. Without this call it happens when nothing refers to
    /// this object any more.
    public func close() {
        unsafe ciommu_page_interface_close(handle)
    }

    /// Takes one request. When it is the last of its group the handler is called once, possibly before this returns.
    ///
    /// - Parameters:
    ///   - request: What the device sent.
    ///   - port: The caller's own port, if it has one: a guest's fault goes into its ring.
    /// - Throws: ``IOMMUError/faulted``: the guest's context entry or mode forbids page requests; the request is
    ///   discarded and no answer comes. ``IOMMUError/noSpace``: more than ``Configuration/groups`` or
    ///   ``Configuration/pages``; ask again after an answer. ``IOMMUError/notOwned``: not a PASID of this device.
    ///   ``IOMMUError/closed``, ``IOMMUError/inSection``, ``IOMMUError/noPort``, ``IOMMUError/invalidArgument``.
    public func request(_ request: PageRequest, port: Port? = nil) throws(IOMMUError) {
        var request = try request.makeC()
        try unit.checkOwner(of: port)
        let status = unsafe ciommu_page_request(handle, port?.handle, &request)
        extendLifetime(port)
        try check(status, request.pasid)
    }

    /// Asks for pages as one group and waits for its answer.
    ///
    /// - Parameters:
    ///   - pages: At least one, each with a right.
    ///   - pasid: The PASID; nil for none.
    ///   - deadline: The latest moment to wait to. The group stays asked for, and its answer is then nobody's.
    /// - Returns: The answer.
    /// - Throws: `CancellationError` when the task is cancelled, with the same effect as a deadline;
    ///   ``IOMMUError/timedOut`` at the deadline; ``IOMMUError`` as for ``request(_:port:)``.
    public func answer(
        for pages: [RequestedPage], pasid: PASID? = nil, deadline: ContinuousClock.Instant? = nil
    ) async throws -> PageAnswer {
        try await answer(for: pages, pasid: pasid, deadline: deadline, from: nil)
    }

    /// The same; `port` is the caller's own one.
    nonisolated(nonsending) func answer(
        for pages: [RequestedPage], pasid: PASID?, deadline: ContinuousClock.Instant?, from port: Port?
    ) async throws -> PageAnswer {
        try unit.checkOwner(of: port)
        let wait = PageWait()
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                wait.begin(continuation, until: deadline)
                do {
                    try submit(pages, pasid, port, wait)
                } catch {
                    wait.end(.failure(error))
                }
            }
        } onCancel: {
            wait.end(.failure(CancellationError()))
        }
    }

    private func submit(
        _ pages: [RequestedPage], _ pasid: PASID?, _ port: Port?, _ wait: PageWait
    ) throws(IOMMUError) {
        let wanted = pages.map { page in
            ciommu_page(address: page.address.rawValue, access: page.access.rawValue, reserved: 0)
        }
        let context = unsafe Unmanaged.passRetained(wait)
        let status = unsafe wanted.withUnsafeBufferPointer { wanted in
            unsafe ciommu_page_request_group(
                handle, port?.handle, pasid.wire, wanted.baseAddress, UInt32(clamping: wanted.count), waitTrampoline,
                context.toOpaque())
        }
        extendLifetime(port)
        guard status != CIOMMU_OK else { return }
        unsafe context.release()
        try check(status, pasid.wire)
    }

    private func check(_ status: ciommu_status, _ pasid: UInt32) throws(IOMMUError) {
        guard status != CIOMMU_OK else { return }
        let error = IOMMUError(status)
        switch error {
        case .noSpace:
            throw error.with(
                detail: "\(configuration.groups) groups or \(configuration.pages) pages are outstanding")
        case .notOwned:
            throw error.with(detail: "PASID \(PASID(pasid)?.description ?? "none") is not one of this device")
        default:
            throw error
        }
    }

    /// What it did so far. May be called from anywhere.
    public var statistics: PageRequestStatistics {
        var statistics = ciommu_page_interface_statistics()
        statistics.size = UInt32(MemoryLayout<ciommu_page_interface_statistics>.size)
        unsafe ciommu_page_interface_read_statistics(handle, &statistics)
        return PageRequestStatistics(statistics)
    }
}

/// Keeps a handler at an address that C can hold.
private final class PageHandlerBox: Sendable {
    let handler: @Sendable (PageAnswer) -> Void

    init(_ handler: @escaping @Sendable (PageAnswer) -> Void) {
        self.handler = handler
    }
}

/// What C calls; `context` is the interface's box.
private func answerTrampoline(context: UnsafeMutableRawPointer?, answer: UnsafePointer<ciommu_page_answer>?) {
    guard let context = unsafe context, let answer = unsafe answer else { return }
    let box = unsafe Unmanaged<PageHandlerBox>.fromOpaque(context).takeUnretainedValue()
    box.handler(PageAnswer(unsafe answer.pointee))
}

/// What C calls once for a group; `context` is a reference of its own.
private func waitTrampoline(context: UnsafeMutableRawPointer?, answer: UnsafePointer<ciommu_page_answer>?) {
    guard let context = unsafe context, let answer = unsafe answer else { return }
    let wait = unsafe Unmanaged<PageWait>.fromOpaque(context).takeRetainedValue()
    wait.end(.success(PageAnswer(unsafe answer.pointee)))
}
