// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Interrupt remapping: the unit's register, and one message through the table.

internal import CIOMMU
public import IOMMUCore

extension RemappingUnit {
    /// Latches the interrupt-remapping table (IRTA) and the two switches that go with it.
    ///
    /// Entries are read from the guest's memory for every message and never cached: an interrupt-entry-cache descriptor only waits
    /// for access sections.
    ///
    /// - Parameters:
    ///   - irta: The register [FORMATS-VTD B9]: address in bits 63:12, EIME in 11 (it counts only with ECAP.EIM), size in 3:0. Not
    ///     checked: a table where no memory is, is a fault of each message.
    ///   - enabled: Remapping is on (GCMD.IRE). Otherwise messages pass unchanged.
    ///   - allowsCompatibilityFormat: Messages in compatibility format pass while EIME is clear (GCMD.CFI).
    ///   - port: The caller's own port, if it has one: then a call from inside its section is refused instead of waiting for
    ///     itself.
    /// - Throws: ``IOMMUError/unsupported`` without ECAP.IR; ``IOMMUError/inSection``; ``IOMMUError/invalidArgument`` for another
    ///   unit's port: nothing changed. ``IOMMUError/timedOut``: latched, but a section that began before may still signal what the
    ///   old table said.
    public func setInterruptTable(
        _ irta: UInt64, enabled: Bool, allowsCompatibilityFormat: Bool = false, port: Port? = nil
    ) throws(IOMMUError) {
        try checkOwner(of: port)
        try unsafe IOMMUError.check(
            ciommu_unit_set_interrupt_table(handle, port?.handle, irta, enabled, allowsCompatibilityFormat))
        extendLifetime(port)
    }
}

extension Port {
    /// Remaps one message inside a section of this port (``withSection(_:)``), which signals it before it ends.
    ///
    /// A DMA write whose translation is an interrupt (``TranslationResult/interrupt(_:)``) is such a message.
    ///
    /// - Parameters:
    ///   - address: Where the device writes.
    ///   - data: The 4 bytes that it writes.
    ///   - source: Who writes.
    ///   - options: ``RequestOptions/noFault`` or none.
    /// - Returns: What is to be signalled, or why nothing is. A fault also goes into this port's ring.
    /// - Throws: ``IOMMUError/invalidArgument`` outside a section, for a source over 16 bits, or for other options.
    public func remapInterrupt(
        address: UInt64, data: UInt32, source: SourceID, options: RequestOptions = []
    ) throws(IOMMUError) -> InterruptResult {
        var interrupt = unsafe ciommu_interrupt.empty
        let status = unsafe ciommu_interrupt_remap(
            handle, source.rawValue, address, data, options.rawValue, &interrupt)
        guard status == CIOMMU_OK else {
            throw IOMMUError(status).with(detail: "a message is remapped inside a section, for a 16-bit source id")
        }
        return unsafe InterruptResult(interrupt)
    }

    /// Remaps one message and signals it, in a section of its own; otherwise as ``remapInterrupt(address:data:source:options:)``.
    ///
    /// - Parameter signal: Signals the message. It runs inside the section: it must be short, and must not wait for anybody who
    ///   changes tables, entries, mappings or memory.
    @discardableResult
    public func signalInterrupt(
        address: UInt64, data: UInt32, source: SourceID, options: RequestOptions = [],
        _ signal: (InterruptMessage) -> Void
    ) throws(IOMMUError) -> InterruptResult {
        try withSection { () throws(IOMMUError) in
            let result = try remapInterrupt(address: address, data: data, source: source, options: options)
            if let message = result.message {
                signal(message)
            }
            return result
        }
    }
}

extension ciommu_interrupt {
    /// Zero, with `size` filled in.
    static var empty: ciommu_interrupt {
        var interrupt = unsafe ciommu_interrupt()
        unsafe interrupt.size = UInt32(MemoryLayout<ciommu_interrupt>.size)
        return unsafe interrupt
    }
}
