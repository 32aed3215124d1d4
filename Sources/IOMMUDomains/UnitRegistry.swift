// SPDX-License-Identifier: LGPL-2.1-or-later
//
// UnitRegistry - what the host made in a unit, without keeping it alive: for snapshots and for a reset of the unit.

package import IOMMUCore
internal import Synchronization

/// The devices, domains and namespaces of one unit that exist now, in the order of their making.
package final class UnitRegistry: UnitCompanion {
    /// Names an entry; grows with time.
    package struct Registration: Hashable, Comparable, Sendable {
        fileprivate let serial: UInt64

        package static func < (left: Registration, right: Registration) -> Bool {
            left.serial < right.serial
        }
    }

    /// Objects of one type, held weakly.
    package final class List<Element: AnyObject & Sendable>: Sendable {
        private struct Weak {
            weak var object: Element?
        }

        private let entries = Mutex<[Registration: Weak]>([:])

        fileprivate init() {}

        package func add(_ object: Element, as registration: Registration) {
            entries.withLock { $0[registration] = Weak(object: object) }
        }

        package func remove(_ registration: Registration) {
            _ = entries.withLock { $0.removeValue(forKey: registration) }
        }

        /// Those that exist now, oldest first.
        package var all: [Element] {
            entries.withLock { entries in
                entries.sorted { $0.key < $1.key }.compactMap { $0.value.object }
            }
        }

        /// True when none exists now.
        package var isEmpty: Bool { all.isEmpty }
    }

    /// An object that exists at most once, held weakly.
    package final class Slot<Element: AnyObject & Sendable>: Sendable {
        private struct Weak {
            weak var object: Element?
        }

        private let entry = Mutex(Weak())

        fileprivate init() {}

        /// The one that exists, or a new one.
        package func object(_ make: () -> Element) -> Element {
            entry.withLock { entry in
                if let object = entry.object { return object }
                let made = make()
                entry.object = made
                return made
            }
        }
    }

    package let identity = Slot<IdentityDomain>()
    package let blocked = Slot<BlockedDomain>()
    package let devices = List<Device>()
    package let domains = List<Domain>()
    package let namespaces = List<PASIDNamespace>()

    private let last = Atomic<UInt64>(0)

    fileprivate init() {}

    /// A name for a new entry.
    package func reserve() -> Registration {
        Registration(serial: last.add(1, ordering: .relaxed).newValue)
    }

    package func unitWasReset() -> [any AnyObject & Sendable] {
        devices.all.flatMap { device -> [any AnyObject & Sendable] in
            // The device too: this may be the last reference to it.
            device.unitWasReset() + [device]
        }
    }
}

extension RemappingUnit {
    /// What the host made in this unit.
    package var registry: UnitRegistry {
        companion { UnitRegistry() }
    }
}
