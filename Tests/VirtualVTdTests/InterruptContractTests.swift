// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Interrupt remapping as a guest sets it up: every field of a message and of an entry by the table of the specification, the
// switches, and the fault records [FORMATS-VTD B7, B9, F].

import IOMMU
import IOMMUTestSupport
import Testing
import VirtualVTd

/// What is expected of one message.
private enum Outcome: Equatable {
    case remapped(address: UInt64, data: UInt32)
    case passed
    /// The fault's code, and the index that its record has.
    case blocked(UInt32, index: UInt64)
}

/// One message, and the entry that it meets.
private struct Row {
    let name: String
    var low: UInt64 = InterruptMachine.present
    var high: UInt64 = 0
    var source: UInt16 = InterruptMachine.source
    /// Handle 3.
    var address = InterruptMachine.address(handle: 3)
    var data: UInt32 = 0
    /// What comes out in xAPIC mode, and in x2APIC mode.
    let outcomes: (xAPIC: Outcome, x2APIC: Outcome)

    init(
        _ name: String, low: UInt64 = InterruptMachine.present, high: UInt64 = 0,
        source: UInt16 = InterruptMachine.source, address: UInt64 = InterruptMachine.address(handle: 3),
        data: UInt32 = 0, _ outcome: Outcome, x2APIC: Outcome? = nil
    ) {
        self.name = name
        (self.low, self.high, self.source, self.address, self.data) = (low, high, source, address, data)
        outcomes = (outcome, x2APIC ?? outcome)
    }
}

@Suite struct InterruptContractTests {
    /// A message that comes out: physical, fixed, an edge, for destination 0.
    private static func out(
        _ destination: UInt64 = 0, vector: UInt32 = 0x51, flags: UInt64 = 0, data: UInt32 = 0
    ) -> Outcome {
        .remapped(
            address: 0xfee0_0000 | (destination & 0xff) << 12 | (destination >> 8) << 40 | flags,
            data: vector | 1 << 14 | data)
    }

    private static func blocked(_ code: UInt32, index: UInt64 = 3) -> Outcome { .blocked(code, index: index) }

    private static let rows: [Row] = {
        var rows: [Row] = []
        func add(_ row: Row) { rows.append(row) }
        let present = InterruptMachine.present
        // P and what is delivered.
        add(Row("present", out()))
        add(Row("P = 0", low: present & ~1, blocked(0x22)))
        add(Row("P = 0, all else set", low: ~3, high: .max, blocked(0x22)))
        add(Row("DM", low: present | 1 << 2, out(flags: 1 << 2)))
        add(Row("RH", low: present | 1 << 3, out(flags: 1 << 3)))
        add(Row("TM", low: present | 1 << 4, out(data: 1 << 15)))
        for mode: UInt64 in 0...7 {
            let isReserved = mode == 3 || mode == 6
            let outcome = isReserved ? blocked(0x24) : out(data: UInt32(mode) << 8)
            add(Row("DLM \(mode)", low: present | mode << 5, outcome))
        }
        for vector: UInt64 in [0, 1, 0x10, 0x80, 0xff] {
            add(Row("vector \(vector)", low: 1 | vector << 16, out(vector: UInt32(vector))))
        }
        add(Row("available bits", low: present | 0xf << 8, out()))
        // The destination: 8 bits at 47:40, or all of 63:32.
        for bit: UInt64 in 32...63 {
            let destination: UInt64 = 1 << (bit - 32)
            let xAPIC = (40...47).contains(bit) ? out(1 << (bit - 40)) : blocked(0x24)
            add(Row("destination bit \(bit)", low: present | 1 << bit, xAPIC, x2APIC: out(destination)))
        }
        // Reserved bits.
        for bit: UInt64 in Array(12...14) + Array(24...31) {
            add(Row("low bit \(bit)", low: present | 1 << bit, blocked(0x24)))
        }
        for bit: UInt64 in 20...63 {
            add(Row("high bit \(bit)", high: 1 << bit, blocked(0x24)))
        }
        // Posted.
        add(Row("posted", low: 1 | 1 << 15 | 0x77 << 16 | 0x1000 << 32, blocked(0x24)))
        add(Row("posted, urgent", low: 1 | 1 << 15 | 1 << 14, high: 1 << 32, blocked(0x24)))
        add(Row("posted, reserved", low: 1 | 1 << 15 | 1 << 13, blocked(0x24)))
        add(Row("posted, absent", low: 1 << 15, blocked(0x22)))
        rows += sources() + messages()
        return rows
    }()

