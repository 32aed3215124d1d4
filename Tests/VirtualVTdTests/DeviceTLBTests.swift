// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Device-TLB descriptors with real device-TLBs: what a device is asked, when waits complete, and what a driver sees of devices that
// answer late or wrongly [FORMATS-VTD B8, C2-C4].

import IOMMU
import IOMMUTestSupport
import Testing
import VirtualVTd

/// A range as a descriptor codes it, and as the device must hear it.
struct DropRange: Sendable, CustomTestStringConvertible {
    let address: UInt64
    var isSized = true
    let range: ClosedRange<UInt64>

    var testDescription: String { "\(hex(address))\(isSized ? " sized" : "")" }

    static let all = [
        DropRange(address: 0x1234_5000, isSized: false, range: 0x1234_5000...0x1234_5fff),
        DropRange(address: 0, isSized: false, range: 0...0xfff),
        DropRange(address: ~0xfff, isSized: false, range: ~0xfff ... .max),
        DropRange(address: 0x1234_4000, range: 0x1234_4000...0x1234_5fff),
        DropRange(address: 0x1234_1000, range: 0x1234_0000...0x1234_3fff),
        DropRange(address: 0x1234_3000, range: 0x1234_0000...0x1234_7fff),
        // 8 KiB << 8: eight ones from bit 12 on.
        DropRange(address: 0x400f_f000, range: 0x4000_0000...0x401f_ffff),
        DropRange(address: 0x7fff_f000 | 1 << 40, range: 1 << 40...(1 << 40) + 0xffff_ffff),
        DropRange(address: 0xffff_ffff_ffff_f000 ^ 1 << 62, range: 1 << 63 ... .max),
        DropRange(address: 0x7fff_ffff_ffff_f000, range: 0 ... .max),
        DropRange(address: 0xffff_ffff_ffff_f000, range: 0 ... .max),
    ]
}

@Suite struct DeviceTLBTests {
    private static let silent: UInt16 = 0x0118
    private static let other: UInt16 = 0x0220

    // MARK: What a device is asked

    @Test(arguments: QueueManner.all, [false, true])
    func ranges(_ manner: QueueManner, isOfHost: Bool) throws {
        let devices = try DeviceMachine(manner)
        let (endpoint, bystander) = (Endpoint(), Endpoint())
        try devices.add(Self.silent, endpoint, isOfHost: isOfHost)
        try devices.add(Self.other, bystander)
        for (number, row) in DropRange.all.enumerated() {
            endpoint.forget()
            devices.start(
                DeviceMachine.drop(Self.silent, row.address, isSized: row.isSized), devices.wait(UInt64(number)))
            devices.machine.front.finishWorks()
            #expect(devices.statusWord() == UInt64(number))
            let request = try #require(endpoint.requests.first, "\(row.testDescription)")
            #expect(endpoint.requests.count == 1, "\(row.testDescription)")
            #expect(request.range == IOVA(row.range.lowerBound)...IOVA(row.range.upperBound), "\(row.testDescription)")
            #expect(request.scope == .withoutPASID)
            #expect(request.source.rawValue == UInt32(Self.silent))
        }
        #expect(bystander.requests.isEmpty)
        #expect(devices.machine[0x34] == 0)
    }

