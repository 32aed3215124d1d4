// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The state of a unit as data, for live migration: registers, what commands have latched, the positions in queues. Not the caches:
// they fill again.

public import IOMMUCore
public import IOMMUFaults
internal import IOMMUInterrupts
internal import Synchronization

extension VirtualVTd {
    /// The state of a unit. Codable, so that it can be sent elsewhere.
    public struct Snapshot: Hashable, Sendable, Codable {
        /// The format of this type.
        public private(set) var version = 1
        /// CAP and ECAP: a unit that restores must offer the same, and be the same in what follows up to VER.
        public let cap: UInt64
        /// The extended capability register.
        public let ecap: UInt64
        /// The revision of the architecture: 3 or 4.
        public let revision: UInt32
        /// Bits of an output address, 32 to 52.
        public let hostAddressWidth: Int
        /// VER.
        public let unitVersion: UInt8
        /// All registers up to the last one, as words of 32 bits.
        public let registers: [UInt32]
        /// The level bits of the last write to GCMD.
        public let commands: UInt64
        /// What SRTP latched.
        public let latchedRootTable: UInt64
        /// What SIRTP latched.
        public let latchedInterruptTable: UInt64
        /// What was written to IVA.
        public let invalidationAddress: UInt64
        /// The fault-recording register that the next fault goes to.
        public let nextRecord: Int
        /// Page requests that the guest has not answered, or whose device has not come back for the answer, oldest first: those that
        /// were moved here, then those of this unit.
        public let pageGroups: [PageGroupState]
    }

    /// Takes the state. The guest must be paused, and no device may translate: what either does meanwhile may be missing. Commands
    /// that it gave before are done first.
    ///
    /// A group of page requests whose last one has not come yet is its device's: elsewhere it asks for all of it again.
    public func snapshot() -> Snapshot {
        finishWorks()
        // A full queue has a record of what it lost besides: that is the second part.
        if !broken(.snapshotForgetsFaults), collectPart() { collectPart() }
        let pageGroups = pages?.states ?? []
        return state.withLock { state in
            Snapshot(
                cap: state.capabilities.cap, ecap: state.capabilities.ecap,
                revision: state.capabilities.revision.rawValue, hostAddressWidth: state.capabilities.hostAddressWidth,
                unitVersion: configuration.version, registers: state.bank.contents, commands: state.commands,
                latchedRootTable: state.latchedRootTable,
                latchedInterruptTable: state.latchedInterruptTable, invalidationAddress: state.invalidationAddress,
                nextRecord: state.nextRecord, pageGroups: pageGroups)
        }
    }

    /// Puts the unit into a state that was taken elsewhere, whatever it was in. The guest's memory must be as it was then. No device may
    /// translate until it returns. Devices that have page requests outstanding then come back for the answers with
    /// ``resumePageRequests(of:)``.
    ///
    /// - Throws: ``IOMMUError/unsupported`` for other capabilities, and ``IOMMUError/invalidArgument`` for a state that no unit can be in:
    ///   nothing changed. ``IOMMUError/timedOut``: restored, but a section that began before still runs.
    public func restore(_ snapshot: Snapshot) throws(IOMMUError) {
        let capabilities = try snapshot.capabilities()
        guard capabilities == configuration.capabilities, snapshot.unitVersion == configuration.version else {
            throw .unsupported.with(detail: "the snapshot is of a unit with other capabilities")
        }
        var restored = try UnitState(snapshot, state.withLock { $0.bank.map })
        try restored.checkReservedBits()
        if broken(.restoreForgetsHead) { restored.bank[.iqh] = 0 }
        for event in Event.allCases where broken(.restoreForgetsEvents) { restored.withdraw(event) }
        if broken(.restoreForgetsLatch) { restored.latchedRootTable = restored.bank[.rtaddr] }
        endWorks()
        pages?.restart(broken(.restoreForgetsPages) ? [] : snapshot.pageGroups)
        var lateness: IOMMUError?
        do throws(IOMMUError) {
            try unit.reset()
        } catch {
            lateness = error  // of all that there is only time-outs leave it reset
        }
        engine.perform(.rootTable(restored.latchedRootTable), restored)
        if capabilities.interruptRemapping { engine.perform(.interruptTable(restored.latchedInterruptTable), restored) }
        engine.perform(.translation(restored.bank[.gsts] & GlobalCommand.translation != 0), restored)
        change { state, actions in
            engine.forgetFaults()
            state = restored
            // Descriptors that were there and not fetched.
            if !broken(.restoreForgetsQueue) { state.tailMoved(&actions) }
        }
        if let lateness { throw lateness }
    }

