// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The proof that an old answer may still be given: it must accept what promise 1 allows and nothing else.

import IOMMU
import IOMMUCapture
import IOMMUReplay
import Testing

@Suite struct StaleProofTests {
    /// What comes between the change that ended the answer and now.
    struct Case: CustomTestStringConvertible {
        let name: String
        let descriptor: String
        let mayStillHold: Bool

        var testDescription: String { name }
    }

    static let cases = [
        Case(name: "global IOTLB", descriptor: "D 0 0 12 0 0 0", mayStillHold: false),
        Case(name: "own domain", descriptor: "D 0 0 90022 0 0 0", mayStillHold: false),
        Case(name: "other domain", descriptor: "D 0 0 80022 0 0 0", mayStillHold: true),
        Case(name: "own page", descriptor: "D 0 0 90032 10000 0 0", mayStillHold: false),
        Case(name: "other page", descriptor: "D 0 0 90032 11000 0 0", mayStillHold: true),
        Case(name: "block with the page", descriptor: "D 0 0 90032 11001 0 0", mayStillHold: false),
        Case(name: "block beside the page", descriptor: "D 0 0 90032 12001 0 0", mayStillHold: true),
        Case(name: "own page, other domain", descriptor: "D 0 0 80032 10000 0 0", mayStillHold: true),
        Case(name: "global context", descriptor: "D 0 0 11 0 0 0", mayStillHold: false),
        Case(name: "context of the domain", descriptor: "D 0 0 90021 0 0 0", mayStillHold: false),
        Case(name: "context of the device", descriptor: "D 0 0 3800090031 0 0 0", mayStillHold: false),
        Case(name: "context of another device", descriptor: "D 0 0 4000090031 0 0 0", mayStillHold: true),
        Case(name: "context of the device's functions", descriptor: "D 0 0 30039000b0031 0 0 0", mayStillHold: false),
        Case(name: "wait", descriptor: "D 0 0 25 1000 0 0", mayStillHold: true),
    ]

    @Test(arguments: cases)
    func onlyACoveringInvalidationEndsAnAnswer(_ test: Case) throws {
        let events = [test.descriptor, "T 0038 - 10000 r -> 80000 fff 3 fault 0 u"]
        let stream = try EventStream(text: [UInt8]((events.joined(separator: "\n") + "\n").utf8), file: "stream")
        let bench = try Bench(stream)
        let question = Question(stream.translations[0])
        let old = try question.trace(bench.unit).result
        #expect(old.translation?.address == 0x8_0000)
        bench.proof.log.store(ReplayPlan.Store(address: MiniCapture.leaf, value: 0x9_0003), in: bench.memory)
        bench.proof.log.invalidation(0)
        #expect(try bench.proof.held(question, old, bench.unit) == test.mayStillHold)
        // Whatever was found, memory is as it was.
        #expect(bench.memory.load(MiniCapture.leaf) == 0x9_0003)
    }

    @Test func theLatestChangeIsNotTheOnlyOne() throws {
        let event = "T 0038 - 10000 r -> 80000 fff 3 fault 0 u\n"
        let bench = try Bench(EventStream(text: [UInt8](event.utf8), file: "stream"))
        let question = Question(bench.stream.translations[0])
        let first = try question.trace(bench.unit).result
        for value in [0x9_0003, 0, 0xa_0003, 0xb_0001] as [UInt64] {
            bench.proof.log.store(ReplayPlan.Store(address: MiniCapture.leaf, value: value), in: bench.memory)
        }
        // A table above the leaf changes too, to one that maps nothing.
        bench.proof.log.store(ReplayPlan.Store(address: 0x5000, value: 0), in: bench.memory)
        #expect(try bench.proof.held(question, first, bench.unit))
        bench.proof.log.everything()
        #expect(try !bench.proof.held(question, first, bench.unit))
        #expect(bench.memory.load(MiniCapture.leaf) == 0xb_0001)
        #expect(bench.memory.load(0x5000) == 0)
    }

    @Test func anAnswerThatNeverHeldIsNotProved() throws {
        let events = "T 0038 - 11000 r -> 80000 fff 3 fault 0 u\nT 0038 - 10000 r -> 80000 fff 3 fault 0 u\n"
        let bench = try Bench(EventStream(text: [UInt8](events.utf8), file: "stream"))
        let other = try Question(bench.stream.translations[0]).trace(bench.unit).result
        let elsewhere = Question(bench.stream.translations[1])
        bench.proof.log.store(ReplayPlan.Store(address: MiniCapture.leaf, value: 0), in: bench.memory)
        #expect(try !bench.proof.held(elsewhere, other, bench.unit))
    }

    /// A unit over the small recording's tables.
    struct Bench {
        let stream: EventStream
        let memory: TableMemory
        let unit: RemappingUnit
        let proof: StaleProof

        init(_ stream: EventStream) throws {
            self.stream = stream
            memory = try TableMemory(pages: (1...6).map { $0 * 0x1000 })
            for (address, word) in MiniCapture.words {
                memory.store(word, at: address)
            }
            let capabilities = try Capabilities(cap: 0xd2_008c_222f_0606, ecap: 0xf0_0f4a)
            unit = try RemappingUnit(capabilities: capabilities, memory: memory.guest, configuration: .noCache)
            try unit.setRootTable(MiniCapture.root)
            try unit.setTranslation(enabled: true)
            proof = StaleProof(stream, memory)
        }
    }
}
