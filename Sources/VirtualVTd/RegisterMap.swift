// SPDX-License-Identifier: LGPL-2.1-or-later
//
// RegisterMap - where each register lies, how wide it is, which of its bits software writes, and what it is after a reset. All of it
// follows from the capabilities.

internal import IOMMUCore

/// The place and the manners of one register.
struct RegisterLayout: Hashable, Sendable {
    let register: Register
    /// Bytes from the unit's base.
    let offset: Int
    /// Bytes: 4 or 8.
    let size: Int
    /// Bits that keep what software writes.
    var writable: UInt64 = 0
    /// Bits that a written 1 clears.
    var cleared: UInt64 = 0
    /// Its value after a reset.
    var reset: UInt64 = 0

    var end: Int { offset + size }
}

/// The registers that capabilities imply [FORMATS-VTD B1].
struct RegisterMap: Sendable {
    let layouts: [RegisterLayout]
    /// Bytes up to the end of the last register.
    let end: Int
    /// Where its words are, by the register's number; nil for registers that are not there.
    private let places: [Place?]

    /// The words of a register.
    struct Place: Sendable {
        /// The number of the first one.
        let word: Int
        /// There are two.
        let isWide: Bool
    }

    /// - Parameters:
    ///   - capabilities: What the unit offers.
    ///   - version: The VER register: major in bits 7:4, minor in 3:0.
    /// - Throws: ``IOMMUError/inconsistent`` when two registers would lie at the same place.
    init(_ capabilities: Capabilities, version: UInt8) throws(IOMMUError) {
        var layouts = Self.always(capabilities, version: version)
        if capabilities.queuedInvalidation { layouts += Self.queue(capabilities) }
        if capabilities.interruptRemapping { layouts.append(Self.interruptTable(capabilities)) }
        if capabilities.pageRequests { layouts += Self.pageRequests(capabilities) }
        layouts += Self.iotlb(capabilities)
        layouts += Self.faultRecords(capabilities)
        layouts.sort { $0.offset < $1.offset }
        for (lower, upper) in zip(layouts, layouts.dropFirst()) where lower.end > upper.offset {
            let both = "\(lower.register) and \(upper.register)"
            throw .inconsistent.with(detail: "\(both) overlap: see CAP.FRO and ECAP.IRO")
        }
        self.layouts = layouts
        end = layouts.last?.end ?? 0
        var places = [Place?](repeating: nil, count: 1 + (layouts.map(\.register.number).max() ?? 0))
        for layout in layouts {
            places[layout.register.number] = Place(word: layout.offset / 4, isWide: layout.size == 8)
        }
        self.places = places
    }

    /// Nil where the capabilities imply no such register.
    func place(of register: Register) -> Place? {
        let number = register.number
        return number < places.count ? places[number] : nil
    }

    /// Nil where the capabilities imply no such register.
    subscript(register: Register) -> RegisterLayout? {
        layouts.first { $0.register == register }
    }

    private static func always(_ capabilities: Capabilities, version: UInt8) -> [RegisterLayout] {
        let table = addressMask(capabilities)
        return [
            RegisterLayout(register: .ver, offset: 0x00, size: 4, reset: UInt64(version)),
            RegisterLayout(register: .cap, offset: 0x08, size: 8, reset: capabilities.cap),
            RegisterLayout(register: .ecap, offset: 0x10, size: 8, reset: capabilities.ecap),
            RegisterLayout(register: .gcmd, offset: 0x18, size: 4),
            RegisterLayout(register: .gsts, offset: 0x1c, size: 4),
            RegisterLayout(register: .rtaddr, offset: 0x20, size: 8, writable: table | 0xc00),
            RegisterLayout(register: .ccmd, offset: 0x28, size: 8, writable: 0xe000_0003_ffff_ffff),
            RegisterLayout(register: .fsts, offset: 0x34, size: 4, cleared: FaultStatus.cleared),
        ] + event([.fectl, .fedata, .feaddr, .feuaddr], at: 0x38, capabilities)
    }

