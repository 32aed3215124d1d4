// SPDX-License-Identifier: LGPL-2.1-or-later
//
// UnitEngine - what works do to the engine. One work at a time; no lock of the unit is held.

internal import Glibc
internal import IOMMUCore
internal import IOMMUFaults
internal import IOMMUInterrupts
internal import IOMMUInvalidation
internal import Synchronization

// @unchecked: only works use the port, one at a time (WorkQueue).
/// The engine's side of a virtual unit.
final class UnitEngine: @unchecked Sendable {
    /// Faults that wait to be recorded; more are lost, and an overflow.
    static let faultQuota = 4096

    let unit: RemappingUnit
    /// Everything that no host's device claims.
    let faults: FaultQueue
    /// For what the unit itself reads and writes in guest memory: descriptors, their status, page requests.
    private let port: Port
    /// What descriptors ask of the unit and of its host.
    private let host: InvalidationHost
    private let isAbandoned = Atomic(false)

    init(_ unit: RemappingUnit, _ processing: VirtualVTd.Processing, _ link: FrontLink) throws(IOMMUError) {
        self.unit = unit
        let options = FaultQueueOptions(quota: Self.faultQuota)
        let collector = processing == .worker ? FaultCollector(link) : nil
        faults = try FaultQueue(of: .rest, in: unit, options: options, ready: collector.map { $0.notice })
        port = try unit.makePort()
        host = InvalidationHost(
            interruptCache: { _, entries in
                if broken(.entriesUntold) { return }
                link.front?.host.interruptEntriesChanged?(entries)
            },
            pageResponse: { _, descriptor in link.front?.answerPages(descriptor) },
            waited: { _, wantsInterrupt in
                guard wantsInterrupt else { return }
                link.front?.change { state, actions in state.waitCompleted(&actions) }
            })
    }

    /// Drops what was recorded before and not read: it is of a guest, or of a life of one, that is over.
    func forgetFaults() {
        // What was lost has records of its own: before each fault, and after the last one. Devices that fault now keep nobody here.
        for _ in 0..<4 where faults.read(max: Self.faultQuota).count < Self.faultQuota { return }
    }

    /// A global command.
    ///
    /// - Returns: It is in force, and no section that began before still runs: only then may its status say so. False: the engine has
    ///   refused it, which it does where a debug build finds the caller inside a section of his own.
    @discardableResult
    func perform(_ work: UnitState.Work, _ state: UnitState) -> Bool {
        switch work {
        case .rootTable(let address):
            return settle { () throws(IOMMUError) in try unit.setRootTable(address) }
        case .translation(let isOn):
            return settle { () throws(IOMMUError) in try unit.setTranslation(enabled: isOn) }
        case .interruptTable(let address):
            let status = state.bank[.gsts]
            return setInterruptTable(
                address, remapping: status & GlobalCommand.interruptRemapping != 0,
                compatibility: status & GlobalCommand.compatibilityFormat != 0)
        case .interruptSwitches(let remapping, let compatibility):
            return setInterruptTable(state.latchedInterruptTable, remapping: remapping, compatibility: compatibility)
        case .queueEnable, .queue, .contextCommand, .iotlbCommand, .pages:
            return true
        }
    }

    private func setInterruptTable(_ address: UInt64, remapping: Bool, compatibility: Bool) -> Bool {
        settle { () throws(IOMMUError) in
            try unit.setInterruptTable(address, enabled: remapping, allowsCompatibilityFormat: compatibility)
        }
    }

    /// Changes something in the engine, and waits for sections however long they take: a guest's command has no time-out.
    ///
    /// - Returns: Whether the engine took it.
    private func settle(_ change: () throws(IOMMUError) -> Void) -> Bool {
        do throws(IOMMUError) {
            try change()
        } catch {
            guard error == .timedOut, !broken(.sectionsNotAwaited) else { return false }
            while !isAbandoned.load(ordering: .relaxed), isLate() {}
        }
        return true
    }

    /// Waits for sections once more.
    private func isLate() -> Bool {
        do throws(IOMMUError) {
            try unit.drain()
            return false
        } catch {
            usleep(100)  // the unit's time-out may be zero
            return error == .timedOut
        }
    }

    /// Runs `body`, and works give up waiting for sections meanwhile: what they were for is thrown away.
    func abandoningWaits(_ body: () -> Void) {
        isAbandoned.store(true, ordering: .relaxed)
        body()
        isAbandoned.store(false, ordering: .relaxed)
    }

    /// - Returns: CAIG: the granularity that it had, 0 when it was refused [FORMATS-VTD B5].
    func invalidateContexts(_ command: UInt64) -> UInt64 {
        let granularity = command >> 61 & 3
        let domain = UInt16(truncatingIfNeeded: command)
        let descriptor: InvalidationDescriptor
        switch granularity {
        case 1: descriptor = .contextCache()
        case 2: descriptor = .contextCache(domain: domain)
        case 3:
            let source = SourceID(UInt32(truncatingIfNeeded: command >> 16 & 0xffff))
            descriptor = .contextCache(domain: domain, source: source, functionMask: command >> 32 & 3)
        default: return 0
        }
        return isApplied(descriptor) ? granularity : 0
    }