    /// A device has come along with the guest: what it asked for elsewhere, and has no answer to, is its again. Its handler hears the
    /// guest's responses, also those that have come since ``restore(_:)``. The guest, which has the requests already, sees nothing of it.
    ///
    /// Once for each interface, after ``restore(_:)`` and before the device asks for anything else.
    ///
    /// - Throws: As `PageRequestInterface.request(_:port:)`; what was not asked for yet can be tried again.
    public func resumePageRequests(of interface: PageRequestInterface) throws(IOMMUError) {
        let configuration = interface.configuration
        try pages?.resume(configuration.source) { pasid in
            configuration.pasids.map { pasids in pasid.map(pasids.contains) ?? false } ?? true
        } send: { request throws(IOMMUError) in
            try interface.request(request)
        }
    }

    /// The same for an interface that a host in C made.
    ///
    /// - Parameters:
    ///   - source: Who the device's requests come from.
    ///   - owns: Whether a PASID is one that it asks with.
    ///   - interface: The interface, of this unit.
    @unsafe
    package func resumePageRequests(
        of source: SourceID, owns: (PASID?) -> Bool, through interface: OpaquePointer
    ) throws(IOMMUError) {
        try pages?.resume(source, owns: owns) { request throws(IOMMUError) in
            try unsafe request.send(through: interface)
        }
    }
}

extension VirtualVTd.Snapshot {
    /// What the unit offers that it was taken of.
    ///
    /// - Throws: ``IOMMUError/unsupported`` for another version of the format, ``IOMMUError/inconsistent`` for what no unit offers.
    func capabilities() throws(IOMMUError) -> Capabilities {
        guard version == 1 else {
            throw .unsupported.with(detail: "a snapshot of version \(version); this library knows version 1")
        }
        guard let revision = Capabilities.Revision(rawValue: revision) else {
            throw .inconsistent.with(detail: "revision \(revision) of the architecture")
        }
        return try Capabilities(cap: cap, ecap: ecap, revision: revision, hostAddressWidth: hostAddressWidth)
    }
}

extension UnitState {
    /// Reads a snapshot, whose capabilities imply the registers of `map`.
    ///
    /// - Throws: ``IOMMUError/invalidArgument`` for a state that no such unit can be in.
    init(_ snapshot: VirtualVTd.Snapshot, _ map: RegisterMap) throws(IOMMUError) {
        self.init(try snapshot.capabilities(), map)
        guard let bank = RegisterBank(map, contents: snapshot.registers) else {
            let given = snapshot.registers.count
            throw .invalidArgument.with(
                detail: "the snapshot has \(given) words of registers; its capabilities imply \((map.end + 3) / 4)")
        }
        let records = capabilities.faultRecordingRegisters
        guard (0..<records).contains(snapshot.nextRecord) else {
            throw .invalidArgument.with(
                detail: "the next fault record is \(snapshot.nextRecord); the unit has 0 to \(records - 1)")
        }
        for group in snapshot.pageGroups { try group.check() }
        guard snapshot.pageGroups.count <= (capabilities.pageRequests ? PageBook.statesMost : 0) else {
            throw .invalidArgument.with(detail: "\(snapshot.pageGroups.count) groups of page requests")
        }
        self.bank = bank
        commands = snapshot.commands
        latchedRootTable = snapshot.latchedRootTable
        latchedInterruptTable = snapshot.latchedInterruptTable
        invalidationAddress = snapshot.invalidationAddress
        nextRecord = snapshot.nextRecord
    }

    /// Refuses reserved bits in what only software writes: addresses and sizes are computed from it.
    fileprivate func checkReservedBits() throws(IOMMUError) {
        for layout in bank.map.layouts where layout.register.isSoftwares {
            guard bank[layout.register] & ~layout.writable == 0 else {
                throw .invalidArgument.with(detail: "reserved bits of \(layout.register.mnemonic) are set")
            }
        }
    }
}

extension Register {
    /// The unit itself never changes its bits, except PQT, of which it writes the same ones.
    fileprivate var isSoftwares: Bool {
        switch self {
        case .rtaddr, .iqt, .iqa, .irta, .pqh, .pqt, .pqa: true
        case .fedata, .feaddr, .feuaddr, .iedata, .ieaddr, .ieuaddr, .pedata, .peaddr, .peuaddr: true
        default: false
        }
    }
}
