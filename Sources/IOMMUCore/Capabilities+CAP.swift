// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The fields of the capability register, CAP, by name. Field positions are in CapabilityField.swift.

/// The capability register, CAP [FORMATS-VTD B2].
extension Capabilities.Builder {
    /// Bits of a domain id: 4, 6, ... 16 (ND).
    public var domainBits: Int {
        get { self[.nd, scale: 2, bias: 4] }
        set { self[.nd, scale: 2, bias: 4] = newValue }
    }

    /// Advanced fault logging (AFL); deprecated, not implemented by the engine.
    public var advancedFaultLogging: Bool {
        get { self[flag: .afl] }
        set { self[flag: .afl] = newValue }
    }

    /// Software must flush write buffers (RWBF).
    public var writeBufferFlush: Bool {
        get { self[flag: .rwbf] }
        set { self[flag: .rwbf] = newValue }
    }

    /// Protected low-memory region (PLMR).
    public var protectedLowMemory: Bool {
        get { self[flag: .plmr] }
        set { self[flag: .plmr] = newValue }
    }

    /// Protected high-memory region (PHMR).
    public var protectedHighMemory: Bool {
        get { self[flag: .phmr] }
        set { self[flag: .phmr] = newValue }
    }

    /// Caching mode: absent entries may be cached, so that software invalidates them too (CM).
    public var cachingMode: Bool {
        get { self[flag: .cm] }
        set { self[flag: .cm] = newValue }
    }

    /// Second-stage input widths (SAGAW).
    public var guestAddressWidths: GuestAddressWidths {
        get { GuestAddressWidths(rawValue: UInt8(self[.sagaw])) }
        set { self[.sagaw] = UInt64(newValue.rawValue) }
    }

    /// Widest second-stage input in bits, 1 to 64 (MGAW + 1).
    public var maximumGuestAddressWidth: Int {
        get { self[.mgaw, scale: 1, bias: 1] }
        set { self[.mgaw, scale: 1, bias: 1] = newValue }
    }

    /// Zero-length reads of write-only pages (ZLR).
    public var zeroLengthReads: Bool {
        get { self[flag: .zlr] }
        set { self[flag: .zlr] = newValue }
    }

    /// Offset of the fault recording registers in bytes: a multiple of 16, below 16 KiB (FRO).
    public var faultRecordingOffset: Int {
        get { self[.fro, scale: 16, bias: 0] }
        set { self[.fro, scale: 16, bias: 0] = newValue }
    }

    /// 2 MiB pages in the second stage (SSLPS bit 0).
    public var secondStage2MiB: Bool {
        get { self[.sslps] & 1 != 0 }
        set { self[.sslps] = newValue ? self[.sslps] | 1 : self[.sslps] & ~1 }
    }

    /// 1 GiB pages in the second stage (SSLPS bit 1).
    public var secondStage1GiB: Bool {
        get { self[.sslps] & 2 != 0 }
        set { self[.sslps] = newValue ? self[.sslps] | 2 : self[.sslps] & ~2 }
    }

    /// Page-selective IOTLB invalidation of the second stage (PSI).
    public var pageSelectiveInvalidation: Bool {
        get { self[flag: .psi] }
        set { self[flag: .psi] = newValue }
    }

    /// Number of fault recording registers, 1 to 256 (NFR + 1).
    public var faultRecordingRegisters: Int {
        get { self[.nfr, scale: 1, bias: 1] }
        set { self[.nfr, scale: 1, bias: 1] = newValue }
    }

    /// Greatest address mask of a page-selective invalidation, 0 to 63 (MAMV).
    public var maximumAddressMask: Int {
        get { self[.mamv, scale: 1, bias: 0] }
        set { self[.mamv, scale: 1, bias: 0] = newValue }
    }

    /// IOTLB invalidation can drain writes (DWD).
    public var drainsWrites: Bool {
        get { self[flag: .dwd] }
        set { self[flag: .dwd] = newValue }
    }

    /// IOTLB invalidation can drain reads (DRD).
    public var drainsReads: Bool {
        get { self[flag: .drd] }
        set { self[flag: .drd] = newValue }
    }

    /// 1 GiB pages in the first stage (FS1GP).
    public var firstStage1GiB: Bool {
        get { self[flag: .fs1gp] }
        set { self[flag: .fs1gp] = newValue }
    }

    /// Posted interrupts (PI).
    public var postedInterrupts: Bool {
        get { self[flag: .pi] }
        set { self[flag: .pi] = newValue }
    }

    /// 5-level first-stage paging, 57 bits (FS5LP).
    public var firstStage5Level: Bool {
        get { self[flag: .fs5lp] }
        set { self[flag: .fs5lp] = newValue }
    }

    /// Enhanced commands (ECMDS).
    public var enhancedCommands: Bool {
        get { self[flag: .ecmds] }
        set { self[flag: .ecmds] = newValue }
    }

    /// Setting the interrupt table invalidates what was cached of the old one (ESIRTPS).
    public var enhancedSetInterruptTable: Bool {
        get { self[flag: .esirtps] }
        set { self[flag: .esirtps] = newValue }
    }

    /// Setting the root table invalidates what was cached of the old one (ESRTPS).
    public var enhancedSetRootTable: Bool {
        get { self[flag: .esrtps] }
        set { self[flag: .esrtps] = newValue }
    }
}