    /// SVT, SQ and SID.
    private static func sources() -> [Row] {
        var rows: [Row] = []
        let source: UInt64 = 0x0110
        rows.append(Row("SVT 0, another SID", high: 0xffff | 3 << 16, out()))
        for quality: UInt64 in 0...3 {
            let ignored: UInt64 = [0, 4, 6, 7][Int(quality)]
            for difference: UInt64 in (0...7) + [8, 0x80, 0x100, 0x8000] {
                let fits = difference & ~ignored == 0
                let high = (source ^ difference) | quality << 16 | 1 << 18
                rows.append(
                    Row("SVT 1, SQ \(quality), off by \(difference)", high: high, fits ? out() : blocked(0x26)))
            }
        }
        // The bus of the source is 1: SID holds the last bus and the first one.
        for (last, first, fits) in [
            (1, 1, true), (9, 0, true), (1, 0, true), (9, 1, true), (0, 0, false), (9, 2, false), (0, 9, false),
        ]
            as [(UInt64, UInt64, Bool)]
        {
            let high = last << 8 | first | 2 << 18
            rows.append(Row("SVT 2, buses \(first) to \(last)", high: high, fits ? out() : blocked(0x26)))
        }
        // Choice [D6].
        rows.append(Row("SVT 3", high: source | 3 << 18, blocked(0x26)))
        // Order: what is reserved comes before who asks; an index and a present bit before both.
        rows.append(Row("reserved, and SID", high: 0xffff | 1 << 18 | 1 << 20, blocked(0x24)))
        return rows
    }

    /// Handles, subhandles and formats.
    private static func messages() -> [Row] {
        func address(_ handle: UInt64, _ subhandle: Bool = false) -> UInt64 {
            InterruptMachine.address(handle: handle, subhandle: subhandle)
        }
        return [
            Row("the last entry", address: address(255), out()),
            Row("beyond the table", address: address(256), blocked(0x21, index: 256)),
            Row("handle bit 15", address: address(0x8003), blocked(0x21, index: 0x8003)),
            Row("low address bits", address: address(3) | 3, out(flags: 3)),
            Row("data without SHV", address: address(3), data: 0xffff_ffff, out()),
            Row("a subhandle", address: address(1, true), data: 2, out()),
            Row("a subhandle up to the last", address: address(0, true), data: 255, out()),
            Row("a subhandle beyond", address: address(250, true), data: 6, blocked(0x21, index: 256)),
            Row("a subhandle over 16 bits", address: address(0xffff, true), data: 4, blocked(0x21, index: 3)),
            Row("data bits 31:16 with SHV", address: address(3, true), data: 1 << 16, blocked(0x20, index: 0)),
            Row("data bit 31 with SHV", address: address(3, true), data: 1 << 31, blocked(0x20, index: 0)),
            Row("upper address", address: address(3) | 1 << 32, blocked(0x20, index: 0)),
            Row("compatibility format", address: 0xfee0_300c, data: 0x8441, blocked(0x25, index: 0)),
        ]
    }

    @Test(arguments: [false, true]) func everyField(isExtended: Bool) throws {
        let guest = try InterruptMachine(isExtended: isExtended)
        for row in Self.rows {
            guest.set(3, row.low, row.high)
            let expected = isExtended ? row.outcomes.x2APIC : row.outcomes.xAPIC
            let result = try guest.raise(row.address, row.data, row.source)
            #expect(outcome(result) == expected, "\(row.name)")
            check(guest.takeRecord(), expected, row.source, row.name)
        }
        #expect(guest.machine[0x34] == 0)
    }

