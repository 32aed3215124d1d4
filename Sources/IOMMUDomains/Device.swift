// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Device - a device of the host: its name, its source id, and what of that it owns. What is attached to it is in
// Device+Attach.swift, a guest's own PASID table in Device+Bind.swift.

internal import CIOMMU
public import IOMMUCore
internal import Synchronization

// @unchecked: every C function on a device is thread safe, and the Swift side is behind the lock of `state`.
/// A device whose traffic the host directs. Several may share a source id if they own different parts of it (SIOV [B-A2]).
///
/// From its making on, its source id is the host's: the guest's root table has no say, and translation is on for it whether or
/// not the unit has switched it on. All its traffic is blocked until something is attached.
///
/// It keeps its unit and everything attached to it alive. When nothing refers to it, it is detached and destroyed; when the last
/// device of a source id is gone, the source id is the guest's again. Any thread may call, at any time, but not from inside an
/// access section of a port: most calls wait for sections. That goes for the last release of a device, too.
@safe
public final class Device: @unchecked Sendable {
    /// The host's name for it.
    public let id: DeviceID

    /// Who its requests come from on the bus.
    public let sourceID: SourceID

    /// What of the source id it owns.
    public let share: Share

    /// The unit that it is behind.
    public let unit: RemappingUnit

    package let handle: OpaquePointer
    let state = Mutex(State())
    private let registration: UnitRegistry.Registration

    /// What C holds without owning it. An attachment appears here before the call that made it returns, and goes after it is gone
    /// in C: so a domain exists as long as C uses it.
    struct State {
        var domains: [PASID?: Domain] = [:]
    }

    /// Makes a device.
    ///
    /// - Parameters:
    ///   - id: The host's name for it, which no other device of the unit has.
    ///   - sourceID: Who its requests come from: 16 bits.
    ///   - share: What of the source id it owns.
    ///   - unit: The unit that it is behind.
    ///   - port: The caller's own port, if it has one: then a call from inside its section is refused instead of waiting for
    ///     itself.
    /// - Throws: ``IOMMUError/overlap`` when other devices own part of it already; ``IOMMUError/inUse`` when the parent device has
    ///   attached to a PASID of the slice; ``IOMMUError/exists`` for the id; ``IOMMUError/unsupported`` for a slice that the unit's PASID capabilities do not cover; ``IOMMUError/invalidArgument`` for a
    ///   source over 16 bits; ``IOMMUError/inSection``; ``IOMMUError/noMemory``. ``IOMMUError/timedOut``: a section that began
    ///   before still runs, or a device-TLB of the source id did not let go of what it holds from before. In every case there is no device, and the source id belongs to whom it belonged before.
    public init(
        id: DeviceID, sourceID: SourceID, share: Share = .whole, in unit: RemappingUnit, port: Port? = nil
    ) throws(IOMMUError) {
        try unit.checkOwner(of: port)
        var config = ciommu_device_config(id, sourceID, share)
        var handle: OpaquePointer?
        let status = unsafe ciommu_device_create(unit.handle, port?.handle, &config, &handle)
        guard status == CIOMMU_OK, let handle = unsafe handle else {
            // Timed out: made, and every later section sees it. Gone again, because an initialiser either makes a device or fails.
            unsafe _ = ciommu_device_destroy(handle, port?.handle)
            throw Self.error(status, id, sourceID, share, unit)
        }
        self.id = id
        self.sourceID = sourceID
        self.share = share
        self.unit = unit
        unsafe self.handle = unsafe handle
        registration = unit.registry.reserve()
        unit.registry.devices.add(self, as: registration)
    }

    deinit {
        unit.registry.devices.remove(registration)
        let status = unsafe ciommu_device_destroy(handle, nil)
        precondition(status == CIOMMU_OK || status == CIOMMU_TIMED_OUT, "a device can always be destroyed")
    }

    /// Function-level reset: detaches and unbinds everything, so that all traffic is blocked, and masks what is armed in its
    /// interrupt-message stores.
    ///
    /// - Parameter port: The caller's own port, if it has one.
    /// - Throws: ``IOMMUError/inSection``, ``IOMMUError/invalidArgument`` for another unit's port: nothing changed.
    ///   ``IOMMUError/timedOut``: done, but a section that began before still runs (see ``RemappingUnit/drain()``).
    public func reset(port: Port? = nil) throws(IOMMUError) {
        try unit.checkOwner(of: port)
        let status = unsafe ciommu_device_reset(handle, port?.handle)
        extendLifetime(takeDetached())
        try IOMMUError.check(status)
    }

    /// Follows a reset of the unit.
    ///
    /// - Returns: What is to be released outside of locks.
    func unitWasReset() -> [Domain] {
        takeDetached()
    }
}

extension ciommu_device_config {
    init(_ id: DeviceID, _ sourceID: SourceID, _ share: Device.Share) {
        self.init()
        size = UInt32(MemoryLayout<ciommu_device_config>.size)
        source = sourceID.rawValue
        self.id = id.rawValue
        switch share {
        case .whole:
            self.share = CIOMMU_SHARE_WHOLE.rawValue
        case .parent:
            self.share = CIOMMU_SHARE_PARENT.rawValue
        case .slice(let pasids, let policy):
            self.share = CIOMMU_SHARE_SLICE.rawValue
            self.policy = policy.rawValue
            first_pasid = pasids.lowerBound.rawValue
            last_pasid = pasids.upperBound.rawValue
        }
    }
}
