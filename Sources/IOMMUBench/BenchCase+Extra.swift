// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The rows of `--all` beyond the standard set.

extension BenchCase {
    /// Translations, invalidations, and what a host does.
    static var extra: [BenchCase] {
        sections + stages + sizes + working + hosts + idle + made
    }

    /// A batch row and a single row of a setup.
    private static func both(_ name: String, _ title: String, _ setup: TranslationSetup) -> [BenchCase] {
        [
            BenchCase("\(name)-single", "\(title); a call each", .translate(setup, .single)),
            BenchCase("\(name)-batch", "\(title); batches of 32", .translate(setup, .batch)),
        ]
    }

    private static var sections: [BenchCase] {
        [("hit64", UInt32(64)), ("hit4Ki", 4 << 10), ("hit64Ki", 64 << 10)].map { name, pages in
            BenchCase(
                "\(name)-section", "\(pages) pages, cached; one section around all",
                .translate(.hits(.guestSecond, pages: pages), .section))
        } + [
            BenchCase(
                "walk-hot-single", "four levels, nothing cached; a call each",
                .translate(.walks(.guestSecond, walkCache: false), .single)),
            BenchCase(
                "nested-hot-single", "four levels over four, nothing cached; a call each",
                .translate(.walks(.guestNested, walkCache: false), .single)),
        ]
            + [1, 2].map { threads in
                BenchCase(
                    "section-empty", "a section without a translation: the least that a call alone can take",
                    .translate(TranslationSetup(.guestSecond, pages: 64).with { $0.baselines = .none }, .empty),
                    threads: threads)
            }
    }

    private static var stages: [BenchCase] {
        both("pass", "pass-through, 4096 pages", TranslationSetup(.guestPass, pages: 4 << 10))
            + both("first64", "a first stage alone, 64 pages, cached", .hits(.guestFirst, pages: 64))
            + both("first4Ki", "a first stage alone, 4096 pages, cached", .hits(.guestFirst, pages: 4 << 10))
            + both("nested4Ki", "nested, 4096 pages, cached", .hits(.guestNested, pages: 4 << 10)) + [
                BenchCase(
                    "first-walk-hot", "a first stage alone, four levels, nothing cached; batches of 32",
                    .translate(.walks(.guestFirst, walkCache: false), .batch)),
                BenchCase(
                    "first-walk-hot-cached", "the same with the walk cache",
                    .translate(.walks(.guestFirst, walkCache: true), .batch)),
            ]
    }

    private static var sizes: [BenchCase] {
        both(
            "hit512-2M", "512 pages of 2 MiB, cached",
            .hits(.guestSecond, pages: 512).with {
                $0.pageLg2 = 21
                $0.baselines = .none
            })
            + both(
                "hit512-1G", "512 pages of 1 GiB, cached",
                .hits(.guestSecond, pages: 512).with {
                    $0.pageLg2 = 30
                    $0.baselines = .none
                })
            + both(
                "many-pasids", "64 devices with 1024 PASIDs each, 16 pages for each PASID",
                TranslationSetup(.guestSecond, pages: 16).with {
                    $0.sources = 64
                    $0.pasids = 1024
                })
    }

    private static var working: [BenchCase] {
        // Each page has a leaf table of its own, 4 KiB.
        let isShort = Machine.availableBytes.map { $0 < 4 << 30 } ?? false
        let pages: UInt32 = isShort ? 32 << 10 : 256 << 10
        let cold = TranslationSetup.walks(.guestSecond, pages: pages, walkCache: false).with { $0.apartLg2 = 24 }
        return both(
            "hit64Ki-full", "65536 pages in an IOTLB of as many entries",
            TranslationSetup(.guestSecond, pages: 64 << 10))
            + both(
                "miss1Mi", "1048576 pages and the default IOTLB: most requests walk",
                TranslationSetup(.guestSecond, pages: 1 << 20))
            + both(
                "walk64Ki-cached", "65536 pages, walks with the walk cache alone",
                .walks(.guestSecond, pages: 64 << 10, walkCache: true))
            + both(
                "walk1Mi-cached", "1048576 pages, walks with a walk cache of 4096 entries alone",
                .walks(.guestSecond, pages: 1 << 20, walkCache: true).with { $0.walkCacheEntries = 4096 }) + [
                BenchCase(
                    "walk-cold-single", "\(pages) pages, two levels of each in cache lines of its own; a call each",
                    .translate(cold, .single)),
                BenchCase("walk-cold-batch16", "the same; batches of 16", .translate(cold, .batch16)),
                BenchCase("walk-cold-batch", "the same; batches of 32", .translate(cold, .batch)),
            ]
    }