    /// FPD suppresses the record of what is qualified, and nothing else. The message is blocked all the same.
    @Test(arguments: [false, true]) func suppressedFaults(isExtended: Bool) throws {
        let guest = try InterruptMachine(isExtended: isExtended)
        guest.machine.unmask(fault: 0x33)
        for row in Self.rows {
            guest.set(3, row.low | 2, row.high)
            let expected = isExtended ? row.outcomes.x2APIC : row.outcomes.xAPIC
            let result = try guest.raise(row.address, row.data, row.source)
            #expect(outcome(result) == expected, "\(row.name)")
            var isRecorded = false
            if case .blocked(let code, _) = expected { isRecorded = ![0x22, 0x24, 0x26].contains(code) }
            #expect(guest.machine.signals.take() == (isRecorded ? [0x33] : []), "\(row.name)")
            #expect((guest.takeRecord() != nil) == isRecorded, "\(row.name)")
        }
    }

    private func outcome(_ result: InterruptResult) -> Outcome {
        switch result {
        case .remapped(let message): .remapped(address: message.address, data: message.data)
        case .passed: .passed
        case .blocked(let fault): .blocked(fault.fault.code, index: fault.fault.address.rawValue)
        }
    }

    /// F, the code, the source; the index in FI; nothing else [FORMATS-VTD B7].
    private func check(_ record: (low: UInt64, high: UInt64)?, _ expected: Outcome, _ source: UInt16, _ name: String) {
        guard case .blocked(let code, let index) = expected else {
            #expect(record == nil, "\(name)")
            return
        }
        #expect(record?.low == index << 48, "\(name)")
        #expect(record?.high == 1 << 63 | UInt64(code) << 32 | UInt64(source), "\(name)")
    }

    // MARK: Formats and switches

    @Test(arguments: [false, true], [false, true])
    func compatibilityFormat(isExtended: Bool, isAllowed: Bool) throws {
        let guest = try InterruptMachine(isExtended: isExtended, allowsCompatibility: isAllowed)
        #expect(guest.machine[0x1c] & 1 << 23 == (isAllowed ? 1 << 23 : 0))
        let result = try guest.raise(0xfee0_300c, 0x8441)
        if isAllowed && !isExtended {
            let message = try #require(result.message)
            #expect(result == .passed(message))
            #expect(message.address == 0xfee0_300c && message.data == 0x8441)
            #expect(guest.takeRecord() == nil)
        } else {
            #expect(outcome(result) == .blocked(0x25, index: 0))
            check(guest.takeRecord(), .blocked(0x25, index: 0), InterruptMachine.source, "compatibility")
        }
        #expect(try guest.vector() == 0x51, "the other format is remapped in any case")
        guest.machine.command(clear: 1 << 23)
        #expect(outcome(try guest.raise(0xfee0_300c, 0x8441)) == .blocked(0x25, index: 0))
    }

    @Test func withoutExtendedModeItsBitIsNone() throws {
        let capabilities = try Capabilities(basedOn: .full) { $0.extendedInterruptMode = false }
        let guest = try InterruptMachine(isExtended: true, allowsCompatibility: true, capabilities)
        #expect(guest.machine.read64(0xb8) == guest.table | 7)
        #expect(try guest.raise(0xfee0_300c, 0x8441).message?.data == 0x8441)
        guest.set(3, InterruptMachine.present | 1 << 32)
        #expect(outcome(try guest.raise(InterruptMachine.address(handle: 3))) == .blocked(0x24, index: 3))
    }

