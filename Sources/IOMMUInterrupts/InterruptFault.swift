// SPDX-License-Identifier: LGPL-2.1-or-later
//
// InterruptFault - why remapping blocked a message.

internal import CIOMMU
public import IOMMUCore

/// A message that the interrupt-remapping table does not let through [FORMATS-VTD F2].
public struct InterruptFault: Hashable, Sendable {
    /// What a posted entry says, which the unit does not offer.
    public struct PostedEntry: Hashable, Sendable {
        /// Where the posted-interrupt descriptor lies.
        public let descriptor: OutputAddress
        /// The virtual vector.
        public let vector: UInt8
        /// URG.
        public let isUrgent: Bool
    }

    /// The fault, as it went into the port's ring: codes 0x20 to 0x26 [FORMATS-VTD E]; its address is the index of the table entry.
    public let fault: Fault
    /// What exactly was wrong.
    public let detail: String
    /// The entry, if it is a posted one (IM = 1) that is refused as such.
    public let postedEntry: PostedEntry?
}

extension InterruptFault: CustomStringConvertible {
    /// One line.
    public var description: String {
        "interrupt 0x\(String(fault.address.rawValue, radix: 16)) from \(fault.source): \(detail)"
    }
}

extension InterruptFault {
    /// Reads what C wrote about a message that it blocked.
    init(blocked c: ciommu_interrupt) {
        fault = unsafe Fault(c.fault)
        detail = unsafe c.error.map { unsafe String(cString: $0) } ?? ""
        postedEntry =
            unsafe c.descriptor == 0
            ? nil
            : PostedEntry(
                descriptor: OutputAddress(c.descriptor), vector: UInt8(truncatingIfNeeded: c.vector),
                isUrgent: c.urgent != 0)
    }
}
