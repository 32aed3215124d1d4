// SPDX-License-Identifier: LGPL-2.1-or-later
//
// InterruptMessage - what is signalled: an address and data, and the same in words.

internal import CIOMMU

/// An interrupt message as it leaves the unit: write ``data`` to ``address``, or read the fields.
///
/// A message is a value; nothing is signalled by making one. Whoever got it from a delivery or a remapping signals it before the
/// access section ends: then a change that returned without error knows that nothing from before is signalled any more.
public struct InterruptMessage: Hashable, Sendable {
    /// How the interrupt is delivered: bits 10:8 of the data. 3 and 6 are reserved.
    public enum DeliveryMode: UInt32, Hashable, Sendable, CaseIterable {
        /// To the destination, with ``InterruptMessage/vector``.
        case fixed = 0
        /// To the one with the lowest priority.
        case lowestPriority = 1
        /// System management interrupt.
        case smi = 2
        /// Non-maskable interrupt.
        case nmi = 4
        /// Initialisation.
        case initialisation = 5
        /// From an external controller.
        case external = 7
    }

    /// Where to write: 0xFEExxxxx; bits 63:40 hold bits 31:8 of a 32-bit destination.
    public let address: UInt64
    /// What to write, 4 bytes.
    public let data: UInt32
    /// Interrupt vector.
    public let vector: UInt8
    /// How it is delivered; nil for a reserved encoding, which only a message that passed unchanged can have.
    public let deliveryMode: DeliveryMode?
    /// APIC id of the destination: 32 bits in extended interrupt mode, otherwise 8 (compatibility format: 15).
    public let destination: UInt32
    /// The destination is a logical one.
    public let isLogical: Bool
    /// RH: one of the destinations is to be chosen.
    public let hasRedirectionHint: Bool
    /// Level-triggered; otherwise an edge.
    public let isLevelTriggered: Bool
    /// The entry of the interrupt-remapping table that it comes from; nil for a message that passed unchanged.
    public let tableIndex: Int?
}

extension InterruptMessage {
    init(_ c: ciommu_interrupt) {
        address = unsafe c.address
        data = unsafe c.data
        vector = UInt8(truncatingIfNeeded: unsafe c.vector)
        deliveryMode = DeliveryMode(rawValue: unsafe c.delivery_mode)
        destination = unsafe c.destination
        isLogical = unsafe c.logical != 0
        hasRedirectionHint = unsafe c.redirection_hint != 0
        isLevelTriggered = unsafe c.level != 0
        tableIndex = unsafe c.outcome == CIOMMU_INTERRUPT_REMAPPED.rawValue ? Int(c.index) : nil
    }
}