    /// - Returns: IAIG. Where pages cannot be selected, or not so many, the whole domain is invalidated.
    func invalidateIOTLB(_ command: UInt64, address: UInt64) -> UInt64 {
        let domain = UInt16(truncatingIfNeeded: command >> 32)
        switch command >> 60 & 3 {
        case 1: return isApplied(.iotlb()) ? 1 : 0
        case 2: return isApplied(.iotlb(domain: domain)) ? 2 : 0
        case 3:
            let pages = InvalidationDescriptor.iotlb(
                domain: domain, page: IOVA(address & ~0xfff), addressMask: Int(address & 0x3f),
                leafOnly: address >> 6 & 1 == 1)
            if isApplied(pages) { return 3 }
            return isApplied(.iotlb(domain: domain)) ? (broken(.granularityAsAsked) ? 3 : 2) : 0
        default: return 0
        }
    }

    private func isApplied(_ descriptor: InvalidationDescriptor) -> Bool {
        // A queue of 256-bit descriptors is what scalable mode takes; registers have no width.
        let isWide = unit.capabilities.scalableMode || unit.capabilities.abortDMA
        return settle { () throws(IOMMUError) in
            try unit.invalidate(descriptor: isWide ? descriptor.widened : descriptor)
        }
    }

    /// Descriptors from head to tail, part by part, until the queue stops. Only those that were there at first: a guest that moves the
    /// tail all the time keeps nobody here, for each of its writes puts a work of its own in line.
    func runQueue(of front: VirtualVTd) {
        var left = Int.max
        while left > 0, let part = front.change({ state, actions in state.nextPart(limit: left, &actions) }) {
            left = min(left, part.waiting)
            if broken(.headEarly) { front.change { state, _ in state.headMoved(by: part.count) } }
            let result = unsafe withUnsafeTemporaryAllocation(byteCount: part.bytes, alignment: 16) { bytes in
                unsafe fetch(part, into: bytes) ? apply(UnsafeRawBufferPointer(bytes), part, front) : nil
            }
            front.change { state, actions in
                // What cannot be fetched stops the queue. A well-formed array is never refused as a whole.
                guard let result else { return state.stop(.refused(code: 2), &actions) }
                state.took(result, &actions)
            }
            left -= max(result?.handled ?? 1, 1)
        }
    }

    private func fetch(_ part: QueuePart, into bytes: UnsafeMutableRawBufferPointer) -> Bool {
        var span = unsafe MutableRawSpan(_unsafeBytes: bytes)
        do throws(IOMMUError) {
            try port.readOutput(OutputAddress(part.address), into: &span)
            return true
        } catch {
            return false
        }
    }

    /// Applies descriptors, up to a wait that drains page requests (PD): what devices have asked for until then must be in the guest's
    /// queue before that, so it comes first in a part of its own [FORMATS-VTD C3].
    private func apply(
        _ bytes: UnsafeRawBufferPointer, _ part: QueuePart, _ front: VirtualVTd
    ) -> InvalidationResult? {
        let length = part.bytes / part.count
        let drain = front.pages == nil || broken(.drainForgetsPages) ? nil : unsafe firstDrain(bytes, length)
        if drain == 0 { front.storePages() }
        let count = drain.map { $0 == 0 ? 1 : $0 } ?? part.count
        return unsafe try? unit.apply(
            rawEntries: UnsafeRawBufferPointer(rebasing: bytes[..<(count * length)]),
            format: part.isWide ? .vtdQueue256 : .vtdQueue128, port: port, host: host)
    }

    /// The index of the first wait with PD.
    private func firstDrain(_ bytes: UnsafeRawBufferPointer, _ length: Int) -> Int? {
        (0..<bytes.count / length).first { unsafe bytes[$0 * length] & 0x8f == 0x85 }
    }

    /// Stores words where the guest reads them. False where it cannot.
    func store(_ words: [UInt64], at address: UInt64) -> Bool {
        let bytes = words.flatMap { word in (0..<8).map { UInt8(truncatingIfNeeded: word >> ($0 * 8)) } }
        do throws(IOMMUError) {
            try unsafe port.writeOutput(bytes.span.bytes, to: OutputAddress(address))
            return true
        } catch {
            return false
        }
    }
}

extension UnitState {
    /// What became of descriptors that were fetched [FORMATS-VTD C4].
    fileprivate mutating func took(_ result: InvalidationResult, _ actions: inout [Action]) {
        if !broken(.headEarly) { headMoved(by: result.handled) }
        for failure in result.failures {
            let source = failure.source.map { UInt16(truncatingIfNeeded: $0.rawValue) }
            switch failure.error {
            case .completion: completionFailed(source: source, &actions)
            // Choice: a section that is late is a time-out of nobody in particular; the driver waits again, and MMIO goes on.
            case .timeout where broken(.timeOutUntold): break
            case .timeout: stop(.timedOut(source: source), &actions)
            case .descriptor: break
            }
        }
        if let code = result.hardwareError?.code { stop(.refused(code: code), &actions) }
    }
}
