// SPDX-License-Identifier: LGPL-2.1-or-later
//
// GuestAddressWidths - the second-stage input widths that a unit offers.

/// Second-stage input widths, each with its number of levels, as CAP.SAGAW encodes them [FORMATS-VTD B2].
public struct GuestAddressWidths: OptionSet, Hashable, Sendable {
    /// The five bits of CAP.SAGAW.
    public let rawValue: UInt8

    /// Makes a set from the bits of CAP.SAGAW.
    public init(rawValue: UInt8) {
        self.rawValue = rawValue
    }

    /// 39 bits, 3 levels.
    public static let bits39 = GuestAddressWidths(rawValue: 2)
    /// 48 bits, 4 levels.
    public static let bits48 = GuestAddressWidths(rawValue: 4)
    /// 57 bits, 5 levels.
    public static let bits57 = GuestAddressWidths(rawValue: 8)
}

extension GuestAddressWidths: CustomStringConvertible {
    /// The widths in bits, such as `39, 48`; `none` for the empty set. Reserved bits show as `bit n`.
    public var description: String {
        let known = [1: "39", 2: "48", 3: "57"]
        let names = (0..<8).filter { rawValue >> $0 & 1 != 0 }.map { known[$0] ?? "bit \($0)" }
        return names.isEmpty ? "none" : names.joined(separator: ", ")
    }
}
