// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Floods: descriptors, faults, page requests and interrupts without end. Nothing traps, what is kept is bounded, and whoever is
// quiet is served as if nobody else were there.

import IOMMU
import IOMMUTestSupport
import Synchronization
import Testing

@Suite struct HostileFloodTests {
    static let noisy = SourceID(0x100)
    static let quiet = SourceID(0x200)

    private static func unit(_ memory: GuestMemory, faultEntries: Int = 256) throws -> RemappingUnit {
        var configuration = TestBench.smallCaches
        configuration.faultEntries = faultEntries
        configuration.drainTimeout = .seconds(60)
        let unit = try RemappingUnit(capabilities: .full, memory: memory, configuration: configuration)
        try unit.setTranslation(enabled: true)
        return unit
    }

    // MARK: Descriptors

    @Test(arguments: [TableMode.legacySecond(4), .first(4)])
    func garbageDescriptorsChangeNoAnswer(mode: TableMode) throws {
        var log = MismatchLog()
        let tables = ModeTables(mode)
        (tables.first ?? tables.second)?.map(0x1000, to: 0x5000)
        let bench = try tables.bench()
        var generator = SeededGenerator(seed: 0xf10d)
        var accepted = 0
        for round in 0..<200_000 where !log.isFull {
            let isWide = mode.isLegacy ? generator.next() & 1 == 0 : generator.next() & 7 != 0
            var words = (0..<4).map { _ in generator.next() & generator.next() }
            // Half of them are nearly right: a type, and few other bits.
            if round % 2 == 0 {
                words = words.map { $0 & generator.next() & generator.next() }
                words[0] = words[0] & ~0xe0f | generator.next() % 10
            }
            let descriptor =
                isWide
                ? InvalidationDescriptor(words[0], words[1], words[2], words[3])
                : InvalidationDescriptor(words[0], words[1])
            do throws(IOMMUError) {
                _ = try bench.unit.invalidate(descriptor: descriptor)
                accepted += 1
            } catch {
                log.compare(error == .badDescriptor, true, "\(words.map(hex)): \(error)")
            }
            if round % 64 == 0 {
                let request = tables.request(0x1000, [.write])
                log.compare(try bench.answer(request), bench.expected(request), "round \(round)")
            }
        }
        #expect(accepted > 100)
        log.compare(bench.differences, [], "memory")
        log.expectNone("\(mode)")
    }

    /// Where a guest should not want a status, and in the end a place of its own.
    private static func statusTargets(_ image: GuestImage, _ page: UInt64) -> [UInt64] {
        [
            GuestImage.rom, GuestImage.hole, 0, 0xfee0_0000, .max & ~3, 1 << 63, 1 << 52, 0xf_ffff_ffff_fffc,
            GuestImage.ram - 4, image.regions[0].end, page + 4,
        ]
    }

    /// Batches of waits whose status goes to places that a guest should not name.
    @Test func waitsWithHostileAddressesWriteWhereMemoryIsAndNowhereElse() throws {
        let tables = ModeTables(.first(4))
        let bench = try tables.bench()
        let page = bench.image.allocatePage()
        let before = bench.image.copy()
        let targets = Self.statusTargets(bench.image, page)
        for target in targets {
            let wait = InvalidationDescriptor.wait(status: (OutputAddress(target), 0xdead_beef), interrupt: true)
            var batch = try InvalidationBatch(.vtdQueue256)
            for _ in 0..<256 { try batch.append(wait) }
            let result = try bench.unit.apply(batch)
            #expect(result.handled <= 256 && result.count == 256)
            #expect(result.isComplete == (result.handled == 256 && result.failures.isEmpty), "\(hex(target))")
        }
        #expect(bench.image[page] == 0xdead_beef_0000_0000)
        bench.image[page] = 0
        #expect(bench.image.differences(from: before) == [])
    }

