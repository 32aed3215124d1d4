// SPDX-License-Identifier: LGPL-2.1-or-later
//
// VirtualVTd - an Intel IOMMU that a guest programs: its registers in front of a RemappingUnit. UnitState decides what an access
// means; here is the lock around it, and the order in which what it asks for is done.

public import IOMMUCore
internal import IOMMUFaults
internal import IOMMUInterrupts
internal import Synchronization

/// A virtual Intel IOMMU. The host forwards a guest's accesses to the unit's registers; devices translate through ``unit``.
///
/// Any thread may call, at any time. Register accesses never wait for translations. With ``Processing/worker`` they wait for nothing
/// but other register accesses; with ``Processing/inline`` a write that asks for something waits until it is done, access sections
/// included.
///
/// Sources that have a `Device` in ``unit`` are the host's; all others are looked up in the guest's tables.
public final class VirtualVTd: Sendable {
    /// The engine: make ports here, and translate.
    public let unit: RemappingUnit

    /// What it was made with.
    public let configuration: Configuration

    let host: Host
    let state: Mutex<UnitState>
    let engine: UnitEngine
    /// Nil without ECAP.PRS.
    let pages: PageIntake?
    private let works: WorkQueue

    /// Makes a unit as it is after power-on: translation off, every event masked.
    ///
    /// - Parameters:
    ///   - configuration: What it offers.
    ///   - memory: Where its tables and queues lie; kept alive.
    ///   - host: Hears of its interrupts.
    /// - Throws: ``IOMMUError/inconsistent`` for capabilities that no such unit has, with the rule that is broken;
    ///   ``IOMMUError/noMemory``; ``IOMMUError/noPort``; otherwise as `RemappingUnit.init`.
    public init(
        _ configuration: Configuration, memory: GuestMemory, host: Host = Host()
    ) throws(IOMMUError) {
        try configuration.check()
        let map = try RegisterMap(configuration.capabilities, version: configuration.version)
        unit = try RemappingUnit(
            capabilities: configuration.capabilities, memory: memory, configuration: configuration.sizes)
        self.configuration = configuration
        self.host = host
        state = Mutex(UnitState(configuration.capabilities, map))
        engine = try UnitEngine(unit)
        pages = configuration.capabilities.pageRequests ? try PageIntake(unit) : nil
        works = WorkQueue(configuration.processing)
        pages?.begin(self)
    }

    /// A guest's read of 1 to 8 bytes. What no register covers reads as zero.
    ///
    /// - Parameters:
    ///   - offset: Bytes from the unit's base, not negative.
    ///   - size: Bytes: 4 or 8 at their natural alignment, or what else a guest may try.
    public func read(_ offset: Int, size: Int) -> UInt64 {
        collectFaults()
        return state.withLock { $0.bank.read(offset, size: size) }
    }

    /// A guest's write. Only aligned words of 4 or 8 bytes write anything.
    ///
    /// - Parameters:
    ///   - offset: Bytes from the unit's base, not negative.
    ///   - size: Bytes.
    ///   - value: What is written, in its low bytes.
    ///   - port: The caller's own port, if it has one. A device that writes to the unit's registers while it is inside a section
    ///     would wait for itself.
    /// - Throws: ``IOMMUError/inSection`` with ``Processing/inline``, from inside a section of `port`: nothing was written.
    public func write(_ offset: Int, size: Int, _ value: UInt64, port: Port? = nil) throws(IOMMUError) {
        if configuration.processing == .inline, let port, port.isInside {
            throw .inSection.with(detail: "the write would wait for the section that it comes from")
        }
        collectFaults()
        change { state in state.write(offset, size: size, value) }
    }

    /// Everything as after power-on, when this returns. Works that a guest asked for before are done first.
    ///
    /// - Throws: ``IOMMUError/timedOut``: reset, but an older section still runs.
    public func reset() throws(IOMMUError) {
        works.finish()
        state.withLock { $0.reset() }
        try unit.reset()
    }

    /// Waits until everything that a guest's writes have asked for so far is done.
    public func finishWorks() {
        works.finish()
    }

    /// Takes what the engine has recorded since the last time into the fault-recording registers. Accesses do it by themselves; a host
    /// calls it to have the fault event raised without one.
    public func collectFaults() {
        let records = engine.faults.read(max: 64)
        guard !records.isEmpty else { return }
        let width = configuration.capabilities.maximumGuestAddressWidth
        change { state in
            var actions: [UnitState.Action] = []
            for record in records {
                // Choice: faults that the engine's queue has lost are an overflow, as if they had found the ring full.
                guard let fault = record.fault else {
                    state.raiseFault(FaultStatus.primaryOverflow, &actions)
                    continue
                }
                if let register = try? fault.recordingRegister(addressWidth: width) {
                    state.record(register, &actions)
                }
            }
            return actions
        }
    }

    /// Changes the state under the lock, and does what that asks for outside it.
    func change(_ body: (inout sending UnitState) -> [UnitState.Action]) {
        // Works are put in line under the lock, so that their order is that of the changes.
        let actions = state.withLock { state in
            let actions = body(&state)
            for case .work(let work) in actions { works.append(work) }
            return actions
        }
        for case .signal(let address, let data) in actions { host.signal(address, data) }
        if actions.contains(where: { if case .work = $0 { true } else { false } }) {
            works.start { [weak self] work in self?.perform(work) }
        }
    }

    /// One work, by the only thread that does works now.
    private func perform(_ work: UnitState.Work) {
        switch work {
        case .queue:
            engine.runQueue(of: self)
        case .pages:
            storePages()
        case .contextCommand(let command):
            let actual = engine.invalidateContexts(command)
            state.withLock { $0.contextCommandDone(actual: actual) }
        case .iotlbCommand(let command, let address):
            let actual = engine.invalidateIOTLB(command, address: address)
            state.withLock { $0.iotlbCommandDone(actual: actual) }
        default:
            engine.perform(work, state.withLock { $0 })
            change { state in
                var actions: [UnitState.Action] = []
                state.completed(work)
                if work == .queueEnable(true) { state.tailMoved(&actions) }
                return actions
            }
        }
    }
}
