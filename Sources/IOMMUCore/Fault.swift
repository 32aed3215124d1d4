// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Fault - why a request was refused. A value and a result, never an error: a guest's bad tables are its own affair.

package import CIOMMU

/// One refused request.
public struct Fault: Hashable, Sendable {
    /// The reason, whatever the architecture.
    public var reason: FaultReason
    /// The architecture's own fault code [FORMATS-VTD E]; 0 where it has none (``FaultReason/aborted``).
    public var code: UInt32
    /// The part of the way of the request that refused it.
    public var stage: Stage
    /// Who asked.
    public var source: SourceID
    /// The explicit PASID of the request; nil for a request without one, whatever PASID it implied.
    public var pasid: PASID?
    /// What kind of request it was.
    public var request: RequestKind
    /// What was asked.
    public var access: AccessRights
    /// The rights that were found, when ``reason`` is ``FaultReason/permission``.
    public var found: AccessRights
    /// Fault processing was disabled (FPD) for this fault, so it was not recorded [FORMATS-VTD E].
    public var isSuppressed: Bool
    /// A page request may cure it. An ATS translation request that meets it completes with no rights and records nothing.
    public var isRecoverable: Bool
    /// It went into the port's fault ring, or it came out of a queue.
    public var isRecorded: Bool
    /// Level of the paging entry that failed, 0 for the leaf table; nil where none failed.
    public var level: Int?
    /// The input address of the request, in bytes.
    public var address: IOVA
    /// Where the entry that failed lies; nil where none was read.
    public var entryAddress: OutputAddress?
    /// Position in the port's fault ring, counting lost faults too; of a fault that comes out of a queue, its number there.
    public var sequence: UInt64
    /// The host's device that it is attributed to, the first one if there are several; nil for a source id without devices, and
    /// for a PASID that nobody owns.
    public var device: DeviceID?
    /// More than one device could have sent the request [B-A3]: the unit's `owners(of:pasid:)` names them.
    public var isAmbiguous: Bool
    /// The PASID lies in nobody's slice [B-A2]; ``device`` is then the parent, if there is one.
    public var isUnclaimed: Bool
    /// The device itself reported it: the IOMMU has seen nothing.
    public var isFromDevice: Bool

    /// Makes a fault from its parts: for hosts that report faults of their own, and for tests.
    public init(
        reason: FaultReason, code: UInt32 = 0, stage: Stage = .none, source: SourceID, pasid: PASID? = nil,
        access: AccessRights, found: AccessRights = [], isSuppressed: Bool = false, isRecoverable: Bool = false,
        isRecorded: Bool = false, level: Int? = nil, address: IOVA, entryAddress: OutputAddress? = nil,
        sequence: UInt64 = 0, device: DeviceID? = nil, isAmbiguous: Bool = false, isUnclaimed: Bool = false,
        request: RequestKind = .untranslated, isFromDevice: Bool = false
    ) {
        self.reason = reason
        self.code = code
        self.stage = stage
        self.source = source
        self.pasid = pasid
        self.access = access
        self.found = found
        self.isSuppressed = isSuppressed
        self.isRecoverable = isRecoverable
        self.isRecorded = isRecorded
        self.level = level
        self.address = address
        self.entryAddress = entryAddress
        self.sequence = sequence
        self.device = device
        self.isAmbiguous = isAmbiguous
        self.isUnclaimed = isUnclaimed
        self.request = request
        self.isFromDevice = isFromDevice
    }

    /// The architecture's name of ``code``, such as `SSS.2`; empty for a code that the engine does not produce.
    public var codeName: String {
        unsafe String(cString: ciommu_fault_code_name(code))
    }

    /// What ``code`` means, in words; empty for a code that the engine does not produce.
    public var codeText: String {
        unsafe String(cString: ciommu_fault_code_text(code))
    }
}

extension Fault: CustomStringConvertible {
    /// One line: code, meaning, who asked for what, to which device it is attributed, and where it failed.
    public var description: String {
        let name = codeName
        var text = name.isEmpty ? "fault 0x" + String(code, radix: 16) : "\(name) (0x\(String(code, radix: 16)))"
        text += ": \(codeText.isEmpty ? reason.description : codeText); \(access) at \(address) by \(source)"
        if request != .untranslated {
            text += " (\(request))"
        }
        if let pasid {
            text += " pasid \(pasid)"
        }
        if let device {
            text += ", device \(device)"
        }
        if isAmbiguous {
            text += " or another one"
        }
        if isUnclaimed {
            text += ", PASID in nobody's slice"
        }
        if isFromDevice {
            text += ", reported by the device"
        }
        if stage != .none {
            text += ", \(stage) stage"
        }
        if let level {
            text += ", level \(level)"
        }
        if let entryAddress {
            text += ", entry at \(entryAddress)"
        }
        return text
    }
}

extension Fault {
    /// Reads what C wrote.
    package init(_ fault: ciommu_fault) {
        reason = FaultReason(rawValue: fault.reason) ?? .none
        code = fault.code
        stage = Stage(rawValue: fault.stage) ?? .none
        source = SourceID(fault.source)
        pasid = PASID(fault.pasid)
        access = AccessRights(rawValue: fault.access)
        found = AccessRights(rawValue: fault.found)
        isSuppressed = fault.flags & CIOMMU_FAULT_SUPPRESSED != 0
        isRecoverable = fault.flags & CIOMMU_FAULT_RECOVERABLE != 0
        isRecorded = fault.flags & CIOMMU_FAULT_RECORDED != 0
        level = fault.level == CIOMMU_NO_LEVEL ? nil : Int(fault.level)
        address = IOVA(fault.address)
        entryAddress = fault.entry_address == 0 ? nil : OutputAddress(fault.entry_address)
        sequence = fault.sequence
        device = fault.flags & CIOMMU_FAULT_HAS_DEVICE != 0 ? DeviceID(fault.device) : nil
        isAmbiguous = fault.flags & CIOMMU_FAULT_AMBIGUOUS != 0
        isUnclaimed = fault.flags & CIOMMU_FAULT_UNCLAIMED != 0
        request = RequestKind(rawValue: fault.request) ?? .untranslated
        isFromDevice = fault.flags & CIOMMU_FAULT_FROM_DEVICE != 0
    }
}

extension ciommu_fault {
    /// As the C interface wants it.
    package init(_ fault: Fault) {
        self = .empty
        reason = fault.reason.rawValue
        code = fault.code
        stage = fault.stage.rawValue
        source = fault.source.rawValue
        pasid = fault.pasid?.rawValue ?? CIOMMU_NO_PASID
        access = fault.access.rawValue
        found = fault.found.rawValue
        flags =
            (fault.isSuppressed ? CIOMMU_FAULT_SUPPRESSED : 0)
            | (fault.isRecoverable ? CIOMMU_FAULT_RECOVERABLE : 0)
            | (fault.device != nil ? CIOMMU_FAULT_HAS_DEVICE : 0)
        level = fault.level.flatMap(UInt32.init(exactly:)) ?? CIOMMU_NO_LEVEL
        address = fault.address.rawValue
        entry_address = fault.entryAddress?.rawValue ?? 0
        device = fault.device?.rawValue ?? 0
        request = fault.request.rawValue
    }

    /// Zero, with `size` filled in.
    static var empty: ciommu_fault {
        var fault = ciommu_fault()
        fault.size = UInt32(MemoryLayout<ciommu_fault>.size)
        return fault
    }
}