    /// The largest batch there is, of such waits; and one that is larger.
    @Test func theLargestBatchIsTakenWholeAndALargerOneNotAtAll() throws {
        let bench = try ModeTables(.first(4)).bench()
        let page = bench.image.allocatePage()
        let before = bench.image.copy()
        let targets = Self.statusTargets(bench.image, page)
        let count = InvalidationBatch.maximumCount
        var words = [UInt64](repeating: 0, count: 4 * (count + 1))
        for index in 0...count {
            let target = targets[index % targets.count]
            let wait = InvalidationDescriptor.wait(status: (OutputAddress(target), UInt32(index)))
            (words[4 * index], words[4 * index + 1]) = (wait.q0, wait.q1)
        }
        #expect(throws: IOMMUError.invalidArgument) {
            try bench.unit.apply(rawEntries: words.span.bytes, format: .vtdQueue256)
        }
        #expect(bench.image.differences(from: before) == [])
        words.removeLast(4)
        let result = try bench.unit.apply(rawEntries: words.span.bytes, format: .vtdQueue256)
        let refused = result.refusedIndex
        #expect(result.count == count && result.handled == (refused ?? count) && (refused ?? 0) < targets.count)
        if refused == nil {
            let last = (0..<count).last { $0 % targets.count == targets.count - 1 } ?? 0
            #expect(bench.image[page] == UInt64(last) << 32)
        }
        bench.image[page] = 0
        #expect(bench.image.differences(from: before) == [])
    }

    // MARK: Faults

    @Test func aMillionFaultsOfOneDeviceKeepNoFaultOfAnotherBack() throws {
        // A ring of 2,048 keeps 16 places for each queue that has fewer records in it.
        let unit = try Self.unit(GuestMemory(), faultEntries: 2048)
        let devices = try [Self.noisy, Self.quiet].map {
            try Device(id: DeviceID(UInt64($0.rawValue)), sourceID: $0, in: unit)
        }
        let queues = try devices.map {
            try FaultQueue(of: .device($0), in: unit, options: FaultQueueOptions(quota: 64))
        }
        let port = try unit.makePort()
        var heard: [UInt64] = []
        var told: UInt64 = 0
        for number: UInt64 in 0..<1_000_000 {
            _ = try port.translate(IOVA(number << 12), access: .read, source: Self.noisy)
            if number % 10_000 == 5_000 {
                _ = try port.translate(IOVA(number << 12), access: .write, source: Self.quiet)
            }
            if number % 100_000 == 99_999 {
                // Ten of the quiet one wait, and more than the noisy one's quota does not.
                for record in queues[1].read() {
                    #expect(record.count == 1 && record.fault?.source == Self.quiet)
                    heard += [record.fault?.address.rawValue ?? 0]
                }
                let records = queues[0].read(max: 1000)
                #expect(records.count <= 64 + 65)
                told += records.reduce(0) { $0 + $1.count }
                #expect(records.allSatisfy { $0.fault == nil || $0.fault?.source == Self.noisy })
            }
        }
        told += queues[0].read(max: 1000).reduce(0) { $0 + $1.count }
        #expect(told == 1_000_000)
        #expect(heard == (0..<100).map { (UInt64($0) * 10_000 + 5_000) << 12 })
        #expect((queues[0].statistics?.highWater ?? 0) <= 64)
    }

    // MARK: Page requests

    @Test func aFloodOfPageRequestsStopsAtItsLimitAndASiblingIsServed() throws {
        let unit = try Self.unit(GuestMemory())
        let domain = try PagingDomain(unit: unit)
        let devices = try (0..<2).map { number in
            let first = UInt32(16 + 16 * number)
            let slice = try #require(PASID(first))...(try #require(PASID(first + 15)))
            let device = try Device(
                id: DeviceID(UInt64(number)), sourceID: Self.noisy, share: .slice(slice, policy: .refused), in: unit)
            try device.attach(domain, to: slice.lowerBound)
            return (device: device, pasid: slice.lowerBound)
        }
        var configuration = PageQueue.Configuration()
        configuration.timeout = nil
        let queue = try PageQueue(domain, configuration: configuration)
        let answers = Mutex<[PageAnswer]>([])
        let noisy = try devices[0].device.enablePageRequests(groups: 16, pages: 32)
        let quiet = try devices[1].device.enablePageRequests { answer in answers.withLock { $0.append(answer) } }
        var refused = 0
        for number in 0..<100_000 {
            let request = PageRequest(
                IOVA(UInt64(number) << 12), access: .read, pasid: devices[0].pasid, group: number % 512,
                isLast: number % 3 != 0)
            do throws(IOMMUError) {
                try noisy.request(request)
            } catch {
                #expect(error == .noSpace)
                refused += 1
            }
            if number % 10_000 == 0 {
                try quiet.request(
                    PageRequest(IOVA(UInt64(number) << 12), access: .write, pasid: devices[1].pasid, group: 7))
            }
        }
        #expect(refused >= 100_000 - 32 && noisy.statistics.open <= 16)
        var served: [IOVA] = []
        while let group = try queue.read() {
            if group.device == devices[1].device.id { served += group.pages.map(\.address) }
            try group.respond(.success)
        }
        #expect(served == (0..<10).map { IOVA(UInt64($0 * 10_000) << 12) })
        let heard = answers.withLock { $0 }
        #expect(heard.count == 10 && heard.allSatisfy { $0.device == devices[1].device.id && $0.cause == .owner })
        try noisy.request(PageRequest(0x1000, access: .read, pasid: devices[0].pasid, group: 511))
    }

    /// A queue that is full answers everybody at once until its owner has taken note; nothing is kept meanwhile.
    @Test func aFullQueueAnswersAtOnceUntilItIsAcknowledged() throws {
        let unit = try Self.unit(GuestMemory())
        let domain = try PagingDomain(unit: unit)
        let device = try Device(id: 1, sourceID: Self.noisy, in: unit)
        try device.attach(domain)
        var configuration = PageQueue.Configuration()
        configuration.timeout = nil
        configuration.groups = 8
        let queue = try PageQueue(domain, configuration: configuration)
        let causes = Mutex<[PageAnswer.Cause: Int]>([:])
        let interface = try device.enablePageRequests { answer in causes.withLock { $0[answer.cause, default: 0] += 1 }
        }
        for number in 0..<50_000 {
            try interface.request(PageRequest(IOVA(UInt64(number) << 12), access: .read, group: number % 512))
        }
        #expect(queue.hasOverflowed)
        #expect(causes.withLock { $0 } == [.overflow: 50_000 - 8])
        while let group = try queue.read() { try group.respond(.success) }
        queue.acknowledgeOverflow()
        try interface.request(PageRequest(0x1000, access: .read, group: 3))
        #expect(try queue.read()?.pages.map(\.address) == [0x1000])
    }

    // MARK: Interrupts

    @Test func messagesOfEveryIndexAreJudgedAndASiblingsIsDelivered() throws {
        let image = GuestImage()
        let memory = try GuestMemory()
        try image.register(in: memory)
        let unit = try Self.unit(memory)
        let port = try unit.makePort()
        let device = try Device(id: 1, sourceID: Self.quiet, in: unit)
        let store = try InterruptMessageStore(device: device, count: 1)
        let pasid = try #require(PASID(5))
        let armed = try store.allocate(pasid: pasid).program(address: 0xfee0_0010 | 9 << 5, data: 0).arm()
        // 256 entries of garbage, but for the sibling's.
        var generator = SeededGenerator(seed: 0x1917)
        for word: UInt64 in 0..<512 { image[GuestImage.ram + 8 * word] = generator.next() }
        image[GuestImage.ram + 9 * 16] = 1 | 0x42 << 16
        image[GuestImage.ram + 9 * 16 + 8] = 0
        try unit.setInterruptTable(GuestImage.ram | 7, enabled: true, port: port)
        let before = image.copy()
        var codes: Set<UInt32> = []
        for index: UInt64 in 0..<0x1_0000 {
            let address = 0xfee0_0010 | (index & 0x7fff) << 5 | (index >> 15) << 2
            // With a subhandle too, whose sum may have 17 bits.
            for subhandle: UInt32? in [nil, 0, 1, 0xffff] {
                let result = try port.signalInterrupt(
                    address: address | (subhandle == nil ? 0 : 8), data: subhandle ?? 0, source: Self.noisy
                ) { _ in }
                let number = index + UInt64(subhandle ?? 0)
                guard case .blocked(let blocked) = result else {
                    #expect(number < 256)
                    continue
                }
                codes.insert(blocked.fault.code)
                #expect((blocked.fault.code == 0x21) == (number >= 256))
            }
            if index % 4096 == 0 {
                var vector: UInt8?
                _ = try store.deliver(armed.index, pasid: pasid, through: port) { vector = $0.vector }
                #expect(vector == 0x42)
            }
        }
        #expect(codes.isSubset(of: [0x21, 0x22, 0x24, 0x26]) && codes.contains(0x24))
        #expect(image.differences(from: before).isEmpty)
    }
}
