// SPDX-License-Identifier: LGPL-2.1-or-later
//
// HardwareError - the native code of a refused entry, with the scheme that gives the number its meaning [B-D2].

internal import Glibc

/// The code that hardware, or the kernel's interface, gives a refused entry.
public struct HardwareError: Hashable, Sendable, Codable {
    /// Whose numbers the codes are. Not an enumeration, so that schemes can be added.
    public struct Scheme: RawRepresentable, Hashable, Sendable, Codable {
        /// The name of the field or the list.
        public let rawValue: String

        /// Makes a scheme by name.
        public init(rawValue: String) {
            self.rawValue = rawValue
        }

        /// Invalidation-queue error information of VT-d, 0 to 15 [FORMATS-VTD B8].
        public static let iqei = Scheme(rawValue: "IQEI")
        /// Positive `errno` values of the host, as the kernel's interface answers [FORMATS-IOMMUFD 5].
        public static let errno = Scheme(rawValue: "errno")
    }

    /// Whose number it is.
    public let scheme: Scheme
    /// The number.
    public let code: Int

    /// Makes a code.
    public init(_ scheme: Scheme, code: Int) {
        self.scheme = scheme
        self.code = code
    }

    /// What the number means, in a few words; empty for an unknown one.
    public var meaning: String {
        switch (scheme, code) {
        case (.iqei, 1): "invalid tail pointer"
        case (.iqei, 2): "descriptor fetch error"
        case (.iqei, 3): "invalid descriptor type"
        case (.iqei, 4): "reserved field violation"
        case (.iqei, 5): "invalid descriptor width"
        case (.iqei, 6): "tail not 256-bit aligned"
        case (.iqei, 7): "invalid translation-table mode"
        case (.errno, Int(EINVAL)): "EINVAL"
        case (.errno, Int(EOPNOTSUPP)): "EOPNOTSUPP"
        case (.errno, Int(E2BIG)): "E2BIG"
        default: ""
        }
    }
}

extension HardwareError: CustomStringConvertible {
    /// A phrase such as `IQEI 4, reserved field violation`.
    public var description: String {
        "\(scheme.rawValue) \(code)" + (meaning.isEmpty ? "" : ", \(meaning)")
    }
}
