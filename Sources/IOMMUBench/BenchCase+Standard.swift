// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The rows that everybody measures.

extension BenchCase {
    /// The standard set, those that share a world one after the other. With one processor there are no rows of two threads.
    static func standard(processors: Int) -> [BenchCase] {
        hits(processors: processors) + walks + invalidations + [
            BenchCase("fault-record", "a fault into a queue that is polled, beyond the fault itself", .fault)
        ]
    }

    private static func hits(processors: Int) -> [BenchCase] {
        var cases: [BenchCase] = []
        for (name, pages) in [("hit64", UInt32(64)), ("hit4Ki", 4 << 10), ("hit64Ki", 64 << 10)] {
            let setup = TranslationSetup.hits(.guestSecond, pages: pages)
            for threads in 1...min(2, processors) {
                cases.append(
                    BenchCase(
                        "\(name)-single", "\(pages) pages, cached; a call each", .translate(setup, .single),
                        threads: threads))
                cases.append(
                    BenchCase(
                        "\(name)-batch", "\(pages) pages, cached; batches of 32", .translate(setup, .batch),
                        threads: threads))
            }
        }
        let million = TranslationSetup.hits(.guestSecond, pages: 1 << 20)
        return cases + [
            BenchCase("hit1Mi-batch", "1048576 pages, cached; batches of 32", .translate(million, .batch))
        ]
    }

    private static let walks: [BenchCase] = [
        BenchCase(
            "walk-hot", "four levels, tables in the first cache, nothing cached; batches of 32",
            .translate(.walks(.guestSecond, walkCache: false), .batch)),
        BenchCase(
            "walk-hot-cached", "the same with the walk cache; baselines with their caches",
            .translate(.walks(.guestSecond, walkCache: true), .batch)),
        BenchCase(
            "nested-hot", "four levels over four, tables in the first cache, nothing cached; batches of 32",
            .translate(.walks(.guestNested, walkCache: false), .batch)),
        BenchCase(
            "nested-hot-cached", "the same with the walk caches; baselines with their caches",
            .translate(.walks(.guestNested, walkCache: true), .batch)),
    ]

    private static let invalidations: [BenchCase] = {
        let setup = TranslationSetup.hits(.guestSecond, pages: 4 << 10)
        return [
            BenchCase(
                "invalidate-page-busy", "a page of 4096, from the call to completion, a thread translating beside",
                .invalidateBusy(setup, .page)),
            BenchCase(
                "invalidate-domain-busy", "a domain of 4096 pages, a thread translating beside",
                .invalidateBusy(setup, .domain)),
        ]
    }()
}
