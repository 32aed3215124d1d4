// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The fields of the extended capability register, ECAP, by name. Field positions are in CapabilityField.swift.

/// The extended capability register, ECAP [FORMATS-VTD B3].
extension Capabilities.Builder {
    /// Legacy-mode table accesses are coherent (C).
    public var coherentPageWalks: Bool {
        get { self[flag: .c] }
        set { self[flag: .c] = newValue }
    }

    /// Queued invalidation (QI).
    public var queuedInvalidation: Bool {
        get { self[flag: .qi] }
        set { self[flag: .qi] = newValue }
    }

    /// Device-TLBs: ATS (DT).
    public var deviceTLBs: Bool {
        get { self[flag: .dt] }
        set { self[flag: .dt] = newValue }
    }

    /// Interrupt remapping (IR).
    public var interruptRemapping: Bool {
        get { self[flag: .ir] }
        set { self[flag: .ir] = newValue }
    }

    /// 32-bit interrupt destinations (EIM).
    public var extendedInterruptMode: Bool {
        get { self[flag: .eim] }
        set { self[flag: .eim] = newValue }
    }

    /// Pass-through translation type (PT).
    public var passThrough: Bool {
        get { self[flag: .pt] }
        set { self[flag: .pt] = newValue }
    }

    /// Snoop control in paging and PASID entries (SC).
    public var snoopControl: Bool {
        get { self[flag: .sc] }
        set { self[flag: .sc] = newValue }
    }

    /// Offset of the IOTLB registers in bytes: a multiple of 16, below 16 KiB (IRO).
    public var iotlbRegisterOffset: Int {
        get { self[.iro, scale: 16, bias: 0] }
        set { self[.iro, scale: 16, bias: 0] = newValue }
    }

    /// Greatest mask of an interrupt-entry invalidation, 0 to 15 (MHMV).
    public var maximumHandleMask: Int {
        get { self[.mhmv, scale: 1, bias: 0] }
        set { self[.mhmv, scale: 1, bias: 0] = newValue }
    }

    /// Extended context entries (ECS); deprecated, not implemented by the engine.
    public var extendedContexts: Bool {
        get { self[flag: .ecs] }
        set { self[flag: .ecs] = newValue }
    }

    /// Memory types in paging and PASID entries (MTS).
    public var memoryTypes: Bool {
        get { self[flag: .mts] }
        set { self[flag: .mts] = newValue }
    }

    /// Nested translation (NEST).
    public var nestedTranslation: Bool {
        get { self[flag: .nest] }
        set { self[flag: .nest] = newValue }
    }

    /// Deferred invalidation (DIS); deprecated.
    public var deferredInvalidation: Bool {
        get { self[flag: .dis] }
        set { self[flag: .dis] = newValue }
    }

    /// Page requests (PRS).
    public var pageRequests: Bool {
        get { self[flag: .prs] }
        set { self[flag: .prs] = newValue }
    }

    /// Execute requests (ERS); revision 3 only.
    public var executeRequests: Bool {
        get { self[flag: .ers] }
        set { self[flag: .ers] = newValue }
    }

    /// Supervisor requests (SRS).
    public var supervisorRequests: Bool {
        get { self[flag: .srs] }
        set { self[flag: .srs] = newValue }
    }

    /// PASID-only translation (POT); deprecated.
    public var pasidOnlyTranslation: Bool {
        get { self[flag: .pot] }
        set { self[flag: .pot] = newValue }
    }

    /// No-write flag in device-TLB translation requests (NWFS).
    public var noWriteFlag: Bool {
        get { self[flag: .nwfs] }
        set { self[flag: .nwfs] = newValue }
    }

    /// Extended accessed flag in the first stage (EAFS).
    public var extendedAccessedFlag: Bool {
        get { self[flag: .eafs] }
        set { self[flag: .eafs] = newValue }
    }

    /// Bits of a PASID, 1 to 32, of which at most 20 are consistent (PSS + 1).
    public var pasidBits: Int {
        get { self[.pss, scale: 1, bias: 1] }
        set { self[.pss, scale: 1, bias: 1] = newValue }
    }

    /// Requests with PASID (PASID).
    public var pasids: Bool {
        get { self[flag: .pasid] }
        set { self[flag: .pasid] = newValue }
    }

    /// Throttling of device-TLB invalidations (DIT).
    public var deviceTLBInvalidationThrottle: Bool {
        get { self[flag: .dit] }
        set { self[flag: .dit] = newValue }
    }

    /// Page-request drain in the wait descriptor (PDS).
    public var pageRequestDrain: Bool {
        get { self[flag: .pds] }
        set { self[flag: .pds] = newValue }
    }

    /// Scalable mode (SMTS).
    public var scalableMode: Bool {
        get { self[flag: .smts] }
        set { self[flag: .smts] = newValue }
    }

    /// Virtual commands (VCS).
    public var virtualCommands: Bool {
        get { self[flag: .vcs] }
        set { self[flag: .vcs] = newValue }
    }

    /// Accessed and dirty bits in the second stage (SSADS).
    public var secondStageAccessedDirty: Bool {
        get { self[flag: .ssads] }
        set { self[flag: .ssads] = newValue }
    }

    /// Second-stage-only translation in scalable mode (SSTS).
    public var secondStage: Bool {
        get { self[flag: .ssts] }
        set { self[flag: .ssts] = newValue }
    }

    /// First-stage-only translation in scalable mode (FSTS).
    public var firstStage: Bool {
        get { self[flag: .fsts] }
        set { self[flag: .fsts] = newValue }
    }

    /// Coherent page walks in scalable mode (SMPWCS).
    public var pageWalkCoherency: Bool {
        get { self[flag: .smpwcs] }
        set { self[flag: .smpwcs] = newValue }
    }

    /// RID_PASID in context entries (RPS).
    public var ridPASID: Bool {
        get { self[flag: .rps] }
        set { self[flag: .rps] = newValue }
    }

    /// Trusted-device I/O (TDXIO).
    public var tdxIO: Bool {
        get { self[flag: .tdxio] }
        set { self[flag: .tdxio] = newValue }
    }

    /// Performance monitoring (PMS).
    public var performanceMonitoring: Bool {
        get { self[flag: .pms] }
        set { self[flag: .pms] = newValue }
    }

    /// Abort-DMA mode of the root table (ADMS).
    public var abortDMA: Bool {
        get { self[flag: .adms] }
        set { self[flag: .adms] = newValue }
    }

    /// RID_PRIV in context entries (RPRIVS).
    public var ridPrivilege: Bool {
        get { self[flag: .rprivs] }
        set { self[flag: .rprivs] = newValue }
    }

    /// Stop markers in page requests (SMS).
    public var stopMarkers: Bool {
        get { self[flag: .sms] }
        set { self[flag: .sms] = newValue }
    }
}
