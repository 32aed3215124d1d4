// SPDX-License-Identifier: LGPL-2.1-or-later
//
// What a paging domain has mapped, page by page, and in numbers.

internal import CIOMMU
public import IOMMUCore

extension PagingDomain {
    /// One page of a domain.
    public struct Mapping: Hashable, Sendable {
        /// The first input address.
        public let iova: IOVA
        /// Bytes.
        public let length: UInt64
        /// Where it leads.
        public let output: OutputAddress
        /// What devices may do with it.
        public let rights: AccessRights
        /// The page that holds it; nil for a size that this version does not know.
        public let page: PageSize?
        /// It was written to since it was last cleaned; true also while dirty tracking is off.
        public let isDirty: Bool

        init(_ mapping: ciommu_mapping) {
            iova = IOVA(mapping.iova)
            length = mapping.length
            output = OutputAddress(mapping.address)
            rights = AccessRights(rawValue: mapping.rights)
            page = PageSize(rawValue: mapping.page_lg2)
            isDirty = mapping.dirty != 0
        }
    }

    /// The pages of a domain in ascending order, from ``PagingDomain/mappings``. Keeps the domain alive.
    public struct Mappings: Sequence, Sendable {
        let domain: PagingDomain

        /// Asks the domain for one page after the other.
        public struct Iterator: IteratorProtocol {
            let domain: PagingDomain
            private var resume: UInt64? = 0

            init(domain: PagingDomain) {
                self.domain = domain
            }

            /// The next page; nil at the end.
            public mutating func next() -> Mapping? {
                guard let start = resume else { return nil }
                let mapping = domain.firstMapping(endingAbove: IOVA(start))
                // A page never ends at the end of 64 bits: no domain is that wide.
                resume = mapping.map { $0.iova.rawValue + $0.length }
                return mapping
            }
        }

        /// An iterator over the pages.
        public func makeIterator() -> Iterator {
            Iterator(domain: domain)
        }
    }

    /// The pages in ascending order. They are read while one iterates: each one stood in the tables at that moment.
    public var mappings: Mappings {
        Mappings(domain: self)
    }

    /// The page that holds an input address, or the first one above it; nil if there is none.
    public func firstMapping(endingAbove iova: IOVA) -> Mapping? {
        var mapping = ciommu_mapping()
        mapping.size = UInt32(MemoryLayout<ciommu_mapping>.size)
        let status = unsafe ciommu_domain_next(handle, iova.rawValue, &mapping)
        return status == CIOMMU_OK ? Mapping(mapping) : nil
    }

    /// A domain in numbers.
    public struct Statistics: Hashable, Sendable {
        /// Pairs of device and PASID that it is attached to.
        public let attachments: Int
        /// Nested domains over it.
        public let children: Int
        /// Bytes that are mapped.
        public let mappedBytes: UInt64
        /// Pages of its own tables, 4096 bytes each.
        public let tables: Int
        /// Pages of 4 KiB.
        public let smallPages: Int
        /// Pages of 2 MiB.
        public let largePages: Int
        /// Pages of 1 GiB.
        public let hugePages: Int
    }

    /// The numbers now.
    public var statistics: Statistics {
        var numbers = ciommu_domain_statistics()
        numbers.size = UInt32(MemoryLayout.size(ofValue: numbers))
        unsafe ciommu_domain_read_statistics(handle, &numbers)
        return Statistics(
            attachments: Int(numbers.attachments), children: Int(numbers.children), mappedBytes: numbers.mapped,
            tables: Int(numbers.tables), smallPages: Int(numbers.pages.0), largePages: Int(numbers.pages.1),
            hugePages: Int(numbers.pages.2))
    }
}
