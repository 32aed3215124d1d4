// SPDX-License-Identifier: LGPL-2.1-or-later
//
// What a guest must find in the registers of a unit, from the format notes alone [FORMATS-VTD B]: one access after the other, on one
// thread, each with everything done that it asks for. It translates nothing: faults come from the engine's answers.

import IOMMUTestSupport

/// A unit as its driver understands it.
struct RegisterModel {
    /// An interrupt of the unit's own.
    struct Signal: Hashable {
        let address: UInt64
        let data: UInt64
    }

    let rules: RegisterRules
    let unit: UnitModel
    /// Registers by their numbers.
    var values: [UInt64]
    /// The level bits of the last global command.
    private(set) var levels: UInt64 = 0
    /// What SRTP and SIRTP latched; nil before the first one.
    private(set) var root: UInt64?
    private(set) var interruptTable: UInt64?
    private var invalidationAddress: UInt64 = 0
    var nextRecord = 0
    /// Faults that devices met and no access has taken into the registers yet.
    var uncollected: [ModelFault] = []
    /// Bits that the notes do not decide: they are taken over as they are found.
    var loose: [Int: UInt64] = [:]
    /// What the unit has signalled, in order.
    var signals: [Signal] = []
    /// What waits stored in guest memory.
    var stores: [(address: UInt64, data: UInt64)] = []
    /// A wait has stored into descriptors that were still to be fetched: what they are depends on how many are fetched at once.
    var isQueueUncertain = false
    /// Devices with caches of their own.
    var devices: [UInt64: ModelDevice] = [:]
    /// What the host does when it hears of an interrupt: it clears ICS.
    var clearsCompletion = false
    /// What devices were asked by the last write.
    var asked: [DeviceDrop] = []
    /// IQA was changed while the queue was on: the head may be anywhere.
    private(set) var isQueueMoved = false

    init(_ unit: UnitModel, version: UInt64) {
        self.unit = unit
        rules = RegisterRules(unit, version: version)
        values = rules.reset
    }

    subscript(register: GuestRegister) -> UInt64 {
        get { values[register.number] }
        set { values[register.number] = newValue }
    }

    /// Everything as after power-on. What was signalled stays.
    mutating func reset() {
        var fresh = self
        fresh.values = rules.reset
        (fresh.levels, fresh.root, fresh.interruptTable) = (0, nil, nil)
        (fresh.invalidationAddress, fresh.nextRecord, fresh.isQueueMoved) = (0, 0, false)
        (fresh.uncollected, fresh.loose) = ([], [:])
        self = fresh
    }

    // MARK: Accesses

    /// The word of 32 bits at an offset.
    func word(_ offset: Int) -> UInt64 {
        guard let rule = rules.list.first(where: { $0.offset <= offset && offset < $0.offset + $0.size }) else {
            return 0
        }
        return self[rule.register] >> UInt64((offset - rule.offset) * 8) & 0xffff_ffff
    }

    /// What a read of any bytes answers.
    func read(_ offset: Int, size: Int) -> UInt64 {
        guard (1...8).contains(size), (0..<rules.end).contains(offset) else { return 0 }
        return (0..<size).reduce(0) { value, byte in
            let place = offset + byte
            return value | (word(place & ~3) >> UInt64(place % 4 * 8) & 0xff) << UInt64(byte * 8)
        }
    }

    mutating func write(_ offset: Int, size: Int, _ value: UInt64, _ memory: GuardedImage) {
        collect()
        guard size == 4 || size == 8, offset % 4 == 0, (0..<rules.end).contains(offset) else { return }
        var touched: [(rule: RegisterRule, written: UInt64, lanes: UInt64)] = []
        for rule in rules.list {
            var (written, lanes) = (UInt64(0), UInt64(0))
            for half in 0..<size / 4 {
                let place = offset + 4 * half - rule.offset
                guard (0..<rule.size).contains(place) else { continue }
                written |= (value >> UInt64(32 * half) & 0xffff_ffff) << UInt64(8 * place)
                lanes |= 0xffff_ffff << UInt64(8 * place)
            }
            if lanes != 0 { touched.append((rule, written, lanes)) }
        }
        let before = self[.fsts]
        for (rule, written, lanes) in touched {
            let kept = rule.keeps & lanes
            self[rule.register] = self[rule.register] & ~kept & ~(rule.clears & written) | written & kept
        }
        var runsQueue = false
        for (rule, written, lanes) in touched {
            runsQueue = take(rule.register, written, lanes, faultStatus: before) || runsQueue
        }
        if runsQueue { runQueue(memory) }
    }

