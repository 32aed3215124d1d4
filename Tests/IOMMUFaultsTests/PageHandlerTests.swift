// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Groups that come to a handler: in order for each device, without one device delaying another, and never after a detach.

import Dispatch
import Foundation
import IOMMU
import Testing

/// Executors that differ in everything a queue could rely on.
private let executors: [@Sendable () -> HandlerExecutor] = [
    { HandlerExecutor { $0() } },
    { .thread() },
    { .queue(DispatchQueue(label: "pages", attributes: .concurrent)) },
]

@Suite struct PageHandlerTests {
    @Test(arguments: executors.indices)
    func everyGroupComesOnceAndInOrder(index: Int) async throws {
        let bench = try PageBench()
        let devices = try [bench.device(1), bench.device(2)]
        let seen = PageShared<[DeviceID: [UInt64]]>([:])
        var configuration = PageQueue.Configuration.patient
        configuration.sharesAnswers = false
        let queue = try PageQueue(bench.domain, configuration: configuration, executor: executors[index]()) { group in
            seen.change { $0[group.device, default: []].append(group.pages[0].address.rawValue) }
            #expect(throws: Never.self) { try group.respond(.success) }
        }
        let interfaces = try devices.map { try $0.enablePageRequests() }
        for page in 0..<500 {
            for interface in interfaces {
                try interface.request(PageRequest(PageBench.iova(page), access: .read, group: page))
            }
            while interfaces[0].statistics.open > 100 { await Task.yield() }
        }
        try await pageWait { interfaces.allSatisfy { $0.statistics.answers(.success) == 500 } }
        let wanted = (0..<500).map { PageBench.iova($0).rawValue }
        for device in devices {
            #expect(seen.value[device.id] == wanted)
        }
        #expect(queue.statistics.overflows == 0)
    }

    @Test func aSlowDeviceDelaysNoOther() async throws {
        let bench = try PageBench()
        let slow = try bench.device(1)
        let quick = try bench.device(2)
        let gate = DispatchSemaphore(value: 0)
        let queue = try PageQueue(
            bench.domain, configuration: .patient,
            executor: .queue(DispatchQueue(label: "pages", attributes: .concurrent))
        ) { group in
            if group.device == slow.id { gate.wait() }
            try? group.respond(.success)
        }
        let waiting = try slow.enablePageRequests()
        let running = try quick.enablePageRequests()
        try waiting.request(PageRequest(PageBench.iova(0), access: .read, group: 0))
        for page in 1..<50 {
            let answer = try await running.answer(for: [RequestedPage(PageBench.iova(page), access: .read)])
            #expect(answer.cause == .owner)
        }
        #expect(waiting.statistics.open == 1)
        gate.signal()
        try await pageWait { waiting.statistics.open == 0 }
        queue.shutdown()
    }

    @Test(arguments: executors.indices)
    func aHandlerDetachesItsOwnDevice(index: Int) async throws {
        let bench = try PageBench()
        let device = try bench.device(1)
        let log = PageLog()
        let calls = PageShared(0)
        let gate = DispatchSemaphore(value: 0)
        let queue = try PageQueue(bench.domain, configuration: .patient, executor: executors[index]()) { group in
            calls.change { $0 += 1 }
            if index != 0 { gate.wait() }
            #expect(throws: Never.self) { try device.detach() }
            #expect(!group.isOpen)
            #expect(throws: IOMMUError.alreadyAnswered) { try group.respond(.success) }
        }
        let interface = try device.enablePageRequests(handler: log.handler)
        for group in 0..<3 {
            try interface.request(PageRequest(PageBench.iova(group), access: .read, group: group))
        }
        gate.signal()
        try await pageWait { log.answers.count == 3 }
        queue.shutdown()
        #expect(calls.value == 1)
        #expect(log.answers.filter { $0.response == .invalid }.count == 3)
    }

    /// A reset of the device, and one of the unit, from its own handler: neither waits for itself.
    @Test(arguments: [false, true])
    func aHandlerResets(unit: Bool) async throws {
        let bench = try PageBench()
        let device = try bench.device(1)
        let log = PageLog()
        let queue = try PageQueue(bench.domain, configuration: .patient) { group in
            #expect(throws: Never.self) { unit ? try bench.unit.reset() : try device.reset() }
            #expect(!group.isOpen)
        }
        let interface = try device.enablePageRequests(handler: log.handler)
        try interface.request(PageRequest(PageBench.iova(1), access: .read, group: 1))
        try await pageWait { log.answers.count == 1 }
        #expect(log.answers.first?.cause == .detach)
        try await pageWait { device.attachments.isEmpty }  // the reset itself ends after the answer
        queue.shutdown()
    }

    /// Detaches beside groups that come to a handler: none of it runs once the detach has returned.
    @Test(arguments: executors.indices)
    func noHandlerRunsAfterADetach(index: Int) throws {
        let bench = try PageBench()
        let device = try bench.device(1)
        let log = PageLog()
        let isAttached = PageShared(true)
        let violations = PageShared(0)
        let queue = try PageQueue(bench.domain, configuration: .patient, executor: executors[index]()) { group in
            if !isAttached.value { violations.change { $0 += 1 } }
            try? group.respond(.success)
            if !isAttached.value && group.isOpen { violations.change { $0 += 1 } }
        }
        let interface = try device.enablePageRequests(handler: log.handler)
        let goesOn = PageShared(true)
        let done = DispatchSemaphore(value: 0)
        let asked = PageShared(0)
        Thread.detachNewThread {
            var page = 0
            while goesOn.value {
                page += 1
                let request = PageRequest(PageBench.iova(page % 64), access: .read, group: page % 512)
                if (try? interface.request(request)) != nil {
                    asked.change { $0 += 1 }
                }
            }
            done.signal()
        }
        for _ in 0..<1_000 {
            try device.detach()
            isAttached.change { $0 = false }
            Thread.sleep(forTimeInterval: 0.000_05)
            isAttached.change { $0 = true }
            try device.attach(bench.domain)
        }
        goesOn.change { $0 = false }
        done.wait()
        try device.detach()
        queue.shutdown()
        #expect(violations.value == 0)
        #expect(log.answers.count == asked.value)
        #expect(interface.statistics.open == 0)
    }

    @Test func overflowsPassByThemselves() async throws {
        let bench = try PageBench()
        let device = try bench.device(1)
        var configuration = PageQueue.Configuration.patient
        configuration.groups = 4
        let queue = try PageQueue(bench.domain, configuration: configuration) { group in
            try? group.respond(.success)
        }
        let interface = try device.enablePageRequests()
        for round in 0..<2_000 {
            try? interface.request(PageRequest(PageBench.iova(round), access: .read, group: round % 512))
        }
        try await pageWait { interface.statistics.open == 0 && !queue.hasOverflowed }
        let answer = try await interface.answer(for: [RequestedPage(PageBench.iova(1), access: .read)])
        #expect(answer.response == .success)
        queue.shutdown()
    }
}