    @Test(arguments: [VirtualVTd.Processing.worker, .inline])
    func rangesOfPASIDs(_ processing: VirtualVTd.Processing) throws {
        let devices = try DeviceMachine(QueueManner(processing: processing, isWide: true), isScalable: true)
        let (low, high, whole) = (Endpoint(), Endpoint(), Endpoint())
        let most = pasid(0xf_ffff)
        try devices.add(Self.silent, low, pasids: pasid(0)...pasid(15))
        try devices.add(Self.silent, high, pasids: pasid(16)...most)
        try devices.add(Self.other, whole)
        for row in DropRange.all {
            for number: UInt32 in [0, 15, 16, most.rawValue] {
                devices.start(
                    DeviceMachine.drop(Self.silent, pasid: number, row.address, isSized: row.isSized),
                    devices.wait(UInt64(number) + 1))
                devices.machine.front.finishWorks()
                #expect(devices.statusWord() == UInt64(number) + 1)
                let (asked, quiet) = number < 16 ? (low, high) : (high, low)
                #expect(quiet.requests.isEmpty)
                #expect(asked.requests.map(\.scope) == [.pasid(pasid(number))])
                #expect(asked.requests.first?.range == IOVA(row.range.lowerBound)...IOVA(row.range.upperBound))
                asked.forget()
            }
        }
        #expect(whole.requests.isEmpty)
        // G: all PASIDs of the source.
        devices.start(
            DeviceMachine.drop(Self.silent, pasid: nil, 0x5000), devices.wait(1),
            DeviceMachine.drop(Self.other, pasid: nil, 0x7fff_ffff_ffff_f000, isSized: true),
            DeviceMachine.drop(Self.other, 0x9000), devices.wait(2))
        devices.machine.front.finishWorks()
        #expect(devices.statusWord() == 2)
        for endpoint in [low, high] {
            #expect(endpoint.requests.map(\.scope) == [.everything])
            #expect(endpoint.requests.first?.range == 0x5000...0x5fff)
        }
        #expect(whole.requests.contains { $0.scope == .everything && $0.range == .min ... .max })
        #expect(devices.machine[0x34] == 0)
    }

    @Test func whatTheUnitLacksIsRefused() throws {
        let legacy = try DeviceMachine(QueueManner(processing: .inline, isWide: true))
        legacy.start(DeviceMachine.drop(Self.silent, pasid: 1, 0x1000))
        #expect(legacy.machine[0x34] == 1 << 4)
        #expect(legacy.machine.read64(0xb0) & 0xf == 3, "no PASIDs in legacy mode")
        for (scalable, descriptor) in [
            (false, DeviceMachine.drop(Self.silent)), (true, DeviceMachine.drop(Self.silent, pasid: 1, 0)),
        ] {
            let without = try Capabilities(basedOn: .full) {
                $0.deviceTLBs = false
                $0.pageRequests = false
            }
            let manner = QueueManner(processing: .inline, isWide: scalable)
            let devices = try DeviceMachine(manner, isScalable: scalable) {
                $0.capabilities = VirtualVTd.Configuration(capabilities: without).capabilities
            }
            devices.start(descriptor)
            #expect(devices.machine[0x34] == 1 << 4)
            #expect(devices.machine.read64(0xb0) & 0xf == 3, "ECAP.DT is 0")
        }
        // Reserved bits [FORMATS-VTD C2].
        for (low, high) in [(UInt64(1) << 4, UInt64(0)), (1 << 21, 0), (1 << 48, 0), (0, 2), (0, 1 << 11)] {
            let devices = try DeviceMachine(QueueManner(processing: .inline, isWide: false))
            let endpoint = Endpoint()
            try devices.add(Self.silent, endpoint)
            devices.start(Descriptor(3 | UInt64(Self.silent) << 32 | low, 0x1000 | high))
            #expect(devices.machine.read64(0xb0) & 0xf == 4, "\(hex(low)) \(hex(high))")
            #expect(endpoint.requests.isEmpty)
        }
    }

    /// What PFSID and MIP say is between the unit and the function; the range is that of the address alone.
    @Test func otherFieldsAreNotTheRange() throws {
        let devices = try DeviceMachine(QueueManner(processing: .inline, isWide: false))
        let endpoint = Endpoint()
        try devices.add(Self.silent, endpoint)
        let fields: UInt64 = 0xf << 12 | 0x1f << 16 | 0xfff << 52
        devices.start(Descriptor(3 | UInt64(Self.silent) << 32 | fields, 0x1000), devices.wait(1))
        #expect(devices.statusWord() == 1)
        #expect(endpoint.requests.map(\.range) == [0x1000...0x1fff])
    }

    // MARK: When waits complete