    private static func queue(_ capabilities: Capabilities) -> [RegisterLayout] {
        let wide: UInt64 = capabilities.scalableMode || capabilities.abortDMA ? 1 << 11 : 0
        return [
            RegisterLayout(register: .iqh, offset: 0x80, size: 8),
            RegisterLayout(register: .iqt, offset: 0x88, size: 8, writable: 0x7_fff0),
            RegisterLayout(register: .iqa, offset: 0x90, size: 8, writable: addressMask(capabilities) | wide | 7),
            RegisterLayout(register: .ics, offset: 0x9c, size: 4, cleared: 1),
            RegisterLayout(register: .iqercd, offset: 0xb0, size: 8),
        ] + event([.iectl, .iedata, .ieaddr, .ieuaddr], at: 0xa0, capabilities)
    }

    private static func interruptTable(_ capabilities: Capabilities) -> RegisterLayout {
        let extended: UInt64 = capabilities.extendedInterruptMode ? 1 << 11 : 0
        return RegisterLayout(
            register: .irta, offset: 0xb8, size: 8, writable: addressMask(capabilities) | extended | 0xf)
    }

    private static func pageRequests(_ capabilities: Capabilities) -> [RegisterLayout] {
        [
            RegisterLayout(register: .pqh, offset: 0xc0, size: 8, writable: 0x7_ffe0),
            RegisterLayout(register: .pqt, offset: 0xc8, size: 8, writable: 0x7_ffe0),
            RegisterLayout(register: .pqa, offset: 0xd0, size: 8, writable: addressMask(capabilities) | 7),
            RegisterLayout(
                register: .prs, offset: 0xdc, size: 4,
                cleared: PageRequestStatus.pending | PageRequestStatus.overflow),
        ] + event([.pectl, .pedata, .peaddr, .peuaddr], at: 0xe0, capabilities)
    }

    /// IVA, and IOTLB after it, where ECAP.IRO says.
    private static func iotlb(_ capabilities: Capabilities) -> [RegisterLayout] {
        let offset = capabilities.iotlbRegisterOffset
        return [
            // Choice: IVA is write-only, so it reads as zero; what was written is kept beside (UnitState.invalidationAddress).
            RegisterLayout(register: .iva, offset: offset, size: 8),
            RegisterLayout(register: .iotlb, offset: offset + 8, size: 8, writable: 0xb003_ffff_0000_0000),
        ]
    }

    private static func faultRecords(_ capabilities: Capabilities) -> [RegisterLayout] {
        (0..<capabilities.faultRecordingRegisters).flatMap { index in
            let offset = capabilities.faultRecordingOffset + 16 * index
            return [
                RegisterLayout(register: .frcdLow(index), offset: offset, size: 8),
                RegisterLayout(register: .frcdHigh(index), offset: offset + 8, size: 8, cleared: 1 << 63),
            ]
        }
    }

    /// Control (masked after a reset), data, address and upper address of an event [FORMATS-VTD B6].
    private static func event(
        _ registers: [Register], at offset: Int, _ capabilities: Capabilities
    ) -> [RegisterLayout] {
        let isExtended = capabilities.extendedInterruptMode
        return [
            RegisterLayout(
                register: registers[0], offset: offset, size: 4, writable: EventControl.mask, reset: EventControl.mask),
            RegisterLayout(
                register: registers[1], offset: offset + 4, size: 4, writable: isExtended ? 0xffff_ffff : 0xffff),
            RegisterLayout(register: registers[2], offset: offset + 8, size: 4, writable: 0xffff_fffc),
            RegisterLayout(
                register: registers[3], offset: offset + 12, size: 4, writable: isExtended ? 0xffff_ffff : 0),
        ]
    }

    /// Bits of a table's address that exist.
    private static func addressMask(_ capabilities: Capabilities) -> UInt64 {
        (1 << UInt64(capabilities.hostAddressWidth)) - 0x1000
    }
}
