// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Applying arrays of entries.

import CIOMMU
import IOMMUTestSupport

/// A stage-1 entry of the kernel's interface.
struct Stage1Entry: Hashable {
    var address: UInt64
    var pages: UInt64
    var flags: UInt32 = 0
    var reserved: UInt32 = 0

    static let everything = Stage1Entry(address: 0, pages: .max)

    var words: [UInt64] { [address, pages, UInt64(flags) | UInt64(reserved) << 32] }
}

/// An argument that breaks a rule of the interface.
enum Spoiler: Hashable, Sendable {
    case size, entries, resultSize, failures
    case format(UInt32)
    case count(UInt32)
}

/// Which port a batch gets.
enum PortChoice {
    case own
    case pooled
    case given(BenchPort)
}

extension BatchBench {
    /// The callbacks that write to the log.
    private func host() -> ciommu_batch_host {
        unsafe ciommu_batch_host(
            size: UInt32(MemoryLayout<ciommu_batch_host>.size), reserved: 0,
            context: Unmanaged.passUnretained(log).toOpaque(),
            interrupt_cache: { context, index, first, last in
                let log = unsafe Unmanaged<HostLog>.fromOpaque(context!).takeUnretainedValue()
                log.events.append(.interruptCache(index: index, first: first, last: last))
            },
            page_response: { context, index, words in
                let log = unsafe Unmanaged<HostLog>.fromOpaque(context!).takeUnretainedValue()
                let copy = (0..<4).map { unsafe words![$0] }
                log.events.append(.pageResponse(index: index, words: copy))
            },
            waited: { context, index, interrupt in
                let log = unsafe Unmanaged<HostLog>.fromOpaque(context!).takeUnretainedValue()
                let status = log.statusAtWait?()
                log.events.append(.waited(index: index, interrupt: interrupt, status: status))
            })
    }

    /// Applies a batch as it is given, or with one argument spoiled.
    func apply(
        format: ciommu_batch_format, entries: UnsafeRawPointer?, entryLength: Int, count: Int,
        domain: BenchDomain? = nil, port: PortChoice = .own, hasHost: Bool = true, capacity: Int = 4,
        spoiled: Spoiler? = nil
    ) -> BatchResult {
        var batch = unsafe ciommu_batch(
            size: UInt32(MemoryLayout<ciommu_batch>.size), format: format.rawValue, entry_length: UInt32(entryLength),
            count: UInt32(count), entries: entries, domain: domain?.handle)
        var host = unsafe host()
        let failures = UnsafeMutablePointer<ciommu_batch_failure>.allocate(capacity: max(capacity, 1))
        defer { unsafe failures.deallocate() }
        var result = unsafe ciommu_batch_result()
        unsafe result.size = UInt32(MemoryLayout<ciommu_batch_result>.size)
        unsafe result.capacity = UInt32(capacity)
        unsafe result.failures = failures
        // Whatever is not written must be noticed.
        unsafe result.handled = 0xaaaa_aaaa
        switch spoiled {
        case .size: unsafe batch.size -= 1
        case .format(let format): unsafe batch.format = format
        case .count(let count): unsafe batch.count = count
        case .entries: unsafe batch.entries = nil
        case .resultSize: unsafe result.size -= 1
        case .failures: unsafe result.failures = nil
        case nil: break
        }
        let handle: OpaquePointer? =
            switch port {
            case .own: unsafe self.port.handle
            case .pooled: nil
            case .given(let given): unsafe given.handle
            }
        let status =
            hasHost
            ? unsafe ciommu_batch_apply(unit, handle, &batch, &host, &result)
            : unsafe ciommu_batch_apply(unit, handle, &batch, nil, &result)
        var outcome = BatchResult(status)
        if unsafe result.handled == 0xaaaa_aaaa { return outcome }
        unsafe outcome.read(result, failures)
        return outcome
    }

    /// Applies words that follow one another, in entries of the format's own length.
    func apply(
        format: ciommu_batch_format, words: [UInt64], count: Int, domain: BenchDomain? = nil,
        port: PortChoice = .own, hasHost: Bool = true
    ) -> BatchResult {
        unsafe words.withUnsafeBytes { bytes in
            unsafe apply(
                format: format, entries: bytes.baseAddress, entryLength: format.entryLength, count: count,
                domain: domain, port: port, hasHost: hasHost)
        }
    }

    /// Applies descriptors in one of the two widths.
    func apply(
        _ descriptors: [Descriptor], isWide: Bool, port: PortChoice = .own, hasHost: Bool = true
    ) -> BatchResult {
        apply(
            format: isWide ? CIOMMU_BATCH_VTD_256 : CIOMMU_BATCH_VTD_128,
            words: descriptors.flatMap { $0.widened(isWide).words }, count: descriptors.count, port: port,
            hasHost: hasHost)
    }

    /// Applies stage-1 entries to a nested domain.
    func apply(_ entries: [Stage1Entry], to domain: BenchDomain, port: PortChoice = .own) -> BatchResult {
        apply(
            format: CIOMMU_BATCH_VTD_S1, words: entries.flatMap(\.words), count: entries.count, domain: domain,
            port: port)
    }

    /// The same descriptors one by one, each in a call of its own.
    func applyEach(_ descriptors: [Descriptor], isWide: Bool) {
        for descriptor in descriptors {
            var result = unsafe ciommu_descriptor_result()
            unsafe result.size = UInt32(MemoryLayout<ciommu_descriptor_result>.size)
            let words = descriptor.widened(isWide).words
            let status = unsafe ciommu_invalidate_descriptor(unit, port.handle, words, isWide, &result)
            precondition(status == CIOMMU_OK)
        }
    }
}

extension ciommu_batch_format {
    var entryLength: Int {
        switch self {
        case CIOMMU_BATCH_VTD_S1: 24
        case CIOMMU_BATCH_VTD_128: 16
        default: 32
        }
    }
}

extension BatchResult {
    fileprivate mutating func read(
        _ result: ciommu_batch_result, _ failures: UnsafeMutablePointer<ciommu_batch_failure>
    ) {
        error = unsafe result.error
        code = unsafe result.code
        handled = unsafe result.handled
        lowest = unsafe result.lowest
        highest = unsafe result.highest
        failed = unsafe result.failed
        hasText = unsafe result.text != nil
        merged = unsafe result.merged
        segments = unsafe result.segments
        let written = Int(min(unsafe result.failed, unsafe result.capacity))
        self.failures = (0..<written).map { index in
            let failure = unsafe failures[index]
            return BatchFailure(
                index: failure.index, error: failure.error, flags: failure.flags, portID: failure.port_id)
        }
    }
}