    @Test(arguments: QueueManner.all, [false, true])
    func aWaitCompletesWhenTheDeviceHasAnswered(_ manner: QueueManner, isOfHost: Bool) throws {
        let devices = try DeviceMachine(manner)
        let machine = devices.machine
        let endpoint = Endpoint(.silent)
        try devices.add(Self.silent, endpoint, isOfHost: isOfHost)
        machine.unmask(completion: 0x44)
        let group = devices.startElsewhere(
            devices.wait(1, word: 0), DeviceMachine.drop(Self.silent), devices.wait(2, word: 1, interrupt: true))
        eventually("the device is asked") { endpoint.requests.count == 1 }
        // The first wait is in front of it. Registers answer meanwhile.
        #expect(devices.statusWord(0) == 1)
        #expect(devices.statusWord(1) == 0)
        #expect(machine[0x9c] == 0 && machine[0x34] == 0)
        #expect(machine.signals.take() == [])
        machine.write(0x20, 0x5000, size: 8)
        #expect(machine.read64(0x20) == 0x5000)
        #expect(endpoint.answerAll() == 1)
        group.wait()
        machine.front.finishWorks()
        #expect(devices.statusWord(1) == 2)
        #expect(machine[0x9c] == 1 && machine[0x34] == 0)
        #expect(machine.signals.take() == [0x44])
        #expect(machine.head == machine.tail)
    }

    /// A device's cache, end to end: what the guest has unmapped and waited for is not in it any more.
    @Test(arguments: QueueManner.all) func whatTheGuestUnmapsLeavesTheDevice(_ manner: QueueManner) throws {
        let devices = try DeviceMachine(manner)
        let machine = devices.machine
        let builder = TableBuilder(machine.image, isScalable: false)
        let tables = PagingTables(.second, levels: 4, in: machine.image)
        (tables.leafFlags, tables.tableFlags) = (3, 3)
        tables.map(0x40000, to: 0x20_0000)
        var context = LegacyContext()
        context.translationType = 1
        context.domain = 7
        context.root = tables.root
        builder.setContext(Self.silent, context)
        machine.write(0x20, builder.rootRegister, size: 8)
        machine.command(set: 1 << 30)
        machine.command(set: 1 << 31)
        let endpoint = Endpoint()
        try devices.add(Self.silent, endpoint)
        let source = SourceID(UInt32(Self.silent))
        let asked = try machine.port.requestTranslation(0x40000, access: .read, source: source)
        #expect(asked.result.translation?.address == 0x20_0000)
        let token = try #require(asked.token)
        tables.setEntry(0x40000, level: 0, 0)
        devices.start(
            .iotlbPages(7, at: 0x40000), devices.wait(1), DeviceMachine.drop(Self.silent, 0x40000), devices.wait(2))
        machine.front.finishWorks()
        #expect(devices.statusWord() == 2)
        #expect(endpoint.requests.map(\.range) == [0x40000...0x40fff])
        #expect(machine.port.storeIfValid(token) { 0 } == nil, "an answer from before must not be stored after")
        let again = try machine.port.requestTranslation(0x40000, access: .read, source: source)
        #expect(again.token == nil || again.result.translation?.address != 0x20_0000)
    }

    // MARK: Devices that do not answer

    @Test(arguments: QueueManner.all, [false, true])
    func aSilentDeviceStopsTheQueue(_ manner: QueueManner, isOfHost: Bool) throws {
        let devices = try DeviceMachine(manner)
        let machine = devices.machine
        let endpoint = Endpoint(.silent)
        let tlb = try devices.add(Self.silent, endpoint, isOfHost: isOfHost, clock: TestClock(step: .milliseconds(400)))
        machine.unmask(fault: 0x33, completion: 0x44)
        devices.start(
            devices.wait(1, word: 0), DeviceMachine.drop(Self.silent), devices.wait(2, word: 1, interrupt: true))
        machine.front.finishWorks()
        #expect(machine[0x34] == 1 << 6, "ITE, and nothing else")
        #expect(devices.timedOutSource == UInt64(Self.silent))
        #expect(machine.read64(0xb0) & 0xf == 0, "no IQEI")
        #expect(machine.head == 3 * manner.size, "it has moved past")
        #expect(devices.statusWord(0) == 1 && devices.statusWord(1) == 0, "the wait behind it is aborted")
        #expect(machine[0x9c] == 0, "IWC")
        #expect(machine.signals.take() == [0x33])
        #expect(tlb.isBlocked)
        let source = SourceID(UInt32(Self.silent))
        let blocked = try machine.port.translate(0x1000, access: .read, source: source, options: .noFault)
        #expect(blocked.fault != nil, "what it may still hold it cannot use")
        // Nothing is fetched until software has cleared it.
        devices.start(devices.wait(3, word: 2))
        machine.front.finishWorks()
        #expect(machine.head == 3 * manner.size && devices.statusWord(2) == 0)
        machine[0x34] = 1 << 6
        machine.front.finishWorks()
        #expect(machine[0x34] == 0)
        #expect(machine.head == 4 * manner.size && devices.statusWord(2) == 3)
        #expect(devices.statusWord(1) == 0, "what was aborted stays so")
        // Blocked, it is not asked, because it can use nothing; and what it held is gone before it is asked again.
        endpoint.setManner(.fine)
        devices.start(DeviceMachine.drop(Self.silent), devices.wait(4))
        machine.front.finishWorks()
        #expect(devices.statusWord() == 4 && endpoint.requests.count == 1)
        try tlb.retry()
        endpoint.forget()
        devices.start(DeviceMachine.drop(Self.silent, 0x7000), devices.wait(5))
        machine.front.finishWorks()
        #expect(devices.statusWord() == 5)
        #expect(endpoint.requests.map(\.range) == [0x7000...0x7fff])
        #expect(machine[0x34] == 0 && machine.signals.take() == [])
    }

