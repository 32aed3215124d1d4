// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Page requests: into the guest's queue, the event, overflow, and the guest's responses back to the device [FORMATS-VTD B10, D].

import Glibc
import IOMMU
import IOMMUTestSupport
import Synchronization
import Testing
import VirtualVTd

/// What a device was answered.
private final class Answers: Sendable {
    private let answers = Mutex<[PageAnswer]>([])

    func append(_ answer: PageAnswer) { answers.withLock { $0.append(answer) } }

    func take() -> [PageAnswer] {
        answers.withLock { answers in
            defer { answers = [] }
            return answers
        }
    }
}

@Suite struct PageRequestTests {
    private static let source: UInt16 = 0x18

    private let machine: VTdMachine
    private let interface: PageRequestInterface
    private let answers = Answers()
    private let queue: UInt64

    init() throws {
        let machine = try VTdMachine()
        queue = machine.enablePageRequests(of: Self.source, 0x20)
        machine.unmask(pageRequest: 0x77)
        let answers = answers
        interface = try PageRequestInterface(
            unit: machine.front.unit, configuration: .init(source: SourceID(UInt32(Self.source)), device: 5)
        ) { answers.append($0) }
        self.machine = machine
    }

    private func ask(_ address: UInt64, group: Int, isLast: Bool = true) throws {
        try interface.request(
            PageRequest(IOVA(address), access: [.read, .write], pasid: PASID(3)!, group: group, isLast: isLast))
        machine.front.finishWorks()
    }

    /// A page-group response, as a driver puts it into the invalidation queue.
    private func respond(group: UInt64, code: UInt64) {
        let low: UInt64 = 9 | 1 << 4 | code << 12 | UInt64(Self.source) << 16 | 3 << 32
        machine.submit(Descriptor(low, group << 3))
    }

    @Test func aGroupIsStoredAndAnswered() throws {
        try ask(0x5000, group: 7, isLast: false)
        #expect(machine.read64(0xc8) == 0, "the group is not complete")
        try ask(0x6000, group: 7)
        #expect(machine.read64(0xc8) == 64)
        #expect(machine[0xdc] == 1, "PPR")
        #expect(machine.signals.take() == [0x77])
        // Type 1, PP, the source, the PASID; then address, group, LPIG, W, R.
        let first: UInt64 = 1 | 1 << 8 | UInt64(Self.source) << 16 | 3 << 32
        #expect(machine.image[queue] == first)
        #expect(machine.image[queue + 8] == 0x5000 | 7 << 3 | 3)
        #expect(machine.image[queue + 32] == first)
        #expect(machine.image[queue + 40] == 0x6000 | 7 << 3 | 7)
        machine[0xdc] = 1
        #expect(machine[0xdc] == 0)
        machine.write(0xc0, 64, size: 8)
        #expect(answers.take() == [])
        respond(group: 7, code: 0)
        let told = answers.take()
        #expect(told.map(\.response) == [.success])
        #expect(told.first?.group == 7 && told.first?.pasid == PASID(3))
        respond(group: 7, code: 0)
        #expect(answers.take() == [], "there is no such group any more")
        #expect(machine[0x34] == 0)
    }

    @Test(arguments: [(UInt64(0), PageResponse.success), (1, .invalid), (0xf, .failure), (5, .failure)])
    func everyCodeReachesTheDevice(code: UInt64, response: PageResponse) throws {
        try ask(0x5000, group: 1)
        respond(group: 1, code: code)
        #expect(answers.take().map(\.response) == [response])
    }

    /// A device may use an index again before it has the answer.
    @Test func groupsOfOneNameAreAnsweredInTheirOrder() throws {
        for number in 1...3 as ClosedRange<UInt64> {
            let data = PagePrivateData(low: number, high: 0)
            try interface.request(
                PageRequest(
                    IOVA(number << 12), access: .read, pasid: PASID(3)!, group: 7, isLast: true, privateData: data))
        }
        machine.front.finishWorks()
        for number in 1...3 as ClosedRange<UInt64> {
            respond(group: 7, code: 0)
            #expect(answers.take().map(\.privateData?.words.low) == [number])
        }
    }

    @Test func oneEventUntilItIsSeen() throws {
        try ask(0x5000, group: 1)
        try ask(0x6000, group: 2)
        #expect(machine.signals.take() == [0x77])
        machine[0xdc] = 1
        try ask(0x7000, group: 3)
        #expect(machine.signals.take() == [0x77])
    }

