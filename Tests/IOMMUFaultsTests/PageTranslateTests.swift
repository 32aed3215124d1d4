// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Translations that wait for their pages: resolution, refusal, cancellation, deadlines, detach, many at once.

import IOMMU
import Testing

@Suite struct PageTranslateTests {
    @Test func aMissingPageIsAskedForAndFound() async throws {
        let bench = try PageBench()
        let device = try bench.device(7)
        let queue = try PageQueue(bench.domain, configuration: .patient) { group in
            #expect(throws: Never.self) {
                try bench.resolve(group)
                try group.respond(.success)
            }
        }
        let interface = try device.enablePageRequests()
        let port = try bench.unit.makePort()
        for access: AccessRights in [.read, .write, [.read, .write]] {
            for page in 0..<8 {
                let result = try await port.translateOrRequest(PageBench.iova(page), access: access, via: interface)
                #expect(result.translation?.address == OutputAddress(PageBench.iova(page).rawValue))
            }
        }
        #expect(queue.statistics.reads == 8)
        #expect(port.takeFaults().faults.isEmpty)
        queue.shutdown()
    }

    @Test(arguments: [PageResponse.invalid, .failure])
    func aRefusedPageIsAFaultThatIsRecorded(response: PageResponse) async throws {
        let bench = try PageBench()
        let device = try bench.device(7)
        let queue = try PageQueue(bench.domain, configuration: .patient) { group in try? group.respond(response) }
        let interface = try device.enablePageRequests()
        let port = try bench.unit.makePort()
        let result = try await port.translateOrRequest(PageBench.iova(1), access: .read, via: interface)
        #expect(result.fault?.isRecoverable == true && result.fault?.isRecorded == true)
        #expect(port.takeFaults().faults.count == 1)
        queue.shutdown()
        let unanswered = try await port.translateOrRequest(PageBench.iova(1), access: .read, via: interface)
        #expect(unanswered.fault != nil)
    }

    @Test func whatNoPageCuresIsNotAskedFor() async throws {
        let bench = try PageBench()
        let device = try bench.device(7)
        let queue = try PageQueue(bench.domain, configuration: .patient)
        let interface = try device.enablePageRequests()
        let port = try bench.unit.makePort()
        let result = try await port.translateOrRequest(
            IOVA(1 << 60), access: .read, via: interface)
        #expect(result.fault?.isRecoverable == false && interface.statistics.groups == 0)
        #expect(queue.statistics.groups == 0)
    }

    /// An owner that says success and provides nothing is asked a few times, not for ever.
    @Test func anEmptySuccessEnds() async throws {
        let bench = try PageBench()
        let device = try bench.device(7)
        let queue = try PageQueue(bench.domain, configuration: .patient) { group in try? group.respond(.success) }
        let interface = try device.enablePageRequests()
        let port = try bench.unit.makePort()
        let result = try await port.translateOrRequest(PageBench.iova(1), access: .read, via: interface)
        #expect(result.fault != nil && queue.statistics.reads == 16)
        queue.shutdown()
    }

    @Test func insideASectionItIsRefused() async throws {
        let bench = try PageBench()
        let device = try bench.device(7)
        let queue = try PageQueue(bench.domain, configuration: .patient)
        let interface = try device.enablePageRequests()
        let port = try bench.unit.makePort()
        let request = PageRequest(PageBench.iova(1), access: .read, group: 1)
        let status = port.withSection { () -> IOMMUError? in
            #expect(throws: IOMMUError.self) { try interface.request(request, port: port) }
        }
        #expect(status == .inSection)
        #expect(queue.statistics.groups == 0)
    }

    @Test func cancellationEndsTheWait() async throws {
        let bench = try PageBench()
        let device = try bench.device(7)
        let queue = try PageQueue(bench.domain, configuration: .patient)
        let interface = try device.enablePageRequests()
        for nap in 0..<20 {
            let task = Task {
                let port = try bench.unit.makePort()
                return try await port.translateOrRequest(PageBench.iova(nap), access: .read, via: interface)
            }
            try await Task.sleep(for: .microseconds(nap * 100))
            task.cancel()
            await #expect(throws: CancellationError.self) { try await task.value }
        }
        // What was asked for is still there, and its answer is nobody's.
        while let group = try queue.read() {
            try group.respond(.success)
        }
        #expect(interface.statistics.open == 0)
    }

    @Test func aDeadlineEndsTheWait() async throws {
        let bench = try PageBench()
        let device = try bench.device(7)
        let queue = try PageQueue(bench.domain, configuration: .patient)
        let interface = try device.enablePageRequests()
        let port = try bench.unit.makePort()
        let begun = ContinuousClock.now
        await #expect(throws: IOMMUError.timedOut) {
            try await port.translateOrRequest(
                PageBench.iova(1), access: .read, via: interface, deadline: .now + .milliseconds(20))
        }
        #expect(ContinuousClock.now - begun >= .milliseconds(20))
        let group = try #require(try queue.read())
        try bench.resolve(group)
        try group.respond(.success)
        let result = try await port.translateOrRequest(PageBench.iova(1), access: .read, via: interface, deadline: .now)
        #expect(result.translation != nil)
    }

    @Test func aDetachEndsTheWait() async throws {
        let bench = try PageBench()
        let device = try bench.device(7)
        let queue = try PageQueue(bench.domain, configuration: .patient)
        let interface = try device.enablePageRequests()
        let task = Task {
            let port = try bench.unit.makePort()
            return try await port.translateOrRequest(PageBench.iova(1), access: .read, via: interface)
        }
        try await pageWait { queue.statistics.queued == 1 }
        try device.detach()
        #expect(try await task.value.fault != nil)
        #expect(interface.statistics.answers(by: .detach) == 1)
    }

    /// Many tasks on few pages of two devices, an owner that maps and unmaps, and detaches in between.
    @Test func manyAtOnce() async throws {
        let bench = try PageBench()
        let devices = try [bench.device(1), bench.device(2)]
        var configuration = PageQueue.Configuration.patient
        configuration.groups = 6
        let queue = try PageQueue(bench.domain, configuration: configuration) { group in
            try? bench.resolve(group)
            try? group.respond(.success)
        }
        let interfaces = try devices.map { try $0.enablePageRequests(groups: 4, pages: 8) }
        let mapped = PageShared(0)
        try await withThrowingTaskGroup { group in
            for task in 0..<6 {
                group.addTask {
                    let port = try bench.unit.makePort()
                    for round in 0..<150 {
                        let result = try await port.translateOrRequest(
                            PageBench.iova((round + task) % 16), access: .read, via: interfaces[task % 2])
                        if result.translation != nil { mapped.change { $0 += 1 } }
                    }
                }
            }
            group.addTask {
                for round in 0..<300 {
                    _ = try? bench.domain.unmap(PageBench.iova(round % 16), length: 4096)
                    if round % 50 == 0 {
                        try devices[round / 50 % 2].detach()
                        try devices[round / 50 % 2].attach(bench.domain)
                    }
                    await Task.yield()
                }
            }
            try await group.waitForAll()
        }
        #expect(mapped.value > 600)
        #expect(interfaces.allSatisfy { $0.statistics.open == 0 })
        queue.shutdown()
    }
}
