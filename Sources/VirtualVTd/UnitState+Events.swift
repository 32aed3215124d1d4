// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The unit's own interrupts: of faults, of completed waits, of page requests. Masked, one is kept as pending.

internal import IOMMUCore

/// The four registers of an event [FORMATS-VTD B6, B8, B10].
enum Event: Sendable, CaseIterable {
    case fault, completion, pageRequest

    init(control: Register) {
        switch control {
        case .iectl: self = .completion
        case .pectl: self = .pageRequest
        default: self = .fault
        }
    }

    var control: Register {
        switch self {
        case .fault: .fectl
        case .completion: .iectl
        case .pageRequest: .pectl
        }
    }

    private var message: (data: Register, address: Register, upper: Register) {
        switch self {
        case .fault: (.fedata, .feaddr, .feuaddr)
        case .completion: (.iedata, .ieaddr, .ieuaddr)
        case .pageRequest: (.pedata, .peaddr, .peuaddr)
        }
    }

    /// The message that software has put there.
    func signal(_ bank: RegisterBank) -> UnitState.Action {
        .signal(
            address: bank[message.upper] << 32 | bank[message.address],
            data: UInt32(truncatingIfNeeded: bank[message.data]))
    }
}

extension UnitState {
    /// Signals, or notes that it would have.
    mutating func raise(_ event: Event, _ actions: inout [Action]) {
        if bank[event.control] & EventControl.mask != 0 {
            bank[event.control] |= EventControl.pending
        } else {
            actions.append(event.signal(bank))
        }
    }

    /// What was pending is signalled when the mask goes.
    mutating func controlWritten(_ event: Event, _ actions: inout [Action]) {
        let control = bank[event.control]
        guard control & EventControl.mask == 0, control & EventControl.pending != 0 else { return }
        bank[event.control] = control & ~EventControl.pending
        if broken(.heldEventLost) { return }
        actions.append(event.signal(bank))
    }

    /// Software has seen to everything that the event was raised for.
    mutating func withdraw(_ event: Event) {
        bank[event.control] &= ~EventControl.pending
    }
}
