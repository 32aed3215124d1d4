// SPDX-License-Identifier: LGPL-2.1-or-later
//
// What is broken between the library and a target's verdict, where no rule of the kernel bears on it: IOMMU_FUZZ_MUTANT names it.

import Foundation

enum FuzzDamage: String {
    /// A replay does not count its last translation.
    case replaySkipsOne = "REPLAY_SKIPS_ONE"
    /// An error of an event stream does not say where.
    case errorWithoutLine = "ERROR_WITHOUT_LINE"
    /// A unit's snapshot lacks its last device.
    case snapshotWithoutDevice = "SNAPSHOT_WITHOUT_DEVICE"
    /// It lacks the last attachment of each device.
    case snapshotWithoutAttachment = "SNAPSHOT_WITHOUT_ATTACHMENT"

    /// The one that this process is to notice.
    static let wanted = ProcessInfo.processInfo.environment["IOMMU_FUZZ_MUTANT"].flatMap { FuzzDamage(rawValue: $0) }

    var isWanted: Bool { self == Self.wanted }
}