    /// Waits that were not fetched when a device was found late are no pending ones: they complete when the queue goes on.
    @Test(arguments: QueueManner.all) func whatWasNotFetchedIsNotAborted(_ manner: QueueManner) throws {
        let devices = try DeviceMachine(manner)
        let machine = devices.machine
        try devices.add(Self.silent, Endpoint(.silent), clock: TestClock(step: .milliseconds(400)))
        // Up to two descriptors from the end of the queue: what follows is fetched in two parts.
        for _ in 0..<4096 / manner.size - 2 { machine.put([.iotlbGlobal]) }
        machine.write(0x88, machine.tail)
        machine.front.finishWorks()
        devices.start(
            DeviceMachine.drop(Self.silent), devices.wait(1, word: 0), devices.wait(2, word: 1),
            devices.wait(3, word: 2))
        machine.front.finishWorks()
        #expect(machine[0x34] == 1 << 6)
        #expect(machine.head == 0 && machine.tail == 2 * manner.size)
        #expect((0..<3).map { devices.statusWord($0) } == [0, 0, 0])
        machine[0x34] = 1 << 6
        machine.front.finishWorks()
        #expect(machine.head == machine.tail)
        #expect((0..<3).map { devices.statusWord($0) } == [0, 2, 3])
    }

    @Test(arguments: QueueManner.all) func severalSilentDevicesAreOneError(_ manner: QueueManner) throws {
        let devices = try DeviceMachine(manner)
        let machine = devices.machine
        let sources: [UInt16] = [0x100, 0x208, 0x310]
        let tlbs = try sources.map {
            try devices.add($0, Endpoint(.silent), clock: TestClock(step: .milliseconds(400)))
        }
        machine.unmask(fault: 0x33)
        devices.start(
            DeviceMachine.drop(sources[0]), DeviceMachine.drop(sources[1]), DeviceMachine.drop(sources[2]),
            devices.wait(1))
        machine.front.finishWorks()
        #expect(machine[0x34] == 1 << 6)
        #expect(sources.map(UInt64.init).contains(devices.timedOutSource))
        #expect(machine.signals.take() == [0x33], "one event")
        #expect(tlbs.map(\.isBlocked) == [true, true, true])
        #expect(devices.statusWord() == 0)
        machine[0x34] = 1 << 6
        devices.start(devices.wait(2))
        machine.front.finishWorks()
        #expect(devices.statusWord() == 2 && machine[0x34] == 0)
    }

