// SPDX-License-Identifier: LGPL-2.1-or-later
//
// RemappingUnit - one IOMMU: it owns the C unit and keeps its memory alive. Requests enter through its ports, or through its
// own `translate`; invalidations through `invalidate`.

internal import CIOMMU
internal import Synchronization

// @unchecked: every C function on a unit is thread safe; the Swift side is behind locks.
/// One IOMMU. Translation is off and no root table is set when it is made.
///
/// Any thread may call, at any time. Calls that wait for access sections (all that invalidate or change tables) must not be made
/// from inside a section of a port: such a call would wait for itself until the deadline.
@safe
public final class RemappingUnit: @unchecked Sendable {
    package let handle: OpaquePointer

    /// What the unit offers.
    public let capabilities: Capabilities

    /// The memory that its output addresses lead to.
    public let memory: GuestMemory

    /// The sizes it was made with.
    public let configuration: Configuration

    let observers = Mutex(ObserverTable())

    let companion = Mutex<(any UnitCompanion)?>(nil)

    /// Makes a unit. All its memory is taken here.
    ///
    /// - Parameters:
    ///   - capabilities: What it offers.
    ///   - memory: What its output addresses lead to; kept alive.
    ///   - configuration: Its sizes.
    /// - Throws: ``IOMMUError/noMemory``; ``IOMMUError/invalidArgument`` for a size out of its range;
    ///   ``IOMMUError/unsupported`` for capabilities that the engine does not implement.
    public init(
        capabilities: Capabilities, memory: GuestMemory, configuration: Configuration = Configuration()
    ) throws(IOMMUError) {
        var config = try configuration.makeC(capabilities)
        var handle: OpaquePointer?
        try unsafe IOMMUError.check(ciommu_unit_create(&config, memory.handle, &handle))
        unsafe self.handle = handle!
        self.capabilities = capabilities
        self.memory = memory
        self.configuration = configuration
    }

    deinit {
        let status = unsafe ciommu_unit_destroy(handle)
        precondition(status == CIOMMU_OK, "every port keeps its unit alive, so no section can be open")
    }

    /// Latches a root-table address as GCMD.SRTP does, and drops everything that was cached. What is in the value is not checked
    /// here: an illegal mode is a fault of each request. After the return nothing from the old tables is in use.
    ///
    /// - Parameter rtaddr: The RTADDR register: base in bits 63:12, TTM in bits 11:10 [FORMATS-VTD B5].
    /// - Throws: ``IOMMUError/timedOut``: latched and dropped, but an older section still runs.
    public func setRootTable(_ rtaddr: UInt64) throws(IOMMUError) {
        try unsafe IOMMUError.check(ciommu_unit_set_root(handle, rtaddr))
    }

    /// Switches translation, as GCMD.TE does [FORMATS-VTD B4]. Off, a request passes unchanged, readable and writable.
    ///
    /// - Throws: ``IOMMUError/timedOut`` as for ``setRootTable(_:)``.
    public func setTranslation(enabled: Bool) throws(IOMMUError) {
        try unsafe IOMMUError.check(ciommu_unit_set_translation(handle, enabled))
    }

    /// Goes back to the state after creation: translation and interrupt remapping off, root zero, every cache empty, nothing attached
    /// or bound to any device. Devices, domains and faults in rings stay.
    ///
    /// - Throws: ``IOMMUError/timedOut`` as for ``setRootTable(_:)``.
    public func reset() throws(IOMMUError) {
        // No lock is held: handlers that are told of the reset, or that it waits for, may call back.
        let status = unsafe ciommu_unit_reset(handle)
        extendLifetime(companion.withLock { $0 }?.unitWasReset() ?? [])
        try IOMMUError.check(status)
    }

    /// Waits until every access section that began before the call has ended.
    ///
    /// - Throws: ``IOMMUError/timedOut``, with the ``IOMMUError/portID`` of a port that was still inside one.
    public func drain() throws(IOMMUError) {
        var port: UInt32 = 0
        let status = unsafe ciommu_unit_drain(handle, &port)
        guard status != CIOMMU_OK else { return }
        var error = IOMMUError(status)
        if status == CIOMMU_TIMED_OUT {
            error.portID = port
        }
        throw error
    }

    /// Makes a port: a thread's way in. It keeps the unit alive.
    ///
    /// - Throws: ``IOMMUError/noPort`` when ``Configuration/ports`` exist; ``IOMMUError/noMemory``.
    public func makePort() throws(IOMMUError) -> sending Port {
        var port: OpaquePointer?
        try unsafe IOMMUError.check(ciommu_port_create(handle, &port))
        return unsafe Port(handle: port!, unit: self)
    }

    /// What the unit has done so far.
    public var statistics: Statistics {
        var statistics = ciommu_statistics()
        statistics.size = UInt32(MemoryLayout<ciommu_statistics>.size)
        unsafe ciommu_unit_statistics(handle, &statistics)
        return Statistics(statistics)
    }
}
