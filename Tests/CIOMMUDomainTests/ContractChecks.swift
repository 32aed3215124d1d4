// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Comparing a domain with what it must hold: its listing, its statistics, its translations.

import CIOMMU
import IOMMUTestSupport

extension DomainBench {
    /// The listing is exactly `pages`, and the statistics agree with it.
    func compareListing(_ domain: Domain, _ pages: [Page], width: UInt32, _ context: String, _ log: inout MismatchLog) {
        let found = listing(domain)
        if let (found, wanted) = zip(found, pages).first(where: { $0 != $1 }) {
            log.record("\(context): page \(found), wanted \(wanted)")
        }
        log.compare(found.count, pages.count, "\(context): number of pages")
        compareStatistics(domain, found, width: width, context, &log)
    }

    /// The statistics agree with a listing.
    func compareStatistics(
        _ domain: Domain, _ pages: [Page], width: UInt32, _ context: String, _ log: inout MismatchLog
    ) {
        let statistics = statistics(domain)
        log.compare(statistics.mapped, pages.reduce(0) { $0 + $1.length }, "\(context): bytes mapped")
        let leaves = [UInt32(12), 21, 30].map { lg2 in UInt64(pages.count { $0.lg2 == lg2 }) }
        log.compare(
            [statistics.pages.0, statistics.pages.1, statistics.pages.2], leaves, "\(context): leaves in the statistics"
        )
        let needed = UInt64(tablesNeeded(pages, width: width))
        if statistics.tables < needed || statistics.tables > needed + 4 {
            log.record("\(context): \(statistics.tables) tables, needed \(needed)")
        }
    }

    /// The first and last byte of some of the pages translate as they must, with and without caches.
    func compareTranslations(
        _ pages: [Page], source: UInt32 = 0x42, pasid: UInt32 = noPASID, exactSize: Bool = true, _ context: String,
        _ log: inout MismatchLog
    ) throws {
        let stride = max(1, pages.count / 24)
        for (index, page) in pages.enumerated()
        where index < 4 || index >= pages.count - 4 || index % stride == 0 {
            for (iova, address) in [(page.iova, page.address), (page.last, page.address + page.size - 1)] {
                for flags in [CIOMMU_NO_FAULT | CIOMMU_NO_CACHE, CIOMMU_NO_FAULT, CIOMMU_NO_FAULT] {
                    for access in [CIOMMU_READ, CIOMMU_WRITE, readWrite] {
                        let answer = try ask(iova, access, source: source, pasid: pasid, flags: flags)
                        let place = "\(context): \(hex(iova)) access \(access) flags \(flags)"
                        log.compare(answer.isMapped, access & ~page.rights == 0, "\(place): \(page) answered \(answer)")
                        guard answer.isMapped else { continue }
                        log.compare(answer.address, address, "\(place): address")
                        log.compare(answer.rights, page.rights, "\(place): rights")
                        log.compare(answer.mask, 1 << UInt64(answer.pageLg2) - 1, "\(place): mask")
                        if exactSize || flags & CIOMMU_NO_CACHE != 0 {
                            log.compare(answer.pageLg2, page.lg2, "\(place): page size")
                        }
                        log.compare(
                            answer.contiguous >= 1 && answer.contiguous <= page.size, true,
                            "\(place): \(answer.contiguous) contiguous bytes")
                    }
                }
            }
        }
    }

    /// These addresses fault, for reads and writes, also with warm caches.
    func compareFaults(
        _ iovas: [UInt64], source: UInt32 = 0x42, pasid: UInt32 = noPASID, _ context: String, _ log: inout MismatchLog
    ) throws {
        for iova in iovas {
            for flags in [CIOMMU_NO_FAULT, CIOMMU_NO_FAULT | CIOMMU_NO_CACHE] {
                for access in [CIOMMU_READ, CIOMMU_WRITE] {
                    let answer = try ask(iova, access, source: source, pasid: pasid, flags: flags)
                    log.compare(answer.isMapped, false, "\(context): \(hex(iova)) access \(access) answered \(answer)")
                }
            }
        }
    }
}
