// SPDX-License-Identifier: LGPL-2.1-or-later
//
// RegisterReplay - the stream through a virtual unit: what the guest wrote to registers drives it, and everything that the recorder
// read back, stored, signalled and answered is compared. No descriptor of the recording is handed over: the unit fetches its own.

internal import IOMMU
internal import IOMMUCapture
internal import Synchronization
internal import VirtualVTd

/// One pass over the stream through registers.
final class RegisterReplay {
    private let stream: EventStream
    private var front: VirtualVTd
    private let memory: TableMemory
    private var port: Port
    private let configuration: VirtualVTd.Configuration
    private let migrations: Set<Int>
    private let explainer: Explainer
    private let proof: StaleProof
    private let signals = SignalLog()
    private var expectedSignals: [EventStream.Signal] = []
    /// The next event.
    private var position = 0

    init(_ stream: EventStream, _ capabilities: Capabilities, _ options: ReplayOptions) throws(ReplayError) {
        self.stream = stream
        memory = try TableMemory(pages: Set(stream.memoryWrites.map { $0.address & ~0xfff }).sorted())
        do throws(IOMMUError) {
            var configuration = VirtualVTd.Configuration(capabilities: capabilities)
            configuration.processing = .inline
            configuration.sizes = options.configuration
            self.configuration = configuration
            migrations = options.migrations
            front = try Self.makeFront(configuration, memory, signals)
            port = try front.unit.makePort()
            explainer = try Explainer(capabilities, memory)
        } catch {
            throw .engine(error, doing: "making a unit")
        }
        proof = StaleProof(stream, memory)
    }

    private static func makeFront(
        _ configuration: VirtualVTd.Configuration, _ memory: TableMemory, _ signals: SignalLog
    ) throws(IOMMUError) -> VirtualVTd {
        try VirtualVTd(
            configuration, memory: memory.guest,
            host: VirtualVTd.Host(signal: { address, data in
                signals.append(EventStream.Message(address: address, data: data))
            }))
    }

    /// The unit's state goes into a new one, with cold caches.
    private func migrate(_ tally: inout StreamTally) throws(IOMMUError) {
        tally.lookups += IOTLBCounts(front.unit.statistics)
        let snapshot = front.snapshot()
        front = try Self.makeFront(configuration, memory, signals)
        try front.restore(snapshot)
        port = try front.unit.makePort()
    }

    /// The state of the unit as it stands now.
    var snapshot: VirtualVTd.Snapshot { front.snapshot() }

    /// Does the pass, and adds to a tally.
    func run(into tally: inout StreamTally, progress: (Double) -> Void) throws(ReplayError) {
        try advance(to: stream.events.count, into: &tally, progress: progress)
        for signal in expectedSignals { differs(signal, "nothing", &tally) }
        while let message = signals.takeFirst() {
            tally.deviations.add {
                Deviation(
                    file: stream.file, line: stream.lineCounts.values.reduce(0, +),
                    recorded: "no interrupt of the unit",
                    answered: "\(message)", walk: [])
            }
        }
        progress(1)
        tally.lookups += IOTLBCounts(front.unit.statistics)
    }

    /// Does the events up to a position in the stream, from where it stands.
    func advance(to end: Int, into tally: inout StreamTally, progress: (Double) -> Void) throws(ReplayError) {
        do throws(IOMMUError) {
            while position < end {
                if migrations.contains(position) { try migrate(&tally) }
                try take(stream.events[position], &tally)
                if position & 0xffff == 0 { progress(Double(position) / Double(stream.events.count)) }
                position += 1
            }
        } catch {
            throw .engine(error, doing: "replaying \(stream.file)")
        }
    }

    private func take(_ event: EventStream.Event, _ tally: inout StreamTally) throws(IOMMUError) {
        let index = Int(event.index)
        switch event.kind {
        case .registerWrite: try write(stream.registerWrites[index])
        case .registerRead: read(stream.registerReads[index], &tally)
        case .memoryWrite: store(stream.memoryWrites[index], &tally)
        case .descriptor:
            tally.invalidations += 1
            proof.log.invalidation(index)
        case .translation: try translate(stream.translations[index], &tally)
        case .interrupt: try remap(stream.interrupts[index], &tally)
        case .signal: expectedSignals.append(stream.signals[index])
        }
        compareSignals(&tally)
    }

    private func write(_ access: EventStream.RegisterAccess) throws(IOMMUError) {
        try front.write(Int(access.offset), size: Int(access.size), access.value)
        // SRTP and TE change what everything means; the explainer's unit has no registers.
        if access.offset == 0x18 {
            try explainer.unit.setRootTable(front.rootTable)
            try explainer.unit.setTranslation(enabled: front.isTranslating)
            proof.log.everything()
        }
    }

    private func read(_ access: EventStream.RegisterAccess, _ tally: inout StreamTally) {
        let value = front.read(Int(access.offset), size: Int(access.size))
        tally.registers.reads += 1
        guard value != access.value else { return }
        if let kind = RegisterExplanation(access, value, front.configuration.capabilities) {
            tally.registers.explained[kind.rawValue, default: 0] += 1
            return
        }
        tally.deviations.add {
            Deviation(
                file: stream.file, line: Int(access.line),
                recorded: "register \(hex(access.offset)) read \(hex(access.value))", answered: hex(value), walk: [])
        }
    }

