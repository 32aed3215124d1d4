// SPDX-License-Identifier: LGPL-2.1-or-later
//
// What a unit does now, what went wrong and was not cleared, its faults and its own interrupts, in words.

internal import IOMMUCore
internal import IOMMUFaults
internal import IOMMUInvalidation

extension UnitState {
    private func isOn(_ bit: UInt64) -> Bool { bank[.gsts] & bit != 0 }

    /// What commands have latched and switched.
    var switches: [VirtualVTd.StateDescription.Property] {
        var list: [VirtualVTd.StateDescription.Property] = []
        func add(_ name: String, _ value: String) {
            list.append(VirtualVTd.StateDescription.Property(name: name, value: value))
        }
        add("version", "\(bank[.ver] >> 4 & 0xf).\(bank[.ver] & 0xf)")
        add("translation", isOn(GlobalCommand.translation) ? "on" : "off")
        add("root table", rootTable)
        if capabilities.interruptRemapping {
            add("interrupt remapping", interruptRemapping)
            add("interrupt table", interruptTable)
        }
        let isByRegisters = bank[.ver] >> 4 < 6
        add(
            "invalidation",
            isOn(GlobalCommand.queuedInvalidation)
                ? "by the queue" : isByRegisters ? "by registers (CCMD, IOTLB)" : "off: the queue is off")
        return list
    }

    private var rootTable: String {
        let mode = Register.tableModes[Int(latchedRootTable >> 10 & 3)]
        let isLatched = isOn(GlobalCommand.setRootTable)
        let latched = isLatched ? "\(hexadecimal(latchedRootTable & ~0xfff)), \(mode) mode" : "none latched"
        guard bank[.rtaddr] != latchedRootTable else { return latched }
        return latched + "; RTADDR is \(hexadecimal(bank[.rtaddr])) since, not latched"
    }

    private var interruptRemapping: String {
        guard isOn(GlobalCommand.interruptRemapping) else { return "off" }
        return isOn(GlobalCommand.compatibilityFormat)
            ? "on, compatibility format passes" : "on, compatibility format is blocked"
    }

    private var interruptTable: String {
        let entries = UInt64(2) << (latchedInterruptTable & 0xf)
        let width = latchedInterruptTable >> 11 & 1 == 1 ? "x2APIC" : "xAPIC"
        let latched =
            isOn(GlobalCommand.setInterruptTable)
            ? "\(hexadecimal(latchedInterruptTable & ~0xfff)), \(entries) entries, \(width) destinations"
            : "none latched"
        guard bank[.irta] != latchedInterruptTable else { return latched }
        return latched + "; IRTA is \(hexadecimal(bank[.irta])) since, not latched"
    }

    /// What went wrong and was not cleared.
    var standingErrors: [String] {
        let status = bank[.fsts]
        let codes = bank[.iqercd]
        func source(_ shift: UInt64) -> String {
            let id = codes >> shift & 0xffff
            return id == 0 ? "of a device that is not told" : "of \(SourceID(UInt32(truncatingIfNeeded: id)))"
        }
        var list: [String] = []
        if status & FaultStatus.primaryOverflow != 0 {
            list.append("FSTS.PFO: the fault-recording registers were full, and faults were lost")
        }
        if status & FaultStatus.queueError != 0 {
            let code = HardwareError(.iqei, code: Int(codes & 0xf))
            list.append("FSTS.IQE: the invalidation queue stopped at \(hexadecimal(bank[.iqh])): \(code)")
        }
        if status & FaultStatus.completionError != 0 {
            list.append("FSTS.ICE: a device-TLB \(source(48)) completed an invalidation as it must not")
        }
        if status & FaultStatus.timeOut != 0 {
            list.append("FSTS.ITE: an invalidation of a device-TLB \(source(32)) timed out; the queue is stopped")
        }
        if bank[.prs] & PageRequestStatus.overflow != 0 {
            list.append("PRS.PRO: the page-request queue was full, and page requests were lost")
        }
        return list
    }

    /// The unit's own interrupts that it has registers for.
    var events: [VirtualVTd.StateDescription.EventState] {
        var list = [event("fault", .fectl, .fedata, .feaddr, .feuaddr)]
        if capabilities.queuedInvalidation {
            list.append(event("invalidation completion", .iectl, .iedata, .ieaddr, .ieuaddr))
        }
        if capabilities.pageRequests {
            list.append(event("page request", .pectl, .pedata, .peaddr, .peuaddr))
        }
        return list
    }

    private func event(
        _ name: String, _ control: Register, _ data: Register, _ address: Register, _ upper: Register
    ) -> VirtualVTd.StateDescription.EventState {
        VirtualVTd.StateDescription.EventState(
            name: name, isMasked: bank[control] & EventControl.mask != 0,
            isPending: bank[control] & EventControl.pending != 0,
            message: MessageText.words(address: bank[upper] << 32 | bank[address], data: bank[data]))
    }
}

/// Interrupt messages in words [FORMATS-VTD F1].
enum MessageText {
    static func words(address: UInt64, data: UInt64) -> String {
        let raw = "\(hexadecimal(data)) to \(hexadecimal(address))"
        guard address != 0 || data != 0 else { return "none programmed" }
        guard address >> 20 & 0xfff == 0xfee else { return raw + ", which is no interrupt message" }
        if address >> 4 & 1 == 1 {
            let handle = address >> 5 & 0x7fff | (address >> 2 & 1) << 15
            return raw + ": remappable, handle \(handle)"
        }
        let deliveries = [
            "fixed", "lowest priority", "SMI", "reserved delivery", "NMI", "INIT", "reserved delivery", "ExtINT",
        ]
        let delivery = deliveries[Int(data >> 8 & 7)]
        // Of wide destinations the upper bits stand in the upper address.
        let destination = address >> 12 & 0xff | (address >> 40) << 8
        let mode = address >> 2 & 1 == 1 ? "logical" : "physical"
        return raw + ": vector \(hexadecimal(data & 0xff)), \(delivery), to \(mode) destination \(destination)"
    }
}

extension VirtualVTd.StateDescription.Group {
    init(_ group: VirtualVTd.PageGroupState) {
        source = "\(group.source)"
        pasid = group.pasid?.rawValue
        index = group.index
        pages = group.pages.map { "\($0.access) at \(hexadecimal($0.address.rawValue))" }
        answer = group.response.map { "\($0)" }
    }
}

extension VirtualVTd.StateDescription.FaultRing {
    init(_ state: UnitState) {
        capacity = state.capabilities.faultRecordingRegisters
        next = state.nextRecord
        let status = state.bank[.fsts]
        first =
            status & FaultStatus.primaryPending == 0
            ? nil : Int((status & FaultStatus.recordIndex) >> FaultStatus.recordIndexShift)
        records = (0..<capacity).compactMap { index in
            let (low, high) = (state.bank[.frcdLow(index)], state.bank[.frcdHigh(index)])
            guard low | high != 0 else { return nil }
            return VirtualVTd.StateDescription.FaultState(
                index: index, isPending: FaultText.isPending(high), source: "\(FaultText.source(high))",
                pasid: FaultText.pasid(high), request: FaultText.request(high),
                place: FaultText.place(low: low, high: high), code: hexadecimal(FaultText.code(high)),
                meaning: FaultText.meaning(of: FaultText.code(high)))
        }
    }
}
