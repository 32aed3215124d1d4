// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Invalidation - the one inner form of every invalidation. Native entries are decoded into it; only it reaches caches.

package import CIOMMU

/// What is no longer true: the inner form that every native invalidation entry is decoded into.
public struct Invalidation: Hashable, Sendable {
    /// What is to be dropped.
    public enum Kind: UInt32, Hashable, Sendable, CaseIterable {
        /// Cached root and context entries and what hangs on them.
        case context = 1
        /// Cached PASID-table entries.
        case pasid = 2
        /// IOTLB and paging-structure caches.
        case translations = 3
        /// Translations that devices hold (ATS): those whose device-TLBs the unit knows are asked. The other kinds ask no device.
        case deviceTLB = 4
    }

    /// Which address spaces a translation invalidation reaches.
    public struct Stages: OptionSet, Hashable, Sendable {
        /// Bit 0 first, bit 1 second.
        public let rawValue: UInt32

        /// Makes a set from bits.
        public init(rawValue: UInt32) {
            self.rawValue = rawValue
        }

        /// First-stage-only and nested spaces.
        public static let first = Stages(rawValue: CIOMMU_STAGES_FIRST)
        /// Second-stage-only spaces; nested spaces are dropped whole.
        public static let second = Stages(rawValue: CIOMMU_STAGES_SECOND)
        /// All spaces.
        public static let all: Stages = [.first, .second]
    }

    /// What is to be dropped.
    public var kind: Kind
    /// Domain id; nil for any.
    public var domain: UInt32?
    /// PASID; nil for any.
    public var pasid: PASID?
    /// Source id, of ``Kind/context`` and ``Kind/deviceTLB``; nil for any.
    public var source: SourceID?
    /// Bits of ``source`` that are not compared.
    public var sourceMask: UInt32
    /// Which spaces, of ``Kind/translations``.
    public var stages: Stages
    /// Only leaf entries changed: paging-structure caches may stay (IH).
    public var leafOnly: Bool
    /// First input address.
    public var first: IOVA
    /// Last input address, inclusive. `IOVA.min` to `IOVA.max` is the whole space.
    public var last: IOVA

    /// Makes an invalidation; what is not said is not restricted.
    public init(
        _ kind: Kind, domain: UInt32? = nil, pasid: PASID? = nil, source: SourceID? = nil, sourceMask: UInt32 = 0,
        stages: Stages = .all, leafOnly: Bool = false, first: IOVA = .min, last: IOVA = .max
    ) {
        self.kind = kind
        self.domain = domain
        self.pasid = pasid
        self.source = source
        self.sourceMask = sourceMask
        self.stages = stages
        self.leafOnly = leafOnly
        self.first = first
        self.last = last
    }
}

extension Invalidation {
    /// Reads what C wrote.
    init(_ invalidation: ciommu_invalidation) {
        guard let kind = Kind(rawValue: invalidation.kind) else {
            preconditionFailure("the C library names invalidation \(invalidation.kind), which its header does not have")
        }
        self.init(
            kind,
            domain: invalidation.domain == CIOMMU_ANY ? nil : invalidation.domain,
            pasid: PASID(invalidation.pasid),
            source: invalidation.source == CIOMMU_ANY ? nil : SourceID(invalidation.source),
            sourceMask: invalidation.source_mask,
            stages: Stages(rawValue: invalidation.stages),
            leafOnly: invalidation.leaf_only != 0,
            first: IOVA(invalidation.first),
            last: IOVA(invalidation.last))
    }
}

extension ciommu_invalidation {
    /// As the C interface wants it.
    package init(_ invalidation: Invalidation) {
        self.init(
            size: UInt32(MemoryLayout<ciommu_invalidation>.size), kind: invalidation.kind.rawValue,
            domain: invalidation.domain ?? CIOMMU_ANY, pasid: invalidation.pasid?.rawValue ?? CIOMMU_ANY,
            source: invalidation.source?.rawValue ?? CIOMMU_ANY, source_mask: invalidation.sourceMask,
            stages: invalidation.stages.rawValue, leaf_only: invalidation.leafOnly ? 1 : 0,
            first: invalidation.first.rawValue, last: invalidation.last.rawValue)
    }
}
