// SPDX-License-Identifier: LGPL-2.1-or-later
//
// PASID - which of a device's address spaces a request means. A request without one is `PASID?.none`.

/// A process address space id: 20 bits, 0 to 0xfffff.
public struct PASID: RawRepresentable, Hashable, Comparable, Sendable {
    /// How many bits a PASID has.
    @inlinable
    public static var bitWidth: Int { 20 }

    /// The id, at most 0xfffff.
    public let rawValue: UInt32

    /// Makes a PASID; nil for a value over 20 bits.
    @inlinable
    public init?(rawValue: UInt32) {
        guard rawValue >> 20 == 0 else { return nil }
        self.rawValue = rawValue
    }

    /// Makes a PASID; nil for a value over 20 bits.
    @inlinable
    public init?(_ rawValue: UInt32) {
        self.init(rawValue: rawValue)
    }

    /// Orders by value.
    @inlinable
    public static func < (left: PASID, right: PASID) -> Bool {
        left.rawValue < right.rawValue
    }
}

extension PASID: CustomStringConvertible {
    /// The id in decimal.
    public var description: String {
        String(rawValue)
    }
}

extension Optional where Wrapped == PASID {
    /// As the C interface wants it: CIOMMU_NO_PASID, and also CIOMMU_ANY, is all ones.
    @inlinable
    package var wire: UInt32 {
        switch self {
        case .some(let pasid): pasid.rawValue
        case .none: .max
        }
    }
}
