// SPDX-License-Identifier: LGPL-2.1-or-later
//
// FirstStage - where a guest's own first stage begins and how it is to be walked.

internal import CIOMMU
public import IOMMUCore

/// A guest's first-stage tables, as a guest puts them into its PASID table [FORMATS-IOMMUFD 3.1].
public struct FirstStage: Hashable, Sendable, Codable {
    /// Flags of a first stage, with the values of the kernel's interface.
    public struct Options: OptionSet, Hashable, Sendable, Codable {
        /// The bits as the kernel's interface has them.
        public let rawValue: UInt64

        /// Makes a set from its bits. A ``NestedDomain`` refuses unknown ones.
        public init(rawValue: UInt64) {
            self.rawValue = rawValue
        }

        /// Requests with supervisor privilege are allowed (SRE); needs ECAP.SRS.
        public static let supervisorRequests = Options(rawValue: UInt64(CIOMMU_NESTED_SRE))
        /// Extended accessed flags are set (EAFE); needs ECAP.EAFS.
        public static let extendedAccessed = Options(rawValue: UInt64(CIOMMU_NESTED_EAFE))
        /// Read-only pages refuse supervisor writes too (WPE).
        public static let writeProtect = Options(rawValue: UInt64(CIOMMU_NESTED_WPE))
    }

    /// The root table as an input address of the parent, a multiple of 4096.
    public var root: IOVA
    /// Input address bits: 48 (4 levels) or 57 (5 levels; needs CAP.FS5LP).
    public var addressWidth: Int
    /// The flags.
    public var options: Options

    /// Names tables. Nothing is checked before a ``NestedDomain`` is made of them.
    public init(root: IOVA, addressWidth: Int = 48, options: Options = []) {
        self.root = root
        self.addressWidth = addressWidth
        self.options = options
    }
}

extension FirstStage.Options: CustomStringConvertible {
    /// The architecture's names, such as `SRE, WPE`; `none` for the empty set.
    public var description: String {
        let names = [(Self.supervisorRequests, "SRE"), (.extendedAccessed, "EAFE"), (.writeProtect, "WPE")]
        var words = names.filter { contains($0.0) }.map(\.1)
        let unknown = subtracting([.supervisorRequests, .extendedAccessed, .writeProtect]).rawValue
        if unknown != 0 {
            words.append("0x" + String(unknown, radix: 16))
        }
        return words.isEmpty ? "none" : words.joined(separator: ", ")
    }
}
