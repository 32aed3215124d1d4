// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The state of a unit as data, for live migration: registers, what commands have latched, the positions in queues. Not the caches:
// they fill again.

public import IOMMUCore
internal import IOMMUInterrupts
internal import Synchronization

extension VirtualVTd {
    /// The state of a unit. Codable, so that it can be sent elsewhere.
    public struct Snapshot: Hashable, Sendable, Codable {
        /// The format of this type.
        public private(set) var version = 1
        /// CAP and ECAP: a unit that restores must offer the same.
        public let cap: UInt64
        /// The extended capability register.
        public let ecap: UInt64
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
    }

    /// Takes the state. The guest must be paused, and no device may translate: what either does meanwhile may be missing. Commands
    /// that it gave before are done first.
    ///
    /// Page requests that the guest has read and not answered are not in it: their devices ask again, as after a response that was lost.
    public func snapshot() -> Snapshot {
        finishWorks()
        collectFaults()
        return state.withLock { state in
            Snapshot(
                cap: state.capabilities.cap, ecap: state.capabilities.ecap, unitVersion: configuration.version,
                registers: state.bank.contents, commands: state.commands, latchedRootTable: state.latchedRootTable,
                latchedInterruptTable: state.latchedInterruptTable, invalidationAddress: state.invalidationAddress,
                nextRecord: state.nextRecord)
        }
    }

    /// Puts the unit into a state that was taken elsewhere, whatever it was in. The guest's memory must be as it was then. No device may
    /// translate until it returns.
    ///
    /// - Throws: ``IOMMUError/unsupported`` for other capabilities, and ``IOMMUError/invalidArgument`` for a state that no unit can be in:
    ///   nothing changed. ``IOMMUError/timedOut``: restored, but a section that began before still runs.
    public func restore(_ snapshot: Snapshot) throws(IOMMUError) {
        let capabilities = configuration.capabilities
        guard snapshot.version == 1 else {
            throw .unsupported.with(detail: "a snapshot of version \(snapshot.version)")
        }
        guard snapshot.cap == capabilities.cap, snapshot.ecap == capabilities.ecap,
            snapshot.unitVersion == configuration.version
        else {
            throw .unsupported.with(detail: "the snapshot is of a unit with other capabilities")
        }
        let map = state.withLock { $0.bank.map }
        guard let bank = RegisterBank(map, contents: snapshot.registers) else {
            throw .invalidArgument.with(detail: "the snapshot has \(snapshot.registers.count) words of registers")
        }
        guard (0..<capabilities.faultRecordingRegisters).contains(snapshot.nextRecord) else {
            throw .invalidArgument.with(detail: "the next fault record is \(snapshot.nextRecord)")
        }
        finishWorks()
        var restored = UnitState(capabilities, map)
        restored.bank = bank
        restored.commands = snapshot.commands
        restored.latchedRootTable = snapshot.latchedRootTable
        restored.latchedInterruptTable = snapshot.latchedInterruptTable
        restored.invalidationAddress = snapshot.invalidationAddress
        restored.nextRecord = snapshot.nextRecord
        try unit.reset()
        let status = bank[.gsts]
        try unit.setRootTable(snapshot.latchedRootTable)
        if capabilities.interruptRemapping { try setInterrupts(restored) }
        try unit.setTranslation(enabled: status & GlobalCommand.translation != 0)
        change { state, actions in
            state = restored
            // Descriptors that were there and not fetched.
            state.tailMoved(&actions)
        }
    }

    private func setInterrupts(_ state: UnitState) throws(IOMMUError) {
        let status = state.bank[.gsts]
        try unit.setInterruptTable(
            state.latchedInterruptTable, enabled: status & GlobalCommand.interruptRemapping != 0,
            allowsCompatibilityFormat: status & GlobalCommand.compatibilityFormat != 0)
    }
}
