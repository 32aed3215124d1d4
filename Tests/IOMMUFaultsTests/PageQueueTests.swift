// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Groups that are read and answered: values, errors, deadlines, sequences, life. The rules themselves are checked in C.

import IOMMU
import Testing

@Suite struct PageQueueTests {
    @Test func groupsAreReadWholeAndAnsweredOnce() throws {
        let bench = try PageBench()
        let device = try bench.device(7)
        let log = PageLog()
        let queue = try PageQueue(bench.domain, configuration: .patient)
        let interface = try device.enablePageRequests(handler: log.handler)
        try interface.request(PageRequest(IOVA(PageBench.iova(1).rawValue + 5), access: .read, group: 3, isLast: false))
        #expect(try queue.read() == nil)
        let secret = PagePrivateData(low: 1, high: 2)
        try interface.request(PageRequest(PageBench.iova(2), access: .write, group: 3, privateData: secret))
        let group = try #require(try queue.read())
        #expect(
            group.pages == [
                RequestedPage(PageBench.iova(1), access: .read), RequestedPage(PageBench.iova(2), access: .write),
            ])
        #expect(group.device == device.id && group.source == device.sourceID && group.pasid == nil)
        #expect(group.group == 3 && group.privateData == secret && group.isOpen)
        try group.respond(.success)
        #expect(!group.isOpen)
        #expect(throws: IOMMUError.alreadyAnswered) { try group.respond(.invalid) }
        let answer = try #require(log.answers.first)
        #expect(log.answers.count == 1 && answer.response == .success && answer.cause == .owner)
        #expect(answer.group == 3 && answer.privateData == secret && answer.device == device.id)
        #expect(interface.statistics.answers(.success) == 1 && interface.statistics.answers(by: .owner) == 1)
        #expect(queue.statistics.reads == 1 && queue.statistics.lateResponses == 1)
        #expect(queue.statistics.latencies.reduce(0, +) == 1)
        #expect(Set(interface.statistics.values.map(\.name)).count == interface.statistics.values.count)
        #expect(Set(queue.statistics.values.map(\.name)).count == queue.statistics.values.count)
    }

    @Test func aGroupOfManyPagesIsReadWhole() throws {
        let bench = try PageBench()
        let device = try bench.device(7)
        let queue = try PageQueue(bench.domain, configuration: .patient)
        let interface = try device.enablePageRequests()
        for page in 0..<300 {
            try interface.request(
                PageRequest(PageBench.iova(page), access: .read, group: 511, isLast: page == 299))
        }
        let group = try #require(try queue.read())
        #expect(group.pages.map(\.address) == (0..<300).map(PageBench.iova))
    }

    @Test func errorsSayWhichRuleWasBroken() throws {
        let bench = try PageBench()
        let device = try bench.device(7)
        let interface = try device.enablePageRequests(groups: 1, pages: 4)
        let queue = try PageQueue(bench.domain, configuration: .patient)
        #expect(throws: IOMMUError.exists) { try PageQueue(bench.domain, configuration: .patient) }
        #expect(throws: IOMMUError.invalidArgument) {
            try interface.request(PageRequest(0x1000, access: .read, group: 512))
        }
        try interface.request(PageRequest(0x1000, access: .read, group: 0))
        let error = #expect(throws: IOMMUError.noSpace) {
            try interface.request(PageRequest(0x2000, access: .read, group: 1))
        }
        #expect(error?.description.contains("1 groups or 4 pages") == true)
        let parent = try PagingDomain(unit: bench.unit, options: .nestParent)
        #expect(throws: IOMMUError.unsupported) { try PageQueue(parent) }
        let name = PageGroupName(source: device.sourceID, pasid: nil, group: 0)
        #expect(throws: IOMMUError.notFound) { try queue.respond(to: name, .success) }
        let group = try queue.read()
        try queue.respond(to: name, .success)
        #expect(group?.isOpen == false)
        interface.close()
        #expect(throws: IOMMUError.closed) {
            try interface.request(PageRequest(0x1000, access: .read, group: 0))
        }
        let without = try Capabilities { $0.pageRequests = false }
        let other = try PageBench(capabilities: without)
        let refused = #expect(throws: IOMMUError.unsupported) { try PageQueue(other.domain) }
        #expect(refused?.description.contains("ECAP.PRS") == true)
    }

    @Test func deadlinesByAClockOfTheHost() throws {
        let bench = try PageBench()
        let device = try bench.device(7)
        let clock = PageClock()
        let log = PageLog()
        var configuration = PageQueue.Configuration.patient
        configuration.clock = clock.read
        configuration.timeout = .microseconds(1)
        let queue = try PageQueue(bench.domain, configuration: configuration)
        let interface = try device.enablePageRequests(handler: log.handler)
        try interface.request(PageRequest(0x1000, access: .read, group: 0))
        let group = try #require(try queue.read())
        #expect(group.deadline == 2_000)
        clock.pass(999)
        #expect(bench.unit.expirePageRequests() == 1)
        clock.pass(1)
        #expect(throws: IOMMUError.alreadyAnswered) { try group.respond(.success) }
        #expect(log.answers.map(\.cause) == [.deadline] && log.answers.map(\.response) == [.failure])
        #expect(bench.unit.expirePageRequests() == nil)
    }

    @Test func theSystemsClockNeedsNobody() async throws {
        let bench = try PageBench()
        let device = try bench.device(7)
        var configuration = PageQueue.Configuration.patient
        configuration.timeout = .milliseconds(5)
        let queue = try PageQueue(bench.domain, configuration: configuration)
        let interface = try device.enablePageRequests()
        let answer = try await interface.answer(for: [RequestedPage(0x1000, access: .read)])
        #expect(answer.cause == .deadline && answer.response == .failure && answer.group == nil)
        #expect(queue.statistics.timeouts == 1)
    }

    @Test func shutdownAndItsLastReferenceAnswerEverything() throws {
        let bench = try PageBench()
        let device = try bench.device(7)
        let log = PageLog()
        let interface = try device.enablePageRequests(handler: log.handler)
        var queue: PageQueue? = try PageQueue(bench.domain, configuration: .patient)
        try interface.request(PageRequest(0x1000, access: .read, group: 0))
        let held = try #require(try queue?.read())
        try interface.request(PageRequest(0x2000, access: .read, group: 1))
        queue?.shutdown()
        #expect(log.answers.map(\.cause) == [.detach, .detach])
        #expect(throws: IOMMUError.closed) { _ = try queue?.read() }
        queue = nil
        #expect(throws: IOMMUError.alreadyAnswered) { try held.respond(.success) }
        queue = try PageQueue(bench.domain, configuration: .patient)
        try interface.request(PageRequest(0x1000, access: .read, group: 2))
        let last = try queue?.read()
        queue = nil
        #expect(log.answers.count == 3 && last?.isOpen == false)
        try interface.request(PageRequest(0x1000, access: .read, group: 3))
        #expect(log.answers.last?.cause == .nobody)
    }

    @Test func overflowIsSignalledUntilAcknowledged() throws {
        let bench = try PageBench()
        let device = try bench.device(7)
        let log = PageLog()
        var configuration = PageQueue.Configuration.patient
        configuration.groups = 1
        let queue = try PageQueue(bench.domain, configuration: configuration)
        let interface = try device.enablePageRequests(handler: log.handler)
        try interface.request(PageRequest(0x1000, access: .read, group: 0))
        #expect(!queue.hasOverflowed)
        try interface.request(PageRequest(0x2000, access: .read, group: 1))
        #expect(queue.hasOverflowed)
        #expect(log.answers.map(\.cause) == [.overflow] && log.answers.map(\.response) == [.success])
        queue.acknowledgeOverflow()
        #expect(!queue.hasOverflowed && queue.statistics.overflows == 1 && queue.statistics.lost == 1)
        #expect(try queue.fileDescriptor() >= 0)
    }

    @Test func nativeFormats() throws {
        let request = PageRequest(
            IOVA(0x1234_5678), access: [.read, .privileged], pasid: PASID(5), group: 9, isLast: true)
        let words = try request.descriptor(from: SourceID(0x42))
        #expect(words == [0x0020_0005_0042_0101, 0x1234_504d, 0, 0])
        let response: [UInt64] = [0x0000_0005_0042_1019, 0x48, 0, 0]
        let (name, code) = try PageGroupName.decode(response)
        #expect(name == PageGroupName(source: SourceID(0x42), pasid: PASID(5), group: 9) && code == .invalid)
        #expect(throws: IOMMUError.badDescriptor) { try PageGroupName.decode([5, 0, 0, 0]) }
        #expect(throws: IOMMUError.invalidArgument) { try PageGroupName.decode([9]) }
    }

    @Test func aSequenceOfGroups() async throws {
        let bench = try PageBench()
        let device = try bench.device(7)
        let queue = try PageQueue(bench.domain, configuration: .patient)
        let interface = try device.enablePageRequests()
        let groups = queue.groups
        let reader = Task {
            var pages = 0
            for await group in groups {
                pages += group.pages.count
                try group.respond(.success)
            }
            return pages
        }
        for page in 0..<200 {
            let answer = try await interface.answer(for: [RequestedPage(PageBench.iova(page), access: .read)])
            #expect(answer.response == .success && answer.cause == .owner)
        }
        queue.shutdown()
        #expect(try await reader.value == 200)
        let cancelled = Task {
            var iterator = groups.makeAsyncIterator()
            return await iterator.next() == nil
        }
        cancelled.cancel()
        #expect(await cancelled.value)
    }

    @Test func cancellingAnIterationEndsIt() async throws {
        let bench = try PageBench()
        let queue = try PageQueue(bench.domain, configuration: .patient)
        let groups = queue.groups
        for nap in 0..<20 {
            let task = Task {
                for await _ in groups {}
            }
            try await Task.sleep(for: .microseconds(nap * 50))
            task.cancel()
            await task.value
        }
    }
}
