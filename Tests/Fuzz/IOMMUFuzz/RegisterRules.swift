// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The registers that a guest finds, from the format notes alone [FORMATS-VTD B1-B10]: where each lies, which bits keep what is written,
// and which a written 1 clears. Shares no table with the unit.

import IOMMUTestSupport

/// A register by a number of its own.
struct GuestRegister: Hashable {
    let number: Int

    private init(_ number: Int) { self.number = number }

    static let ver = GuestRegister(0)
    static let cap = GuestRegister(1)
    static let ecap = GuestRegister(2)
    static let gcmd = GuestRegister(3)
    static let gsts = GuestRegister(4)
    static let rtaddr = GuestRegister(5)
    static let ccmd = GuestRegister(6)
    static let fsts = GuestRegister(7)
    static let iqh = GuestRegister(8)
    static let iqt = GuestRegister(9)
    static let iqa = GuestRegister(10)
    static let ics = GuestRegister(11)
    static let iqercd = GuestRegister(12)
    static let irta = GuestRegister(13)
    static let pqh = GuestRegister(14)
    static let pqt = GuestRegister(15)
    static let pqa = GuestRegister(16)
    static let prs = GuestRegister(17)
    static let iva = GuestRegister(18)
    static let iotlb = GuestRegister(19)

    static func control(_ event: GuestEvent) -> GuestRegister { GuestRegister(20 + 4 * event.rawValue) }
    static func data(_ event: GuestEvent) -> GuestRegister { GuestRegister(21 + 4 * event.rawValue) }
    static func address(_ event: GuestEvent) -> GuestRegister { GuestRegister(22 + 4 * event.rawValue) }
    static func upper(_ event: GuestEvent) -> GuestRegister { GuestRegister(23 + 4 * event.rawValue) }

    /// Bits 63:0 and 127:64 of a fault-recording register.
    static func recordLow(_ index: Int) -> GuestRegister { GuestRegister(32 + 2 * index) }
    static func recordHigh(_ index: Int) -> GuestRegister { GuestRegister(33 + 2 * index) }

    /// The event that it controls.
    var controlled: GuestEvent? { GuestEvent.allCases.first { self == .control($0) } }
    var isRecordHigh: Bool { number >= 33 && number & 1 == 1 }
}

/// The unit's own interrupts.
enum GuestEvent: Int, CaseIterable {
    case fault, completion, pageRequest
}

/// One register.
struct RegisterRule {
    let register: GuestRegister
    let name: String
    let offset: Int
    let size: Int
    var keeps: UInt64 = 0
    var clears: UInt64 = 0
    var reset: UInt64 = 0
}

/// All registers of a unit, by offset.
struct RegisterRules {
    let list: [RegisterRule]
    /// Bytes up to the end of the last one.
    let end: Int
    let records: Int

    init(_ model: UnitModel, version: UInt64) {
        var list: [RegisterRule] = []
        func add(
            _ register: GuestRegister, _ name: String, _ offset: Int, _ size: Int, keeps: UInt64 = 0,
            clears: UInt64 = 0, reset: UInt64 = 0
        ) {
            list.append(
                RegisterRule(
                    register: register, name: name, offset: offset, size: size, keeps: keeps, clears: clears,
                    reset: reset))
        }
        let isExtended = model.ecap >> 4 & 1 == 1
        func addEvent(_ event: GuestEvent, _ prefix: String, _ offset: Int) {
            add(.control(event), prefix + "CTL", offset, 4, keeps: 1 << 31, reset: 1 << 31)
            add(.data(event), prefix + "DATA", offset + 4, 4, keeps: isExtended ? 0xffff_ffff : 0xffff)
            add(.address(event), prefix + "ADDR", offset + 8, 4, keeps: 0xffff_fffc)
            add(.upper(event), prefix + "UADDR", offset + 12, 4, keeps: isExtended ? 0xffff_ffff : 0)
        }
        // Bits at and above the host address width are reserved.
        let pages = (UInt64(1) << UInt64(model.hostAddressWidth) - 1) & ~0xfff
        add(.ver, "VER", 0, 4, reset: version)
        add(.cap, "CAP", 0x8, 8, reset: model.cap)
        add(.ecap, "ECAP", 0x10, 8, reset: model.ecap)
        add(.gcmd, "GCMD", 0x18, 4)
        add(.gsts, "GSTS", 0x1c, 4)
        add(.rtaddr, "RTADDR", 0x20, 8, keeps: pages | 0xc00)
        add(.ccmd, "CCMD", 0x28, 8, keeps: 0x6000_0003_ffff_ffff)
        add(.fsts, "FSTS", 0x34, 4, clears: 0x71)
        addEvent(.fault, "FE", 0x38)
        if model.ecap >> 1 & 1 == 1 {
            let width: UInt64 = model.has(.scalableMode) || model.has(.abortMode) ? 1 << 11 : 0
            add(.iqh, "IQH", 0x80, 8)
            add(.iqt, "IQT", 0x88, 8, keeps: 0x7_fff0)
            add(.iqa, "IQA", 0x90, 8, keeps: pages | width | 7)
            add(.ics, "ICS", 0x9c, 4, clears: 1)
            addEvent(.completion, "IE", 0xa0)
            add(.iqercd, "IQERCD", 0xb0, 8)
        }
        if model.has(.interruptRemapping) {
            add(.irta, "IRTA", 0xb8, 8, keeps: pages | (isExtended ? 1 << 11 : 0) | 15)
        }
        if model.has(.pageRequests) {
            add(.pqh, "PQH", 0xc0, 8, keeps: 0x7_ffe0)
            add(.pqt, "PQT", 0xc8, 8, keeps: 0x7_ffe0)
            add(.pqa, "PQA", 0xd0, 8, keeps: pages | 7)
            add(.prs, "PRS", 0xdc, 4, clears: 3)
            addEvent(.pageRequest, "PE", 0xe0)
        }
        let invalidation = Int(model.ecap >> 8 & 0x3ff) * 16
        add(.iva, "IVA", invalidation, 8)
        add(.iotlb, "IOTLB", invalidation + 8, 8, keeps: 0x3003_ffff_0000_0000)
        records = Int(model.cap >> 40 & 0xff) + 1
        for index in 0..<records {
            let offset = Int(model.cap >> 24 & 0x3ff) * 16 + 16 * index
            add(.recordLow(index), "FRCD\(index)", offset, 8)
            add(.recordHigh(index), "FRCD\(index) high", offset + 8, 8, clears: 1 << 63)
        }
        self.list = list.sorted { $0.offset < $1.offset }
        end = self.list.last.map { $0.offset + $0.size } ?? 0
    }

    /// The registers by number, as after power-on.
    var reset: [UInt64] {
        var values = [UInt64](repeating: 0, count: 32 + 2 * records)
        for rule in list { values[rule.register.number] = rule.reset }
        return values
    }
}
