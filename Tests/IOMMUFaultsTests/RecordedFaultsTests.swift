// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The faults of the recordings: replayed, they come out of the dispatcher in the order of the stream, with the recorded
// source id, address and access, and with the recorded code where the engine agrees with the recorder.

import Foundation
import IOMMU
import IOMMUCapture
import IOMMUReplay
import Synchronization
import Testing

struct RecordedFaultsTests {
    /// A fault as the stream has it.
    private struct Recorded: Hashable {
        var source: SourceID
        var pasid: PASID?
        var address: IOVA
        var access: AccessRights
    }

    private static let folders = [
        "Tests/Captures/A1-legacy-ss48-strict-cm", "Tests/Captures/A3-legacy-ats-lazy",
        "Tests/Captures/B1-scalable-ss48-strict", "Sources/IOMMUTool/Captures/C1-scalable-fs-strict",
    ]

    private static func load(_ folder: String) throws -> Capture {
        let root = "/" + #filePath.split(separator: "/").dropLast(3).joined(separator: "/")
        return try Capture(folder: "\(root)/\(folder)")
    }

    @Test(arguments: folders)
    func theyReachTheirOwner(folder: String) throws {
        let capture = try Self.load(folder)
        let stream = capture.events
        let plan = try ReplayPlan(stream)
        let memory = try TableMemory(pages: plan.pages)
        let unit = try RemappingUnit(
            capabilities: Capabilities(cap: capture.registers.cap, ecap: capture.registers.ecap), memory: memory.guest)
        let port = try unit.makePort()
        let heard = Heard()
        let dispatcher = FaultDispatcher(unit: unit)
        try dispatcher.receive(from: .rest, options: FaultQueueOptions(quota: 4_096), on: .thread()) { heard.hear($0) }

        var expected: [Recorded] = []
        var recordedFaults = 0
        for segment in plan.segments {
            for store in plan.stores[segment.firstSeen] { memory.store(store.value, at: store.address) }
            for translation in stream.translations[segment.translations] {
                let question = Question(translation)
                let result = try question.ask(port)
                recordedFaults += translation.answer.fault == 0 ? 0 : 1
                if translation.answer.fault != 0 {
                    #expect(result.fault != nil, "\(question)")
                }
                guard let fault = result.fault, fault.isRecorded else { continue }
                expected.append(
                    Recorded(
                        source: question.source, pasid: question.pasid, address: question.iova, access: question.access)
                )
                if expected.count % 32 == 0 {
                    #expect(heard.comesTo(UInt64(expected.count)))  // the ring has room for them
                }
            }
            try apply(segment.change, plan, stream, memory, unit)
        }
        #expect(heard.comesTo(UInt64(expected.count)))
        #expect(heard.isComplete)
        let received = heard.all.compactMap(\.fault).map {
            Recorded(source: $0.source, pasid: $0.pasid, address: $0.address, access: $0.access)
        }
        #expect(received == expected)
        // 1,792 were provoked; a few more came with the guest's start and end.
        #expect(recordedFaults >= 1_792)
        #expect(expected.count >= 1_792)
    }

    private func apply(
        _ change: ReplayPlan.Change, _ plan: ReplayPlan, _ stream: EventStream, _ memory: TableMemory,
        _ unit: RemappingUnit
    ) throws {
        switch change {
        case .end:
            break
        case .store(let index):
            memory.store(plan.stores[index].value, at: plan.stores[index].address)
        case .descriptor(let index, _):
            let words = stream.descriptors[index].words
            let isWide = stream.descriptors[index].isWide
            try unit.invalidate(
                descriptor: isWide
                    ? InvalidationDescriptor(words.q0, words.q1, words.q2, words.q3)
                    : InvalidationDescriptor(words.q0, words.q1))
        case .rootTable(let address):
            try unit.setRootTable(address)
        case .translation(let enabled):
            try unit.setTranslation(enabled: enabled)
        }
    }
}
