// SPDX-License-Identifier: LGPL-2.1-or-later
//
// RegisterFile - registers.json: the unit's registers at the stop. They stand there twice, by name and as raw 64-bit reads; the
// two must agree, because a wrong capability bit would change every answer.

/// The registers of the recorded unit when it was stopped [FORMATS-VTD B1].
public struct RegisterFile: Hashable, Sendable {
    /// The file, for messages.
    public let file: String
    /// The line of the raw capability register, for messages.
    public let capabilityLine: Int
    /// Raw 64-bit reads by offset.
    public let raw: [UInt64: UInt64]
    /// The named registers.
    public let named: [String: UInt64]

    /// The capability register.
    public var cap: UInt64 { self[wide: 0x8] }
    /// The extended capability register.
    public var ecap: UInt64 { self[wide: 0x10] }
    /// The global status register.
    public var globalStatus: UInt32 { self[narrow: 0x1c] }
    /// The root-table address register, mode included.
    public var rootTableAddress: UInt64 { self[wide: 0x20] }
    /// The invalidation-queue address register.
    public var invalidationQueueAddress: UInt64 { self[wide: 0x90] }
    /// The interrupt-remapping table address register.
    public var interruptTableAddress: UInt64 { self[wide: 0xb8] }

    /// Translation is enabled (GSTS.TES).
    public var isTranslationEnabled: Bool { globalStatus >> 31 != 0 }
    /// The translation table mode: 0 legacy, 1 scalable (RTADDR.TTM).
    public var tableMode: Int { Int(rootTableAddress >> 10 & 3) }

    /// A 64-bit register; 0 for one that was not read.
    public subscript(wide offset: UInt64) -> UInt64 {
        raw[offset] ?? 0
    }

    /// A 32-bit register; 0 for one that was not read.
    public subscript(narrow offset: UInt64) -> UInt32 {
        UInt32(truncatingIfNeeded: self[wide: offset & ~7] >> (offset & 4 == 0 ? 0 : 32))
    }
}
