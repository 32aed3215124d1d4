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
        let link = FrontLink()
        engine = try UnitEngine(unit, configuration.processing, link)
        pages =
            configuration.capabilities.pageRequests
            ? try PageIntake(unit, timeout: configuration.pageTimeout, link) : nil
        works = WorkQueue(configuration.processing)
        link.set(self)
        if let invalidated = host.invalidated { _ = try unit.addObserver(invalidated) }
    }

    /// A guest's read of 1 to 8 bytes. What no register covers reads as zero.
    ///
    /// - Parameters:
    ///   - offset: Bytes from the unit's base, not negative.
    ///   - size: Bytes: 4 or 8 at their natural alignment, or what else a guest may try.
    public func read(_ offset: Int, size: Int) -> UInt64 {
        change { state, actions in
            record(&state, &actions)
            return state.bank.read(offset, size: size)
        }
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
        try write(offset, size: size, value, isInside: port?.isInside ?? false)
    }

    /// The same, for callers who know whether they are inside a section.
    package func write(_ offset: Int, size: Int, _ value: UInt64, isInside: Bool) throws(IOMMUError) {
        if configuration.processing == .inline, isInside, !broken(.sectionWriteTaken) {
            throw .inSection.with(detail: "the write would wait for the section that it comes from")
        }
        change { state, actions in
            record(&state, &actions)
            state.write(offset, size: size, value, &actions)
        }
    }

    /// Everything as after power-on, when this returns. Works that a guest asked for before come to an end first. Page requests that
    /// it has not answered are answered with `invalid`.
    ///
    /// - Throws: ``IOMMUError/timedOut``: reset, but an older section still runs.
    public func reset() throws(IOMMUError) {
        endWorks()
        pages?.restart()
        var lateness: IOMMUError?
        do throws(IOMMUError) {
            try unit.reset()
        } catch {
            lateness = error
        }
        state.withLock { state in
            if !broken(.resetKeepsFaults) { engine.forgetFaults() }
            state.reset()
        }
        if let lateness { throw lateness }
    }

    /// Comes to the end of works whose outcome is not wanted.
    func endWorks() {
        engine.abandoningWaits { works.finish(self) }
    }

    /// Waits until everything that a guest's writes have asked for so far is done.
    public func finishWorks() {
        works.finish(self)
    }

    /// Works that wait: at most one of each kind. For tests.
    package var worksInLine: Int { works.count }

    /// Takes what the engine has recorded since the last time into the fault-recording registers, and raises the fault event.
    ///
    /// Accesses do it by themselves, and with ``Processing/worker`` a thread does soon after a fault. With ``Processing/inline`` a host
    /// calls it after DMA that may have faulted, for a guest that waits for the event.
    public func collectFaults() {
        collectPart()
    }

    /// The same: as many as the engine keeps, and no more, so that devices that fault without end keep nobody here.
    ///
    /// - Returns: There may be more, of which the engine gives no notice.
    @discardableResult
    func collectPart() -> Bool {
        for _ in 0..<(UnitEngine.faultQuota / Self.faultsAtOnce) {
            guard change({ state, actions in record(&state, &actions) }) else { return false }
        }
        return true
    }

    /// Implementation: faults that an access takes at most.
    private static let faultsAtOnce = 64

    /// Under the lock, so that records keep their order.
    ///
    /// - Returns: There may be more.
    @discardableResult
    private func record(_ state: inout UnitState, _ actions: inout [UnitState.Action]) -> Bool {
        let width = configuration.capabilities.maximumGuestAddressWidth
        let records = engine.faults.read(max: Self.faultsAtOnce)
        for record in records {
            // Choice: faults that the engine's queue has lost are an overflow, as if they had found the ring full.
            guard let fault = record.fault else {
                if broken(.engineLossUntold) { continue }
                state.raiseFault(FaultStatus.primaryOverflow, &actions)
                continue
            }
            // DMA of a host's device has nothing to do with the guest's tables; its interrupts have.
            if fault.device != nil, fault.request != .interrupt { continue }
            if let register = try? fault.recordingRegister(addressWidth: width) {
                state.record(register, &actions)
            }
        }
        return records.count == Self.faultsAtOnce
    }

    /// Changes the state under the lock, and does what that asks for outside it.
    @discardableResult
    func change<Result>(_ body: (inout sending UnitState, inout [UnitState.Action]) -> Result) -> Result {
        var actions: [UnitState.Action] = []
        var isAsked = false
        let result = state.withLock { state in
            let result = body(&state, &actions)
            // Works are put in line under the lock, so that their order is that of the changes.
            for case .work(let work) in actions {
                works.append(work)
                isAsked = true
            }
            return result
        }
        for case .signal(let address, let data) in actions { host.signal(address, data) }
        if isAsked { works.start(self) }
        return result
    }

    /// One work, by the only thread that does works now.
    func perform(_ work: UnitState.Work) {
        switch work {
        case .queue:
            engine.runQueue(of: self)
        case .pages:
            storePages()
        case .contextCommand(let command):
            if broken(.contextDoneEarly) { state.withLock { $0.contextCommandDone(actual: 1) } }
            let actual = engine.invalidateContexts(command)
            state.withLock { $0.contextCommandDone(actual: actual) }
        case .iotlbCommand(let command, let address):
            if broken(.iotlbDoneEarly) { state.withLock { $0.iotlbCommandDone(actual: 1) } }
            let actual = engine.invalidateIOTLB(command, address: address)
            state.withLock { $0.iotlbCommandDone(actual: actual) }
        default:
            if broken(.statusEarly) { state.withLock { $0.completed(work) } }
            // What was refused is not done, as far as the guest can see, until it asks again.
            guard engine.perform(work, state.withLock { $0 }) else { return state.withLock { $0.refused(work) } }
            change { state, actions in
                state.completed(work)
                if work == .queueEnable(true) { state.tailMoved(&actions) }
            }
        }
    }
}
