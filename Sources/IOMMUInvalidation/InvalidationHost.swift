// SPDX-License-Identifier: LGPL-2.1-or-later
//
// InvalidationHost - what the descriptors of a queue ask of the host: all that does not concern the unit's own caches.

internal import CIOMMU
public import IOMMUCore

/// What a batch asks of the host. Each closure may be nil: then the descriptor is only checked.
///
/// The closures are called in the order of the entries, outside locks and sections: by `apply` on its own thread, by
/// `submit` on the unit's invalidation thread. They must not wait for that thread.
public struct InvalidationHost: Sendable {
    /// An interrupt-entry-cache descriptor: its index in the batch, and which entries of the interrupt-remapping table
    /// changed. All of them are 0...0xffff.
    public var interruptCache: (@Sendable (_ index: Int, _ entries: ClosedRange<Int>) -> Void)?

    /// A page-group response: its index in the batch, and the descriptor as it was written, 256 bits [FORMATS-VTD C2,
    /// D3].
    public var pageResponse: (@Sendable (_ index: Int, _ descriptor: InvalidationDescriptor) -> Void)?

    /// Everything before this wait descriptor is complete, and its status is stored. `interrupt` asks for the
    /// completion event (IF) [FORMATS-VTD C3].
    public var waited: (@Sendable (_ index: Int, _ interrupt: Bool) -> Void)?

    /// Makes a host that does what the closures do.
    public init(
        interruptCache: (@Sendable (_ index: Int, _ entries: ClosedRange<Int>) -> Void)? = nil,
        pageResponse: (@Sendable (_ index: Int, _ descriptor: InvalidationDescriptor) -> Void)? = nil,
        waited: (@Sendable (_ index: Int, _ interrupt: Bool) -> Void)? = nil
    ) {
        self.interruptCache = interruptCache
        self.pageResponse = pageResponse
        self.waited = waited
    }

    /// No closure is set.
    var isEmpty: Bool {
        interruptCache == nil && pageResponse == nil && waited == nil
    }
}

/// Keeps closures at an address that C can hold.
class InvalidationHostBox {
    let host: InvalidationHost

    init(_ host: InvalidationHost) {
        self.host = host
    }

    /// As the C interface wants it: valid as long as the box is.
    final var wire: ciommu_batch_host {
        unsafe ciommu_batch_host(
            size: UInt32(MemoryLayout<ciommu_batch_host>.size), reserved: 0,
            context: Unmanaged.passUnretained(self).toOpaque(),
            interrupt_cache: host.interruptCache == nil ? nil : interruptCacheTrampoline,
            page_response: host.pageResponse == nil ? nil : pageResponseTrampoline,
            waited: host.waited == nil ? nil : waitedTrampoline)
    }
}

/// The box that C was given.
private func box(_ context: UnsafeMutableRawPointer?) -> InvalidationHostBox? {
    guard let context = unsafe context else { return nil }
    return unsafe Unmanaged<InvalidationHostBox>.fromOpaque(context).takeUnretainedValue()
}

private func interruptCacheTrampoline(
    context: UnsafeMutableRawPointer?, index: UInt32, first: UInt32, last: UInt32
) {
    unsafe box(context)?.host.interruptCache?(Int(index), Int(first)...Int(last))
}

private func pageResponseTrampoline(
    context: UnsafeMutableRawPointer?, index: UInt32, words: UnsafePointer<UInt64>?
) {
    guard let words = unsafe words else { return }
    let descriptor = unsafe InvalidationDescriptor(words[0], words[1], words[2], words[3])
    unsafe box(context)?.host.pageResponse?(Int(index), descriptor)
}

private func waitedTrampoline(context: UnsafeMutableRawPointer?, index: UInt32, interrupt: Bool) {
    unsafe box(context)?.host.waited?(Int(index), interrupt)
}
