// SPDX-License-Identifier: LGPL-2.1-or-later
//
// UnitEngine - what works do to the engine. One work at a time; no lock of the unit is held.

internal import IOMMUCore
internal import IOMMUFaults
internal import IOMMUInterrupts
internal import IOMMUInvalidation
internal import Synchronization

/// The engine's side of a virtual unit.
final class UnitEngine: Sendable {
    let unit: RemappingUnit
    /// Everything that no host's device claims.
    let faults: FaultQueue
    /// For what the unit itself reads and writes in guest memory: descriptors and page requests.
    private let port: Mutex<Port>

    init(_ unit: RemappingUnit) throws(IOMMUError) {
        self.unit = unit
        faults = try FaultQueue(of: .rest, in: unit, options: FaultQueueOptions(quota: 4096))
        port = Mutex(try unit.makePort())
    }

    /// A global command. Time-outs of sections are no guest's affair: the command is in force, and what an older section still uses
    /// is the host's to wait for (``RemappingUnit/drain()``).
    func perform(_ work: UnitState.Work, _ state: UnitState) {
        switch work {
        case .rootTable(let address):
            try? unit.setRootTable(address)
        case .translation(let isOn):
            try? unit.setTranslation(enabled: isOn)
        case .interruptTable(let address):
            try? unit.setInterruptTable(
                address, enabled: state.bank[.gsts] & GlobalCommand.interruptRemapping != 0,
                allowsCompatibilityFormat: state.bank[.gsts] & GlobalCommand.compatibilityFormat != 0)
        case .interruptSwitches(let remapping, let compatibility):
            try? unit.setInterruptTable(
                state.latchedInterruptTable, enabled: remapping, allowsCompatibilityFormat: compatibility)
        case .queueEnable, .queue, .contextCommand, .iotlbCommand, .pages:
            break
        }
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
            return isApplied(.iotlb(domain: domain)) ? 2 : 0
        default: return 0
        }
    }

    private func isApplied(_ descriptor: InvalidationDescriptor) -> Bool {
        do throws(IOMMUError) {
            // A queue of 256-bit descriptors is what scalable mode takes; registers have no width.
            let isWide = unit.capabilities.scalableMode || unit.capabilities.abortDMA
            try unit.invalidate(descriptor: isWide ? descriptor.widened : descriptor)
            return true
        } catch {
            return error == .timedOut
        }
    }

    /// Descriptors from head to tail, part by part, until there are none or the queue stops.
    func runQueue(of front: VirtualVTd) {
        while let part = nextPart(of: front) {
            var bytes = [UInt8](repeating: 0, count: part.bytes)
            guard fetch(part, into: &bytes) else {
                front.change { state in
                    var actions: [UnitState.Action] = []
                    state.stop(.refused(code: 2), &actions)
                    return actions
                }
                return
            }
            apply(bytes, part, front)
        }
    }

    private func nextPart(of front: VirtualVTd) -> QueuePart? {
        var part: QueuePart?
        front.change { state in
            var actions: [UnitState.Action] = []
            part = state.nextPart(limit: 256, &actions)
            return actions
        }
        return part
    }

    /// Stores words where the guest reads them. False where it cannot.
    func store(_ words: [UInt64], at address: UInt64) -> Bool {
        let bytes = words.flatMap { word in (0..<8).map { UInt8(truncatingIfNeeded: word >> ($0 * 8)) } }
        return port.withLock { port in
            do throws(IOMMUError) {
                try unsafe port.writeOutput(bytes.span.bytes, to: OutputAddress(address))
                return true
            } catch {
                return false
            }
        }
    }

    private func fetch(_ part: QueuePart, into bytes: inout [UInt8]) -> Bool {
        var span = bytes.mutableSpan
        var raw = unsafe span.mutableBytes
        return port.withLock { port in
            do throws(IOMMUError) {
                try port.readOutput(OutputAddress(part.address), into: &raw)
                return true
            } catch {
                return false
            }
        }
    }

    private func apply(_ bytes: [UInt8], _ part: QueuePart, _ front: VirtualVTd) {
        let host = InvalidationHost(
            interruptCache: { _, entries in front.host.interruptEntriesChanged?(entries) },
            pageResponse: { _, descriptor in front.answerPages(descriptor) },
            waited: { _, wantsInterrupt in
                guard wantsInterrupt else { return }
                front.change { state in
                    var actions: [UnitState.Action] = []
                    state.waitCompleted(&actions)
                    return actions
                }
            })
        do throws(IOMMUError) {
            // The unit's own port stores status: the pool's may all be in use.
            let result = try port.withLock { (port) throws(IOMMUError) in
                try unsafe unit.apply(
                    rawEntries: bytes.span.bytes, format: part.isWide ? .vtdQueue256 : .vtdQueue128, port: port,
                    host: host)
            }
            front.change { state in state.took(result) }
        } catch {
            // Only who is inside a section of its own is refused (debug builds notice): as if it could not be fetched.
            front.change { state in
                var actions: [UnitState.Action] = []
                state.stop(.refused(code: 2), &actions)
                return actions
            }
        }
    }
}

extension UnitState {
    /// What became of descriptors that were fetched [FORMATS-VTD C4].
    fileprivate mutating func took(_ result: InvalidationResult) -> [Action] {
        var actions: [Action] = []
        headMoved(by: result.handled)
        for failure in result.failures {
            let source = failure.source.map { UInt16(truncatingIfNeeded: $0.rawValue) }
            switch failure.error {
            case .completion: completionFailed(source: source, &actions)
            case .timeout: stop(.timedOut(source: source), &actions)
            case .descriptor: break
            }
        }
        if let code = result.hardwareError?.code { stop(.refused(code: code), &actions) }
        return actions
    }
}