    @Test func switchedOffAMessagePasses() throws {
        let guest = try InterruptMachine()
        guest.set(3, 0)
        guest.machine.command(clear: 1 << 25)
        for address in [InterruptMachine.address(handle: 3), 0xfee0_300c] {
            let message = try #require(try guest.raise(address, 0x4321).message)
            #expect(message.address == address && message.data == 0x4321)
        }
        guest.machine.command(set: 1 << 25)
        #expect(outcome(try guest.raise(InterruptMachine.address(handle: 3))) == .blocked(0x22, index: 3))
    }

    @Test func aPostedEntryIsRefusedByName() throws {
        let guest = try InterruptMachine()
        guest.set(3, 1 | 1 << 15 | 1 << 14 | 0x77 << 16 | 0x12340 << 32, 5 << 32)
        guard case .blocked(let fault) = try guest.raise(InterruptMachine.address(handle: 3)) else {
            Issue.record("a posted entry is delivered")
            return
        }
        #expect(fault.fault.code == 0x24 && fault.detail.contains("posted"))
        #expect(fault.postedEntry?.vector == 0x77 && fault.postedEntry?.isUrgent == true)
        #expect(fault.postedEntry?.descriptor == OutputAddress(5 << 32 | 0x12340))
    }

    @Test(arguments: [GuestImage.hole, 0xf_ffff_ffff_f000, 1 << 45])
    func aTableWithoutMemory(table: UInt64) throws {
        let capabilities = try Capabilities(basedOn: .full) { $0.hostAddressWidth = 46 }
        for capabilities in [Capabilities.full, capabilities] {
            let guest = try InterruptMachine(capabilities)
            guest.machine.write(0xb8, table | 7, size: 8)
            guest.machine.command(set: 1 << 24)
            #expect(outcome(try guest.raise(InterruptMachine.address(handle: 3))) == .blocked(0x23, index: 3))
            check(guest.takeRecord(), .blocked(0x23, index: 3), InterruptMachine.source, hex(table))
        }
    }

    /// The table has 2^(S + 1) entries.
    @Test(arguments: 0...15) func everySizeOfTable(size: UInt64) throws {
        let guest = try InterruptMachine()
        let entries: UInt64 = 2 << size
        guest.machine.write(0xb8, guest.table | size, size: 8)
        guest.machine.command(set: 1 << 24)
        if entries <= 256 { #expect(try guest.vector(entries - 1) == 0x51) }
        guard entries <= 0xffff else { return }
        let outcome = outcome(try guest.raise(InterruptMachine.address(handle: entries)))
        #expect(outcome == .blocked(0x21, index: entries))
    }

    @Test func anotherTable() throws {
        let guest = try InterruptMachine()
        let other = guest.machine.image.allocatePage()
        guest.machine.image[other + 48] = 1 | 0x99 << 16
        guest.machine.write(0xb8, guest.register(other), size: 8)
        #expect(try guest.vector() == 0x51, "IRTA without SIRTP changes nothing")
        guest.machine.command(set: 1 << 24)
        #expect(guest.machine[0x1c] == 1 << 25 | 1 << 24)
        #expect(try guest.vector() == 0x99)
        #expect(try guest.vector(4) == nil)
    }

    /// What a device's own fault queue receives is the host's to care for: the guest hears of the others only.
    @Test func faultsWithAQueueOfTheirOwnAreTheHosts() throws {
        let guest = try InterruptMachine()
        let unit = guest.machine.front.unit
        let device = try Device(id: 5, sourceID: SourceID(UInt32(InterruptMachine.source)), in: unit)
        let queue = try FaultQueue(of: .device(device), in: unit)
        guest.set(3, 0)
        let blocked = Outcome.blocked(0x22, index: 3)
        #expect(outcome(try guest.raise(InterruptMachine.address(handle: 3))) == blocked)
        #expect(guest.takeRecord() == nil)
        #expect(queue.read(max: 4).compactMap(\.fault?.code) == [0x22])
        #expect(outcome(try guest.raise(InterruptMachine.address(handle: 3), 0, 0x220)) == blocked)
        check(guest.takeRecord(), blocked, 0x220, "another source")
    }
}