    /// - Returns: Whether the queue is to be looked at.
    private mutating func take(
        _ register: GuestRegister, _ written: UInt64, _ lanes: UInt64, faultStatus before: UInt64
    ) -> Bool {
        switch register {
        case .gcmd: return command(written)
        case .ccmd: if written >> 63 == 1 { invalidateContexts() }
        case .iotlb: if written >> 63 == 1 { invalidateTranslations() }
        case .iva: invalidationAddress = invalidationAddress & ~lanes | written
        case .iqt: return true
        case .iqa: if isQueueOn { isQueueMoved = true }
        case .fsts:
            if self[.fsts] & 0x73 == 0 { withdraw(.fault) }
            // The queue goes on when what had stopped it is gone.
            return before & 0x50 != 0 && self[.fsts] & 0x50 == 0
        case .ics: if self[.ics] == 0 { withdraw(.completion) }
        case .prs: if self[.prs] == 0 { withdraw(.pageRequest) }
        default:
            if register.isRecordHigh { updatePending() }
            if let event = register.controlled { unmask(event) }
        }
        return false
    }

    // MARK: Commands

    var isQueueOn: Bool { self[.gsts] >> 26 & 1 == 1 }
    var isTranslating: Bool { self[.gsts] >> 31 & 1 == 1 }
    var isRemapping: Bool { self[.gsts] >> 25 & 1 == 1 }
    /// RTADDR.TTM of the table in force.
    var tableMode: UInt64 { (root ?? 0) >> 10 & 3 }

    /// Level bits follow the command; SRTP and SIRTP latch what their registers hold now.
    private mutating func command(_ written: UInt64) -> Bool {
        let hasQueue = unit.ecap >> 1 & 1 == 1
        var known: UInt64 = 1 << 31
        if hasQueue { known |= 1 << 26 }
        if unit.has(.interruptRemapping) { known |= 1 << 25 | 1 << 23 }
        let wasOn = isQueueOn
        levels = written & known
        if written >> 30 & 1 == 1 { root = self[.rtaddr] }
        if written >> 24 & 1 == 1, unit.has(.interruptRemapping) { interruptTable = self[.irta] }
        self[.gsts] = levels | (root == nil ? 0 : 1 << 30) | (interruptTable == nil ? 0 : 1 << 24)
        if wasOn, !isQueueOn {
            self[.iqh] = 0
            isQueueMoved = false
        }
        return !wasOn && isQueueOn
    }

    /// The queue is off, VER.major is below 6, and the table mode is one that exists.
    private var takesRegisterInvalidations: Bool {
        !isQueueOn && self[.ver] >> 4 < 6 && tableMode != 2
    }

    /// A table mode that exists, and that this unit does not have: nobody says what an invalidation does then.
    private var isModeForeign: Bool {
        (tableMode == 1 && !unit.has(.scalableMode)) || (tableMode == 3 && !unit.has(.abortMode))
    }

    private mutating func invalidateContexts() {
        let asked = self[.ccmd] >> 61 & 3
        self[.ccmd] = self[.ccmd] & ~(3 << 59) | (takesRegisterInvalidations ? asked : 0) << 59
        if isModeForeign { loose[GuestRegister.ccmd.number] = 3 << 59 }
    }

    private mutating func invalidateTranslations() {
        var actual = self[.iotlb] >> 60 & 3
        let isTooMuch = invalidationAddress & 0x3f > unit[.maximumAddressMask]
        // Where pages cannot be selected, the domain goes.
        if actual == 3, isTooMuch || !unit.has(.pageSelective) { actual = 2 }
        self[.iotlb] = self[.iotlb] & ~(3 << 57) | (takesRegisterInvalidations ? actual : 0) << 57
        if isModeForeign { loose[GuestRegister.iotlb.number] = 3 << 57 }
    }
}