    /// The guest's stores are made; the unit's own were, and are looked for.
    private func store(_ write: EventStream.MemoryWrite, _ tally: inout StreamTally) {
        let address = write.address & ~7
        guard write.isByUnit, write.size < 8 else {
            proof.log.store(ReplayPlan.Store(address: address, value: write.value), in: memory)
            return
        }
        let shift = (write.address & 7) * 8
        let mask: UInt64 = ((1 << (UInt64(write.size) * 8)) - 1) << shift
        let word = memory.load(address) ?? 0
        tally.registers.statusWrites += 1
        // So that the next one must be made again.
        memory.store(word ^ mask, at: address)
        guard word & mask != write.value << shift else { return }
        tally.deviations.add {
            Deviation(
                file: stream.file, line: Int(write.line),
                recorded: "stored \(hex(write.value)) at \(hex(write.address))",
                answered: hex((word & mask) >> shift), walk: [])
        }
    }

    /// Asks without a record first: a fault that the recorder did not have must not be in its registers.
    private func translate(_ translation: EventStream.Translation, _ tally: inout StreamTally) throws(IOMMUError) {
        let question = Question(translation)
        tally.translations += 1
        let result = try question.with(adding: .noFault).ask(port)
        if result.fault != nil, translation.answer.fault != 0 {
            _ = try question.ask(port)
            front.collectFaults()
        }
        if translation.answer.agrees(with: result, for: question) {
            tally.agreed += 1
            return
        }
        switch try explainer.judge(question, translation.answer, result, proof: proof) {
        case .agreed: tally.agreed += 1
        case .explained(let kind): tally.explained[kind, default: 0] += 1
        case .unexplained:
            tally.deviations.add {
                Deviation(
                    file: stream.file, line: Int(translation.line),
                    recorded: "\(question): recorded \(translation.answer)",
                    answered: WalkText.line(result), walk: WalkText.lines(question, explainer.unit))
            }
        }
    }

    /// The recording does not say who sent a message: the entry's own source does.
    private func remap(_ interrupt: EventStream.Interrupt, _ tally: inout StreamTally) throws(IOMMUError) {
        tally.registers.interrupts += 1
        let source = front.interruptSource(of: interrupt.asked, in: memory)
        let result = try port.signalInterrupt(
            address: interrupt.asked.address, data: interrupt.asked.data, source: source
        ) { _ in }
        let message = result.message.map { EventStream.Message(address: $0.address, data: $0.data) }
        guard message != interrupt.answered else { return }
        tally.deviations.add {
            Deviation(
                file: stream.file, line: Int(interrupt.line),
                recorded: "message \(interrupt.asked) became \(interrupt.answered)", answered: "\(result)", walk: [])
        }
    }

    /// The recording has an interrupt before or after the line of what caused it; their order among each other counts.
    private func compareSignals(_ tally: inout StreamTally) {
        while let expected = expectedSignals.first, let message = signals.takeFirst() {
            expectedSignals.removeFirst()
            tally.registers.signals += 1
            if message != expected.message { differs(expected, "\(message)", &tally) }
        }
    }

    private func differs(_ signal: EventStream.Signal, _ answered: String, _ tally: inout StreamTally) {
        tally.deviations.add {
            Deviation(
                file: stream.file, line: Int(signal.line), recorded: "the unit signalled \(signal.message)",
                answered: answered, walk: [])
        }
    }
}

/// The unit's own interrupts that were not compared yet.
private final class SignalLog: Sendable {
    private let messages = Mutex<[EventStream.Message]>([])

    func append(_ message: EventStream.Message) {
        messages.withLock { $0.append(message) }
    }

    func takeFirst() -> EventStream.Message? {
        messages.withLock { $0.isEmpty ? nil : $0.removeFirst() }
    }
}

private func hex(_ value: UInt64) -> String {
    "0x" + String(value, radix: 16)
}

extension VirtualVTd {
    /// RTADDR, as GCMD.SRTP latched it last or will.
    fileprivate var rootTable: UInt64 { read(0x20, size: 8) }

    /// GSTS.TES.
    fileprivate var isTranslating: Bool { read(0x1c, size: 4) >> 31 == 1 }

    /// The source id in the table's entry for a message; 0 where there is none [FORMATS-VTD F1, F2].
    fileprivate func interruptSource(of message: EventStream.Message, in memory: TableMemory) -> SourceID {
        let handle = message.address >> 5 & 0x7fff | (message.address >> 2 & 1) << 15
        let index = handle + (message.address >> 3 & 1 == 1 ? UInt64(message.data & 0xffff) : 0)
        let entry = (read(0xb8, size: 8) & ~0xfff) + index * 16
        return SourceID(UInt32((memory.load(entry + 8) ?? 0) & 0xffff))
    }
}
