// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Interrupt remapping through the Swift interface.

import IOMMU
import IOMMUTestSupport
import Testing

@Suite struct InterruptRemappingTests {
    /// Remappable format, handle 3.
    private static let third: UInt64 = 0xfee0_0010 | 3 << 5

    @Test func withoutRemappingAMessagePasses() throws {
        let bench = try InterruptBench()
        var signalled: [InterruptMessage] = []
        let result = try bench.port.signalInterrupt(
            address: 0xfee0_300c, data: 0x8441, source: InterruptBench.source
        ) { signalled.append($0) }
        let message = try #require(result.message)
        #expect(result == .passed(message) && signalled == [message])
        #expect(message.address == 0xfee0_300c && message.data == 0x8441 && message.tableIndex == nil)
        #expect(message.vector == 0x41 && message.deliveryMode == .nmi && message.destination == 3)
        #expect(message.isLogical && message.hasRedirectionHint && message.isLevelTriggered)
    }

    @Test func anEntryMakesTheMessage() throws {
        let bench = try InterruptBench()
        try bench.enableRemapping()
        bench.setEntry(3, 1 | 1 << 4 | 0x99 << 16 | 0xab << 40, 1 << 18 | UInt64(InterruptBench.source.rawValue))
        let result = try bench.port.signalInterrupt(address: Self.third, data: 0, source: InterruptBench.source) { _ in
        }
        let message = try #require(result.message)
        #expect(result == .remapped(message))
        #expect(message.vector == 0x99 && message.destination == 0xab && message.isLevelTriggered)
        #expect(message.deliveryMode == .fixed && !message.isLogical && message.tableIndex == 3)
        #expect(message.address == 0xfeea_b000 && message.data == 0xc099)
        // Read for every message: no cache holds the old one.
        bench.setEntry(3, 1 | 0x9a << 16, 0)
        let next = try bench.port.signalInterrupt(address: Self.third, data: 0, source: InterruptBench.source) { _ in }
        #expect(next.message?.vector == 0x9a)
    }

    @Test func aBlockedMessageIsAFaultOfItsDevice() throws {
        let bench = try InterruptBench()
        try bench.enableRemapping()
        let result = try bench.port.signalInterrupt(address: Self.third, data: 0, source: InterruptBench.source) { _ in
            Issue.record("signalled")
        }
        guard case .blocked(let blocked) = result else {
            Issue.record("\(result)")
            return
        }
        #expect(blocked.fault.code == 0x22 && blocked.fault.codeName == "IR" && blocked.fault.device == 7)
        #expect(blocked.fault.address == 3 && blocked.fault.source == InterruptBench.source)
        #expect(blocked.detail == blocked.fault.codeText && blocked.postedEntry == nil)
        let (faults, lost) = bench.port.takeFaults()
        #expect(faults == [blocked.fault] && lost == 0)
        bench.setEntry(3, 1 | 1 << 15 | 0x77 << 16 | 0x1000 << 32, 0)
        let posted = try bench.port.withSection { () throws(IOMMUError) in
            try bench.port.remapInterrupt(
                address: Self.third, data: 0, source: InterruptBench.source, options: .noFault)
        }
        guard case .blocked(let refused) = posted else {
            Issue.record("\(posted)")
            return
        }
        #expect(refused.fault.code == 0x24 && !refused.fault.isRecorded)
        #expect(refused.postedEntry?.vector == 0x77 && refused.postedEntry?.descriptor == 0x1000)
        #expect(refused.detail.contains("posted"))
    }

    @Test func aDMAWriteToTheInterruptRangeIsAMessage() throws {
        let bench = try InterruptBench()
        try bench.enableRemapping()
        bench.setEntry(3, 1 | 0x55 << 16, 0)
        let vector = try bench.port.withSection { () throws(IOMMUError) -> UInt8? in
            let translated = try bench.port.translate(
                IOVA(Self.third), access: .write, source: InterruptBench.source)
            guard case .interrupt(let address) = translated else { return nil }
            return try bench.port.remapInterrupt(
                address: address.rawValue, data: 0, source: InterruptBench.source
            ).message?.vector
        }
        #expect(vector == 0x55)
    }

    @Test func misuseIsRefused() throws {
        let bench = try InterruptBench(isPatient: false)
        #expect(throws: IOMMUError.invalidArgument) {
            try bench.port.remapInterrupt(address: Self.third, data: 0, source: InterruptBench.source)
        }
        #expect(throws: IOMMUError.invalidArgument) {
            try bench.port.signalInterrupt(address: 0xfee0_0000, data: 0, source: SourceID(0x10000)) { _ in }
        }
        bench.port.withSection {
            _ = #expect(throws: IOMMUError.inSection) { try bench.enableRemapping() }
        }
        bench.other.withSection {
            _ = #expect(throws: IOMMUError.timedOut) { try bench.enableRemapping() }
        }
        let elsewhere = try InterruptBench()
        #expect(throws: IOMMUError.invalidArgument) {
            try bench.unit.setInterruptTable(0, enabled: true, port: elsewhere.port)
        }
    }
}
