// SPDX-License-Identifier: LGPL-2.1-or-later
//
// UnitCompanion - what an upper module keeps with a unit. Core knows nothing about it but what it must be told.

internal import Synchronization

/// The objects that an upper module made in a unit. The unit keeps it alive; it must not keep the unit alive.
package protocol UnitCompanion: AnyObject, Sendable {
    /// The unit was reset: nothing is attached or bound any more. Called after every
    /// reset, outside of locks; other threads may have attached and bound again meanwhile.
    ///
    /// - Returns: What is to be released.
    func unitWasReset() -> [any AnyObject & Sendable]
}

extension RemappingUnit {
    /// The companion of this unit, made at the first call. There is one kind of companion.
    package func companion<Companion: UnitCompanion>(_ make: () -> Companion) -> Companion {
        companion.withLock { companion in
            if let known = companion as? Companion { return known }
            precondition(companion == nil, "the unit has a companion of another kind")
            let made = make()
            companion = made
            return made
        }
    }
}
