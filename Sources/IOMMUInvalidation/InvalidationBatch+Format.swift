// SPDX-License-Identifier: LGPL-2.1-or-later
//
// InvalidationBatch.Format - which native entries a batch is made of. The seam for other architectures: a new format is
// a new static member here, a decoder in C, and a scheme of codes in HardwareError.

internal import CIOMMU
public import IOMMUDomains

extension InvalidationBatch {
    /// The native entry format of a batch, and what its entries are against.
    ///
    /// Not an enumeration, so that formats can be added (commands of an SMMUv3 would be one) without breaking a host.
    public struct Format: Sendable {
        enum Kind: Hashable, Sendable {
            case vtdStageOne, vtdQueue128, vtdQueue256
        }

        let kind: Kind

        /// The nested domain that the entries are against; nil for entries against the whole unit.
        public let domain: NestedDomain?

        private init(_ kind: Kind, _ domain: NestedDomain? = nil) {
            self.kind = kind
            self.domain = domain
        }

        /// 24-byte entries `{addr, npages, flags, __reserved}` against one nested domain, as the kernel's interface has
        /// them [FORMATS-IOMMUFD 5]. Codes of refused entries are `errno` values.
        public static func vtdStageOne(_ domain: NestedDomain) -> Format {
            Format(.vtdStageOne, domain)
        }

        /// 16-byte descriptors of a VT-d invalidation queue with IQA.DW = 0, against the unit [FORMATS-VTD C]. Codes of
        /// refused entries are IQEI values [FORMATS-VTD B8].
        public static let vtdQueue128 = Format(.vtdQueue128)

        /// 32-byte descriptors of a VT-d invalidation queue with IQA.DW = 1; otherwise as ``vtdQueue128``.
        public static let vtdQueue256 = Format(.vtdQueue256)

        /// Bytes of one entry, without what a caller may have after each.
        public var entryLength: Int {
            switch kind {
            case .vtdStageOne: 24
            case .vtdQueue128: 16
            case .vtdQueue256: 32
            }
        }

        /// What the codes of refused entries are.
        var scheme: HardwareError.Scheme {
            kind == .vtdStageOne ? .errno : .iqei
        }

        var wire: UInt32 {
            switch kind {
            case .vtdStageOne: CIOMMU_BATCH_VTD_S1.rawValue
            case .vtdQueue128: CIOMMU_BATCH_VTD_128.rawValue
            case .vtdQueue256: CIOMMU_BATCH_VTD_256.rawValue
            }
        }
    }
}

extension InvalidationBatch.Format: Hashable {
    /// Equal with the same entries against the same domain object.
    public static func == (left: Self, right: Self) -> Bool {
        left.kind == right.kind && left.domain === right.domain
    }

    /// Hashes the kind and the identity of the domain.
    public func hash(into hasher: inout Hasher) {
        hasher.combine(kind)
        hasher.combine(domain.map(ObjectIdentifier.init))
    }
}

extension InvalidationBatch.Format: CustomStringConvertible {
    /// A phrase such as `VT-d queue, 128 bits`.
    public var description: String {
        switch kind {
        case .vtdStageOne: "VT-d stage-1 entries"
        case .vtdQueue128: "VT-d queue, 128 bits"
        case .vtdQueue256: "VT-d queue, 256 bits"
        }
    }
}
