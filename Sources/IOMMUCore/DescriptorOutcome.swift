// SPDX-License-Identifier: LGPL-2.1-or-later
//
// DescriptorOutcome - what an accepted descriptor asks of the host, once the unit has done its own part.

internal import CIOMMU

/// What became of an accepted invalidation descriptor.
public enum DescriptorOutcome: Hashable, Sendable {
    /// The unit's caches were invalidated; nothing is left to do.
    case caches(Invalidation)
    /// Observers were told of a device-TLB invalidation.
    case deviceTLB(Invalidation)
    /// A valid interrupt-entry cache invalidation. The unit caches no entries and has waited for the sections that may use old
    /// ones; a host that caches some acts.
    case interruptCache
    /// A wait, and everything before it is complete: the host stores the status and signals.
    case wait(WaitRequest)
    /// A valid page-group response: the host acts.
    case pageResponse

    /// What a wait descriptor asks for [FORMATS-VTD C2, C3].
    public struct WaitRequest: Hashable, Sendable {
        /// Raise the completion event (IF), after the status is stored.
        public let interrupt: Bool
        /// Later descriptors wait for this one (FN).
        public let fence: Bool
        /// Drain page requests first (PD).
        public let drainPageRequests: Bool
        /// Where to store ``statusData``; nil when no status is asked for (SW = 0).
        public let statusAddress: OutputAddress?
        /// The 32 bits to store.
        public let statusData: UInt32
    }
}

extension DescriptorOutcome {
    /// Reads what C wrote about a descriptor that it accepted.
    init(_ result: ciommu_descriptor_result) {
        switch unsafe ciommu_descriptor_kind(result.kind) {
        case CIOMMU_DESCRIPTOR_CACHES:
            self = unsafe .caches(Invalidation(result.invalidation))
        case CIOMMU_DESCRIPTOR_DEVICE_TLB:
            self = unsafe .deviceTLB(Invalidation(result.invalidation))
        case CIOMMU_DESCRIPTOR_INTERRUPT_CACHE:
            self = .interruptCache
        case CIOMMU_DESCRIPTOR_WAIT:
            let flags = unsafe result.wait_flags
            self = unsafe .wait(
                WaitRequest(
                    interrupt: flags & 1 != 0, fence: flags & 4 != 0, drainPageRequests: flags & 8 != 0,
                    statusAddress: flags & 2 != 0 ? OutputAddress(result.wait_address) : nil,
                    statusData: result.wait_data))
        case CIOMMU_DESCRIPTOR_PAGE_RESPONSE:
            self = .pageResponse
        default:
            preconditionFailure("the C library accepted a descriptor of a kind that its header does not have")
        }
    }
}
