// SPDX-License-Identifier: LGPL-2.1-or-later
//
// What a virtual unit is made with, and what it asks of its host.

public import IOMMUCore

extension VirtualVTd {
    /// What a virtual unit is made with.
    public struct Configuration: Sendable {
        /// What it offers. Page requests need queued invalidation; so do device-TLBs and scalable mode.
        public var capabilities: Capabilities
        /// The VER register: major in bits 7:4, minor in 3:0. From major 6 on registers do not invalidate.
        public var version: UInt8 = 0x10
        /// Where commands and the queue are worked on.
        public var processing = Processing.worker
        /// How long a guest may take to answer a group of page requests, after which the device hears failure; nil for ever, as hardware
        /// would wait.
        public var pageTimeout: Duration? = .seconds(10)
        /// The sizes of the engine's unit, and its times: after `deviceTLBTimeout` a device-TLB that has not answered is a time-out in
        /// the guest's invalidation queue (ITE).
        public var sizes = RemappingUnit.Configuration()

        /// Makes a configuration with everything else at its default.
        ///
        /// - Parameter capabilities: What it offers. Registers that they place nowhere (CAP.FRO or ECAP.IRO zero) are placed: IVA and IOTLB
        ///   at 0x100, fault records from 0x400 on.
        public init(capabilities: Capabilities = .full) {
            let placed = try? Capabilities(basedOn: capabilities) {
                if $0.iotlbRegisterOffset == 0 { $0.iotlbRegisterOffset = 0x100 }
                if $0.faultRecordingOffset == 0 { $0.faultRecordingOffset = 0x400 }
            }
            self.capabilities = placed ?? capabilities
        }
    }

    /// Where commands and the invalidation queue are worked on.
    public enum Processing: Hashable, Sendable {
        /// On a thread of the unit: register accesses never block, and status follows when it is done.
        case worker
        /// Inside the register write that asks for it, which may wait for access sections. A write from inside a section is
        /// refused if the caller gives its port.
        case inline
    }

    /// What the unit asks of its host. Called outside the unit's locks and access sections, by a register access or on a thread of the
    /// unit's or the engine's. They may call the unit, whose works then go on when they have returned.
    ///
    /// While one runs, works wait for it; and so do ``VirtualVTd/reset()``, ``VirtualVTd/finishWorks()``, ``VirtualVTd/snapshot()``,
    /// ``VirtualVTd/restore(_:)``, and with ``Processing/inline`` writes: a host does not call those with a lock held that its closures
    /// take.
    public struct Host: Sendable {
        /// The unit raises an interrupt of its own: a write of `data` to `address`. It is not remapped.
        public var signal: @Sendable (_ address: UInt64, _ data: UInt32) -> Void
        /// Entries of the interrupt-remapping table changed: for hosts that keep routes. The engine keeps none.
        public var interruptEntriesChanged: (@Sendable (ClosedRange<Int>) -> Void)?

        /// An invalidation took effect, whoever asked for it: for hosts that keep translations elsewhere, such as shadow tables. On the
        /// invalidating thread, before it is reported complete. As an observer of ``VirtualVTd/unit``.
        public var invalidated: (@Sendable (Invalidation) -> Void)?

        /// Makes a host.
        public init(
            signal: @escaping @Sendable (_ address: UInt64, _ data: UInt32) -> Void = { _, _ in },
            interruptEntriesChanged: (@Sendable (ClosedRange<Int>) -> Void)? = nil,
            invalidated: (@Sendable (Invalidation) -> Void)? = nil
        ) {
            self.signal = signal
            self.interruptEntriesChanged = interruptEntriesChanged
            self.invalidated = invalidated
        }
    }
}

extension VirtualVTd.Configuration {
    /// Refuses what no such unit can be [FORMATS-VTD B2, B3].
    func check() throws(IOMMUError) {
        func need(_ isRight: Bool, _ rule: String) throws(IOMMUError) {
            guard isRight else { throw .inconsistent.with(detail: rule) }
        }
        let offered = capabilities
        try need(!offered.advancedFaultLogging, "advanced fault logging (CAP.AFL) is not offered")
        try need(
            !offered.protectedLowMemory && !offered.protectedHighMemory,
            "protected memory regions (CAP.PLMR, CAP.PHMR) are not offered")
        try need(!offered.postedInterrupts, "posted interrupts (CAP.PI) are not offered")
        try need(!offered.enhancedCommands, "enhanced commands (CAP.ECMDS) are not offered")
        try need(!offered.virtualCommands, "virtual commands (ECAP.VCS) are not offered")
        try need(!offered.performanceMonitoring, "performance monitoring (ECAP.PMS) is not offered")
        // RTADDR bit 11 would mean another thing than half of TTM.
        try need(!offered.extendedContexts, "extended contexts (ECAP.ECS) are not offered")
        try need(offered.cap >> 36 & 3 == 0, "pages larger than 1 GiB (CAP.SSLPS) are not offered")
        // Entries, descriptors and fault records have 20 bits for it.
        try need(
            !offered.pasids || offered.pasidBits <= 20,
            "PASIDs of \(offered.pasidBits) bits (ECAP.PSS) are more than 20 bits")
        // A legacy context entry cannot allow them.
        try need(
            offered.scalableMode || !offered.pageRequests, "page requests (ECAP.PRS) need scalable mode (ECAP.SMTS)")
        // What it allows is switched on in IRTA.
        try need(
            offered.interruptRemapping || !offered.extendedInterruptMode,
            "32-bit interrupt destinations (ECAP.EIM) need interrupt remapping (ECAP.IR)")
        let hasQueue = offered.queuedInvalidation
        try need(hasQueue || !offered.deviceTLBs, "device-TLBs (ECAP.DT) need queued invalidation (ECAP.QI)")
        try need(hasQueue || !offered.scalableMode, "scalable mode (ECAP.SMTS) needs queued invalidation (ECAP.QI)")
        try need(hasQueue || !offered.pageRequests, "page requests (ECAP.PRS) need queued invalidation (ECAP.QI)")
        try need(
            hasQueue || !offered.interruptRemapping,
            "interrupt remapping (ECAP.IR) needs queued invalidation (ECAP.QI)")
        try need(
            hasQueue || version >> 4 < 6, "from version 6 on only a queue invalidates, and there is none (ECAP.QI)")
    }
}
