// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Global commands, and invalidation by registers: what a write asks for, and what software reads when it is done.

internal import IOMMUCore

extension UnitState {
    /// GCMD was written. Every write gives all level bits anew; the others are asked for by a 1 [FORMATS-VTD B4].
    ///
    /// Choice: software issues one command at a time; of several at once tables are latched before anything is switched on.
    mutating func command(_ written: UInt64, _ actions: inout [Action]) {
        let changed = commands ^ written
        commands = written & levels
        if written & GlobalCommand.setRootTable != 0 {
            bank[.gsts] &= ~GlobalCommand.setRootTable
            actions.append(.work(.rootTable(bank[.rtaddr])))
        }
        if written & GlobalCommand.setInterruptTable != 0, capabilities.interruptRemapping {
            bank[.gsts] &= ~GlobalCommand.setInterruptTable
            actions.append(.work(.interruptTable(bank[.irta])))
        }
        if changed & levels & GlobalCommand.queuedInvalidation != 0 {
            actions.append(.work(.queueEnable(isOn(GlobalCommand.queuedInvalidation))))
        }
        if changed & levels & (GlobalCommand.interruptRemapping | GlobalCommand.compatibilityFormat) != 0 {
            actions.append(
                .work(
                    .interruptSwitches(
                        remapping: isOn(GlobalCommand.interruptRemapping),
                        compatibility: isOn(GlobalCommand.compatibilityFormat))))
        }
        if changed & GlobalCommand.translation != 0 {
            actions.append(.work(.translation(isOn(GlobalCommand.translation))))
        }
        // WBF: nothing of a guest's writes waits in a buffer, so it is done before it shows in the status.
    }

    /// The level bits that the capabilities imply. Others are ignored.
    private var levels: UInt64 {
        var levels = GlobalCommand.translation
        if capabilities.queuedInvalidation { levels |= GlobalCommand.queuedInvalidation }
        if capabilities.interruptRemapping {
            levels |= GlobalCommand.interruptRemapping | GlobalCommand.compatibilityFormat
        }
        return levels
    }

    private func isOn(_ bit: UInt64) -> Bool { commands & bit != 0 }

    /// A global command is done: its status follows.
    mutating func completed(_ work: Work) {
        switch work {
        case .rootTable(let address):
            latchedRootTable = address
            bank[.gsts] |= GlobalCommand.setRootTable
        case .interruptTable(let address):
            latchedInterruptTable = address
            bank[.gsts] |= GlobalCommand.setInterruptTable
        case .translation(let isOn):
            setStatus(GlobalCommand.translation, isOn)
        case .interruptSwitches(let remapping, let compatibility):
            setStatus(GlobalCommand.interruptRemapping, remapping)
            setStatus(GlobalCommand.compatibilityFormat, compatibility)
        case .queueEnable(let isOn):
            setStatus(GlobalCommand.queuedInvalidation, isOn)
            if !isOn { bank[.iqh] = 0 }
        case .queue, .contextCommand, .iotlbCommand, .pages:
            break
        }
    }

    /// A global command was not taken: the next write that gives its level bits asks for it again.
    mutating func refused(_ work: Work) {
        let bits: UInt64 =
            switch work {
            case .translation: GlobalCommand.translation
            case .interruptSwitches: GlobalCommand.interruptRemapping | GlobalCommand.compatibilityFormat
            default: 0
            }
        commands = commands & ~bits | bank[.gsts] & bits
    }

    private mutating func setStatus(_ bit: UInt64, _ isOn: Bool) {
        bank[.gsts] = bank[.gsts] & ~bit | (isOn ? bit : 0)
    }

    // MARK: Invalidation by registers

    /// Registers do not invalidate while the queue is on, nor from major version 6 on [FORMATS-VTD B5].
    private var takesRegisterCommands: Bool {
        bank[.gsts] & GlobalCommand.queuedInvalidation == 0 && bank[.ver] >> 4 < 6
    }

    /// CCMD was written; its highest bit starts it.
    mutating func contextCommand(_ change: RegisterBank.Change, _ actions: inout [Action]) {
        guard change.written >> 63 == 1 else { return }
        if takesRegisterCommands {
            actions.append(.work(.contextCommand(bank[.ccmd])))
        } else {
            contextCommandDone(actual: 0)
        }
    }

    /// - Parameter actual: CAIG: the granularity that it had; 0 for refused.
    mutating func contextCommandDone(actual: UInt64) {
        bank[.ccmd] = bank[.ccmd] & ~(1 << 63 | 3 << 59) | actual << 59
    }

    /// IOTLB was written; its highest bit starts it.
    mutating func iotlbCommand(_ change: RegisterBank.Change, _ actions: inout [Action]) {
        guard change.written >> 63 == 1 else { return }
        if takesRegisterCommands {
            actions.append(.work(.iotlbCommand(bank[.iotlb], address: invalidationAddress)))
        } else {
            iotlbCommandDone(actual: 0)
        }
    }

    /// - Parameter actual: IAIG: the granularity that it had; 0 for refused.
    mutating func iotlbCommandDone(actual: UInt64) {
        bank[.iotlb] = bank[.iotlb] & ~(1 << 63 | 3 << 57) | actual << 57
    }
}
