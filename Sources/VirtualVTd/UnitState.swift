// SPDX-License-Identifier: LGPL-2.1-or-later
//
// UnitState - the unit without the engine: registers, latched tables, the positions in queues. Every change answers what is to be
// done about it, outside the lock that guards this. What an access means stands in UnitState+*.swift, a file for each part.

internal import IOMMUCore

/// What a unit is, apart from its caches.
struct UnitState: Sendable {
    /// Something that takes time, or calls the engine. Works are done one after the other, in the order in which they were asked for.
    enum Work: Equatable, Sendable {
        /// Latch RTADDR.
        case rootTable(UInt64)
        case translation(Bool)
        /// Latch IRTA.
        case interruptTable(UInt64)
        /// IRE and CFI.
        case interruptSwitches(remapping: Bool, compatibility: Bool)
        case queueEnable(Bool)
        /// Descriptors between head and tail.
        case queue
        /// What CCMD said.
        case contextCommand(UInt64)
        /// What IOTLB and IVA said.
        case iotlbCommand(UInt64, address: UInt64)
        /// Page requests for the guest's queue.
        case pages
    }

    /// What is to be done, in order, once the lock is left.
    enum Action: Equatable, Sendable {
        case work(Work)
        /// The unit raises an interrupt of its own.
        case signal(address: UInt64, data: UInt32)
    }

    let capabilities: Capabilities
    var bank: RegisterBank
    /// The level bits of the last write to GCMD: status follows them.
    var commands: UInt64 = 0
    /// What the last SRTP and SIRTP latched.
    var latchedRootTable: UInt64 = 0
    var latchedInterruptTable: UInt64 = 0
    /// What was written to IVA.
    var invalidationAddress: UInt64 = 0
    /// The fault-recording register that the next fault goes to.
    var nextRecord = 0

    init(_ capabilities: Capabilities, _ map: RegisterMap) {
        self.capabilities = capabilities
        bank = RegisterBank(map)
    }

    /// Everything as after power-on.
    mutating func reset() {
        self = UnitState(capabilities, bank.map)
    }

    /// A write by the guest.
    mutating func write(_ offset: Int, size: Int, _ value: UInt64, _ actions: inout [Action]) {
        let status = bank[.fsts]
        let (first, second) = bank.write(offset, size: size, value)
        if let first { take(first, faultStatus: status, &actions) }
        if let second { take(second, faultStatus: status, &actions) }
    }

    private mutating func take(_ change: RegisterBank.Change, faultStatus: UInt64, _ actions: inout [Action]) {
        switch change.register {
        case .gcmd: command(change.written, &actions)
        case .rtaddr where broken(.rootLatchedByWrite): actions.append(.work(.rootTable(bank[.rtaddr])))
        case .ccmd: contextCommand(change, &actions)
        case .iva: invalidationAddress = invalidationAddress & ~change.mask | change.written
        case .iotlb: iotlbCommand(change, &actions)
        case .iqt: tailMoved(&actions)
        case .fsts: faultStatusCleared(from: faultStatus, &actions)
        case .frcdHigh: recordCleared()
        case .ics: completionCleared()
        case .prs: pageStatusCleared()
        case .fectl, .iectl, .pectl: controlWritten(Event(control: change.register), &actions)
        default: break
        }
    }
}