    private static var hosts: [BenchCase] {
        [("64", UInt32(64)), ("4Ki", 4 << 10), ("64Ki", 64 << 10), ("1Mi", 1 << 20)].flatMap { name, pages in
            both("host-hit\(name)", "a paging domain, \(pages) pages, cached", .hits(.hostSecond, pages: pages))
        } + both("host-nested4Ki", "a nested domain, 4096 pages, cached", .hits(.hostNested, pages: 4 << 10))
            + both("host-pass", "the identity domain, 4096 pages", TranslationSetup(.hostPass, pages: 4 << 10)) + [
                BenchCase(
                    "host-walk-hot", "a paging domain, nothing cached; batches of 32",
                    .translate(.walks(.hostSecond, walkCache: false), .batch)),
                BenchCase(
                    "host-walk-hot-cached", "the same with the walk cache",
                    .translate(.walks(.hostSecond, walkCache: true), .batch)),
                BenchCase(
                    "host-walk64Ki-cached", "a paging domain, 65536 pages, walks with the walk cache alone",
                    .translate(.walks(.hostSecond, pages: 64 << 10, walkCache: true), .batch)),
                BenchCase(
                    "host-nested-hot", "a nested domain, nothing cached; batches of 32",
                    .translate(.walks(.hostNested, walkCache: false), .batch)),
                BenchCase(
                    "host-nested-hot-cached", "the same with the walk caches",
                    .translate(.walks(.hostNested, walkCache: true), .batch)),
            ]
    }

    private static var idle: [BenchCase] {
        let second = TranslationSetup.hits(.guestSecond, pages: 64 << 10)
        let nested = TranslationSetup.hits(.guestNested, pages: 4 << 10)
        return [
            BenchCase("invalidate-page", "a page, nobody beside", .invalidateIdle(second, .page, filled: nil)),
            BenchCase("invalidate-range", "512 pages, nobody beside", .invalidateIdle(second, .range, filled: nil)),
            BenchCase("invalidate-global", "everything, nobody beside", .invalidateIdle(second, .global, filled: nil)),
            BenchCase(
                "invalidate-domain-0", "a domain, nothing cached", .invalidateIdle(second, .domain, filled: 0)),
            BenchCase(
                "invalidate-domain-1Ki", "a domain, 1024 pages cached",
                .invalidateIdle(second, .domain, filled: 1 << 10)),
            BenchCase(
                "invalidate-domain-64Ki", "a domain, 65536 pages cached",
                .invalidateIdle(second, .domain, filled: 64 << 10)),
            BenchCase(
                "invalidate-pasid", "a PASID's first stage, 1024 pages cached",
                .invalidateIdle(nested, .pasid, filled: 1 << 10)),
        ]
    }

    private static var made: [BenchCase] {
        [
            BenchCase("unit-create", "a unit with an IOTLB of 65536 entries", .setup(.unit)),
            BenchCase("port-create", "a port of it", .setup(.port)),
            BenchCase("map-1G", "1 GiB in pages of 4 KiB, one call", .setup(.map)),
            BenchCase("unmap-1G", "the same away again", .setup(.unmap)),
            BenchCase("attach", "a domain to a device", .setup(.attach)),
            BenchCase("replace", "an attached domain by another one", .setup(.replace)),
            BenchCase("message-deliver", "1024 interrupt messages, remapped; one section around all", .message),
        ]
    }
}
