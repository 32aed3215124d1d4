// SPDX-License-Identifier: LGPL-2.1-or-later
//
// AccessRights - what a request wants, and what a mapping or a memory range grants.

/// A set of rights.
///
/// As the access of a request, a set without ``read``, ``write`` and ``execute`` is a *probe*: it reports the rights, updates no
/// accessed or dirty bit and records no fault.
public struct AccessRights: OptionSet, Hashable, Sendable {
    /// Bit 0 read, 1 write, 2 execute, 3 privileged. Other bits are refused with ``IOMMUError/invalidArgument``.
    public let rawValue: UInt32

    /// Makes a set from bits.
    @inlinable
    public init(rawValue: UInt32) {
        self.rawValue = rawValue
    }

    /// Reading memory.
    @inlinable
    public static var read: AccessRights { AccessRights(rawValue: 1) }

    /// Writing memory.
    @inlinable
    public static var write: AccessRights { AccessRights(rawValue: 2) }

    /// Fetching instructions. Checked under ``Capabilities/Revision/v3`` only; revision 4 treats it as a read [FORMATS-VTD D7].
    @inlinable
    public static var execute: AccessRights { AccessRights(rawValue: 4) }

    /// Supervisor privilege. Means something only with a PASID: a request without one takes its privilege from the context entry
    /// [FORMATS-VTD A4].
    @inlinable
    public static var privileged: AccessRights { AccessRights(rawValue: 8) }

    /// Says that this asks for R, W or X, and for nothing unknown: what the first-level cache may answer.
    @inlinable
    var isPlainTransfer: Bool {
        rawValue & 7 != 0 && rawValue < 16
    }
}

extension AccessRights: CustomStringConvertible {
    /// One letter a right, in the order `RWXP`; `none` for the empty set.
    public var description: String {
        if isEmpty { return "none" }
        let letters: [(AccessRights, String)] = [(.read, "R"), (.write, "W"), (.execute, "X"), (.privileged, "P")]
        return letters.filter { contains($0.0) }.map(\.1).joined()
    }
}