    /// What asks as a whole has no index of its own; the guest must be able to tell two of them apart.
    @Test func groupsWithoutAnIndexGetOne() async throws {
        let interface = interface
        let first = Task { try await interface.answer(for: [RequestedPage(0x5000, access: .read)], pasid: PASID(3)!) }
        while machine.read64(0xc8) < 32 { await Task.yield() }
        let second = Task { try await interface.answer(for: [RequestedPage(0x6000, access: .read)], pasid: PASID(3)!) }
        while machine.read64(0xc8) < 64 { await Task.yield() }
        let indices = [8, 40].map { machine.image[queue + $0] >> 3 & 0x1ff }
        #expect(Set(indices).count == 2)
        respond(group: indices[1], code: 1)
        respond(group: indices[0], code: 0)
        #expect(try await first.value.response == .success)
        #expect(try await second.value.response == .invalid)
    }

    @Test func everyDeviceIsSeenAndAnswered() throws {
        let others = Answers()
        let other = try PageRequestInterface(
            unit: machine.front.unit, configuration: .init(source: SourceID(0x20), device: 6)
        ) { others.append($0) }
        try ask(0x5000, group: 1)
        try other.request(PageRequest(0x5000, access: [.read, .write], pasid: PASID(3)!, group: 1))
        machine.front.finishWorks()
        #expect(machine.read64(0xc8) == 64, "the same page for another device is a request of its own")
        respond(group: 1, code: 1)
        #expect(answers.take().map(\.response) == [.invalid])
        #expect(others.take() == [])
    }

    @Test func aResetAnswersWhatIsOutstanding() throws {
        try ask(0x5000, group: 1)
        try machine.front.reset()
        #expect(answers.take().map(\.response) == [.invalid])
    }

    /// What came before a wait with PD is in the queue when its status is.
    @Test(arguments: [0, 1, 5]) func aDrainingWaitComesAfterTheRequests(before: Int) throws {
        let worker = try VTdMachine(processing: .worker)
        _ = worker.enablePageRequests(of: Self.source)
        let status = worker.image.allocatePage()
        let device = try PageRequestInterface(
            unit: worker.front.unit, configuration: .init(source: SourceID(UInt32(Self.source)), device: 5))
        let global = Descriptor(2 | 1 << 4)
        for round in 1...100 as ClosedRange<UInt64> {
            worker.put(Array(repeating: global, count: before))
            worker.put([Descriptor(5 | 1 << 5 | 1 << 7 | round << 32, status), global])
            try device.request(
                PageRequest(IOVA(round << 12), access: .read, pasid: PASID(3)!, group: Int(round)), port: worker.port)
            worker.write(0x88, worker.tail)
            while worker.image[status] != round { sched_yield() }
            #expect(worker.read64(0xc8) == round * 32 % 4096)
            worker.write(0xc0, round * 32 % 4096)
        }
        #expect(worker[0x34] == 0)
    }

    /// Also what came while the descriptors before it were worked on.
    @Test func aDrainingWaitComesAfterTheRequestsOfThatMoment() throws {
        let status = machine.image.allocatePage()
        let (front, interface) = (machine.front, interface)
        let tails = Mutex<[UInt64]>([])
        let global = Descriptor(2 | 1 << 4)
        let observer = try front.unit.addObserver { _ in
            let count = tails.withLock { tails in
                tails.append(front.read(0xc8, size: 8))
                return tails.count
            }
            guard count == 1 else { return }
            try? interface.request(PageRequest(0x5000, access: .read, pasid: PASID(3)!, group: 1, isLast: true))
        }
        machine.submit(global, Descriptor(5 | 1 << 5 | 1 << 7 | 9 << 32, status), global)
        try front.unit.removeObserver(observer)
        #expect(machine.image[status] == 9)
        #expect(tails.withLock { $0 } == [0, 32], "before the wait, and after it")
    }

    @Test func aFullQueueOverflowsAndTheDeviceAsksAgain() throws {
        for number in 0..<127 {
            try ask(0x10_0000 + UInt64(number) << 12, group: number)
        }
        #expect(machine[0xdc] == 1)
        #expect(machine.signals.take() == [0x77])
        try ask(0x5000, group: 200)
        #expect(machine[0xdc] == 3, "PRO")
        #expect(machine.signals.take() == [], "PPR stood")
        #expect(machine.read64(0xc8) == 127 * 32)
        #expect(answers.take().map(\.response) == [.success], "so that it asks again")
        machine.write(0xc0, 127 * 32, size: 8)
        try ask(0x5000, group: 201)
        #expect(machine.read64(0xc8) == 127 * 32, "nothing is stored until PRO is cleared")
        machine[0xdc] = 3
        try ask(0x5000, group: 202)
        #expect(machine.read64(0xc8) == 0, "the queue wraps")
        #expect(machine.signals.take() == [0x77])
    }
}