    /// The source that was first is kept while ITE stands.
    @Test(arguments: QueueManner.all) func anotherOneIsLateWhileTheErrorStands(_ manner: QueueManner) throws {
        let devices = try DeviceMachine(manner)
        let machine = devices.machine
        let wrong = Endpoint(.wrong)
        let first = try devices.add(Self.silent, Endpoint(.silent), clock: TestClock(step: .milliseconds(400)))
        let second = try devices.add(Self.other, Endpoint(.silent), clock: TestClock(step: .milliseconds(400)))
        try devices.add(0x330, wrong)
        machine.unmask(fault: 0x33)
        devices.start(
            DeviceMachine.drop(Self.silent), devices.wait(1), DeviceMachine.drop(Self.other), devices.wait(2),
            DeviceMachine.drop(0x330), devices.wait(3))
        machine.front.finishWorks()
        #expect(machine[0x34] == 1 << 6 | 1 << 5, "ITE and ICE")
        #expect(devices.timedOutSource == UInt64(Self.silent))
        #expect(devices.refusingSource == 0x330)
        #expect(first.isBlocked && second.isBlocked)
        #expect(devices.statusWord() == 0)
        #expect(machine.signals.take() == [0x33])
        machine[0x34] = 1 << 5
        #expect(machine[0x34] == 1 << 6, "each is cleared by itself")
        machine[0x34] = 1 << 6
        #expect(machine[0x34] == 0)
        // Another one is late later: now its source counts.
        try second.reset()
        devices.start(DeviceMachine.drop(Self.other), devices.wait(4))
        machine.front.finishWorks()
        #expect(machine[0x34] == 1 << 6)
        #expect(devices.timedOutSource == UInt64(Self.other))
        #expect(machine.signals.take() == [0x33])
    }

    // MARK: Devices that answer wrongly

    @Test(arguments: QueueManner.all) func aWrongAnswerStopsNothing(_ manner: QueueManner) throws {
        let devices = try DeviceMachine(manner)
        let machine = devices.machine
        let endpoint = Endpoint(.wrong)
        let tlb = try devices.add(Self.silent, endpoint)
        let late = Endpoint(.wrong)
        try devices.add(Self.other, late)
        machine.unmask(fault: 0x33)
        devices.start(DeviceMachine.drop(Self.silent), devices.wait(1), devices.wait(2, word: 1))
        machine.front.finishWorks()
        #expect(machine[0x34] == 1 << 5, "ICE")
        #expect(devices.refusingSource == UInt64(Self.silent) && devices.timedOutSource == 0)
        #expect(machine.signals.take() == [0x33])
        #expect(machine.head == 3 * manner.size)
        #expect(devices.statusWord(1) == 2)
        #expect(tlb.isBlocked, "what it may still hold it cannot use")
        // While it stands others are not noted, and the queue runs.
        devices.start(DeviceMachine.drop(Self.other), devices.wait(3))
        machine.front.finishWorks()
        #expect(machine[0x34] == 1 << 5 && devices.refusingSource == UInt64(Self.silent))
        #expect(devices.statusWord() == 3)
        #expect(machine.signals.take() == [])
        machine[0x34] = 1 << 5
        #expect(machine[0x34] == 0)
    }

    // MARK: The unit's time

    /// The time for an answer is the unit's, unless a device-TLB has one of its own: by a clock that the test moves.
    @Test(arguments: QueueManner.all) func theUnitsTime(_ manner: QueueManner) throws {
        let seconds: UInt64 = 7
        let devices = try DeviceMachine(manner) { $0.sizes.deviceTLBTimeout = .seconds(Int64(seconds)) }
        let machine = devices.machine
        let (endpoint, clock) = (Endpoint(.silent), TestClock())
        var configuration = DeviceTLB.Configuration(source: SourceID(UInt32(Self.silent)), device: 1)
        configuration.clock = { clock.read() }
        let tlb = try DeviceTLB(unit: machine.front.unit, configuration: configuration, handler: endpoint.take)
        let group = devices.startElsewhere(DeviceMachine.drop(Self.silent), devices.wait(1))
        eventually("the device is asked") { endpoint.requests.count == 1 }
        clock.set(seconds * 1_000_000_000 - 1)
        let looks = clock.lookCount
        eventually("somebody looks at the time") { clock.lookCount > looks + 2 }
        #expect(machine[0x34] == 0 && !tlb.isBlocked, "a nanosecond is left")
        clock.set(seconds * 1_000_000_000)
        eventually("the device is late") { machine[0x34] == 1 << 6 }
        group.wait()
        machine.front.finishWorks()
        #expect(devices.timedOutSource == UInt64(Self.silent))
        #expect(devices.statusWord() == 0)
        endpoint.setManner(.fine)
        try tlb.close()
    }
}
