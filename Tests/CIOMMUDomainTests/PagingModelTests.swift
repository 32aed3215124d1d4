// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Random mapping, unmapping, protecting, writing and dirty tracking against a model: what every input address leads to, with which
// rights, and whether its page was written. Caches are on, so that a stale answer shows.

import CIOMMU
import CIOMMUProbe
import IOMMUTestSupport
import Testing

/// One domain beside its model.
struct ModelRun {
    let largest: UInt32
    let splits: Bool
    let bench: DomainBench
    let domain: Domain
    var model = RunMap()
    var isTracking = false
    var random: SeededGenerator
    var log = MismatchLog(limit: 4)
    var step = 0

    /// Requests with a PASID are never interrupt messages, so that all addresses are alike.
    private let pasid: UInt32 = 5
    private let bases: [UInt64]
    /// Differences between output and input addresses.
    private let offsets: [UInt64]
    private let top: UInt64 = 1 << 48

    init(largest: UInt32, splits: Bool, seed: SeededGenerator) throws {
        self.largest = largest
        self.splits = splits
        random = seed
        bench = try DomainBench {
            $0.iotlb_entries = 64
            $0.first_level_entries = 16
            $0.walk_cache_entries = 16
        }
        domain = try bench.makePaging(largest: largest, flags: CIOMMU_PAGING_DIRTY_TRACKING)
        try check(bench.attach(bench.makeDevice(), domain, pasid: pasid))
        let two = largest == 30 ? 3 * pageBytes1G : 3 * pageBytes2M
        bases = [0, 1 << 30, two + 1 << 30, 1 << 39, top - 4 * pageBytes2M]
        offsets = [1 << 36, 1 << 36, 1 << 36, 1 << 36 + pageBytes2M, 1 << 36 + 3 * pageBytes]
    }

    // MARK: Choosing

    /// Near something that is aligned to a large page, in one of a few places.
    private mutating func address() -> UInt64 {
        let page = largest == 30 && random.oneIn(8) ? pageBytes1G : pageBytes2M
        let nudge = UInt64(random.pick([0, 0, 0, 1, 2, 511, 510, 256, random.below(512)])) * pageBytes
        let iova = random.pick(bases) + UInt64(random.below(4)) * page + nudge
        return min(iova, top - pageBytes)
    }

    private mutating func length(from iova: UInt64, congruent: Bool) -> UInt64 {
        var lengths = [1, 1, 2, 3, 511, 512, 512, 513, 1024, 1 + random.below(600)].map { UInt64($0) * pageBytes }
        if largest == 30 && congruent { lengths += [pageBytes1G, pageBytes1G - pageBytes2M, pageBytes1G + pageBytes] }
        return min(random.pick(lengths), top - iova)
    }

    // MARK: Steps

    mutating func run(steps: Int, comparing period: Int) throws {
        for _ in 0..<steps where !log.isFull {
            step += 1
            try doStep()
            try checkSomeTranslations()
            if step % period == 0 { compareEverything() }
        }
        compareEverything()
        let bytes = try bench.unmapAll(domain)
        log.compare(bytes, model.runs.reduce(0) { $0 + $1.length }, "step \(step): bytes unmapped at the end")
        log.compare(bench.statistics(domain).tables <= 4, true, "step \(step): tables left at the end")
    }

    private mutating func doStep() throws {
        switch random.below(100) {
        case 0..<35: map()
        case 35..<55: unmap()
        case 55..<70: protect()
        case 70..<94: try write()
        case 94..<96: try changeTracking()
        default: isTracking ? try readBitmap() : map()
        }
    }

    private mutating func map() {
        let iova = address()
        let offset = random.pick(offsets)
        let length = length(from: iova, congruent: offset % pageBytes2M == 0 && largest > 12)
        let rights = random.pick([readWrite, readWrite, readWrite, CIOMMU_READ, CIOMMU_WRITE])
        let run = Run(iova: iova, address: iova + offset, length: length, rights: rights, isDirty: !isTracking)
        let isFree = model.slice(iova, run.last).isEmpty
        let status = bench.tryMap(domain, iova, to: run.address, length, rights)
        log.compare(status, isFree ? CIOMMU_OK : CIOMMU_OVERLAP, "step \(step): map \(run)")
        if status == CIOMMU_OK { model.set(iova, run.last, [run]) }
    }

    private mutating func unmap() {
        let iova = address()
        let length = length(from: iova, congruent: true)
        let wanted = model.slice(iova, iova + length - 1).reduce(0) { $0 + $1.length }
        let (status, bytes) = bench.tryUnmap(domain, iova, length)
        log.compare(status, CIOMMU_OK, "step \(step): unmap \(hex(iova))+\(hex(length))")
        log.compare(bytes, wanted, "step \(step): bytes of unmap \(hex(iova))+\(hex(length))")
        model.set(iova, iova + length - 1, [])
    }

    private mutating func protect() {
        var iova = address()
        var length = length(from: iova, congruent: true)
        if let run = model.run(at: iova), !random.oneIn(4) {  // not only in vain
            iova = max(iova, run.iova)
            length = min(length, run.length - (iova - run.iova))
        }
        let rights = random.pick([readWrite, readWrite, CIOMMU_READ, CIOMMU_WRITE])
        let slice = model.slice(iova, iova + length - 1)
        let isWhole = slice.reduce(0) { $0 + $1.length } == length
        let status = bench.protect(domain, iova, length, rights)
        log.compare(
            status, isWhole ? CIOMMU_OK : CIOMMU_NOT_FOUND,
            "step \(step): protect \(hex(iova))+\(hex(length)) \(rights)")
        guard status == CIOMMU_OK else { return }
        model.set(
            iova, iova + length - 1,
            slice.map { run in
                var run = run
                run.rights = rights
                return run
            })
    }

    /// A translation for writing dirties the whole page.
    private mutating func write() throws {
        let iova = somewhere()
        let answer = try bench.ask(iova, CIOMMU_WRITE, pasid: pasid)
        let run = model.run(at: iova)
        let isGranted = run.map { $0.rights & CIOMMU_WRITE != 0 } ?? false
        log.compare(answer.isMapped, isGranted, "step \(step): write \(hex(iova))")
        guard answer.isMapped, isTracking, let page = bench.next(domain, iova) else { return }
        log.compare(page.iova <= iova && iova <= page.last, true, "step \(step): page of \(hex(iova)) is \(page)")
        model.set(page.iova, page.last, dirty(page.iova, page.last, true))
    }

    private func dirty(_ first: UInt64, _ last: UInt64, _ isDirty: Bool) -> [Run] {
        model.slice(first, last).map { run in
            var run = run
            run.isDirty = isDirty
            return run
        }
    }

    private mutating func changeTracking() throws {
        if isTracking && random.oneIn(3) {
            try check(bench.stopTracking(domain))
            isTracking = false
            model.set(0, .max, dirty(0, .max, true))
            compareEverything()
        } else {
            try check(bench.startTracking(domain, flags: splits ? CIOMMU_DIRTY_SPLIT : 0))
            isTracking = true
            model.set(0, .max, dirty(0, .max, false))
        }
    }

    private mutating func readBitmap() throws {
        let iova = address()
        let pages = UInt64(1 + random.below(1500))
        let length = min(pages * pageBytes, top - iova)
        let keeps = random.oneIn(3)
        let found = try bench.dirtyBits(
            domain, iova, length, flags: keeps ? CIOMMU_DIRTY_NO_CLEAR : 0)
        var wanted: [Int] = []
        let slice = model.slice(iova, iova + length - 1)
        for run in slice where run.isDirty {
            wanted += Int((run.iova - iova) / pageBytes)...Int((run.last - iova) / pageBytes)
        }
        log.compare(found, wanted, "step \(step): bitmap of \(hex(iova))+\(hex(length))")
        guard !keeps else { return }
        // A page that lies only partly in the range is reported, but keeps its bit.
        var first = iova
        var last = iova + length - 1
        if let page = bench.next(domain, first), page.iova < first { first = page.last + 1 }
        if let page = bench.next(domain, last), page.iova <= last, page.last > last { last = page.iova &- 1 }
        if first <= last, last != .max { model.set(first, last, dirty(first, last, false)) }
    }

    // MARK: Comparing

    /// An address for DMA: what goes to the interrupt range is a message, whatever is mapped there.
    private mutating func somewhere() -> UInt64 {
        while true {
            let iova = anywhere()
            if !(0xfee0_0000...0xfeef_ffff ~= iova) { return iova }
        }
    }

    /// An address that is mapped, most of the time.
    private mutating func anywhere() -> UInt64 {
        guard !model.runs.isEmpty, !random.oneIn(5) else { return address() + UInt64(random.below(4096)) }
        let run = random.pick(model.runs)
        switch random.below(4) {
        case 0: return run.iova
        case 1: return run.last
        case 2: return min(run.last, top - 2) + 1
        default: return run.iova + random.next() % run.length
        }
    }

    private mutating func checkSomeTranslations() throws {
        for _ in 0..<2 {
            let iova = somewhere()
            let flags = CIOMMU_NO_FAULT | (random.oneIn(8) ? CIOMMU_NO_CACHE : 0)
            let answer = try bench.ask(iova, CIOMMU_READ, pasid: pasid, flags: flags)
            let run = model.run(at: iova)
            let isGranted = run.map { $0.rights & CIOMMU_READ != 0 } ?? false
            log.compare(
                answer.isMapped, isGranted,
                "step \(step): read \(hex(iova)), \(answer), model \(String(describing: run))")
            guard answer.isMapped, isGranted, let run else { continue }
            log.compare(answer.address, run.address + (iova - run.iova), "step \(step): address of \(hex(iova))")
            log.compare(answer.rights & ~run.rights, 0, "step \(step): rights of \(hex(iova)) are \(answer.rights)")
            if isTracking && !run.isDirty {
                log.compare(answer.rights & CIOMMU_WRITE, 0, "step \(step): a clean page may be written, \(hex(iova))")
            }
            // The whole page that the answer claims must be so.
            let covered = model.run(at: iova & ~answer.mask)
            log.compare(
                (covered?.last ?? 0) >= iova | answer.mask || covered.map { $0.isDirty != run.isDirty } ?? false, true,
                "step \(step): the answer for \(hex(iova)) covers 2^\(answer.pageLg2)")
        }
    }

    private mutating func compareEverything() {
        let pages = bench.listing(domain)
        if !isTracking {
            let wanted = model.pages(largest: largest)
            if let (found, wanted) = zip(pages, wanted).first(where: { $0 != $1 }) {
                log.record("step \(step): page \(found), wanted \(wanted)")
            }
            log.compare(pages.count, wanted.count, "step \(step): number of pages")
        } else {
            let content = RunMap(pages)
            if let (found, wanted) = zip(content.runs, model.runs).first(where: { $0 != $1 }) {
                log.record("step \(step): run \(found), wanted \(wanted)")
            }
            log.compare(content.runs.count, model.runs.count, "step \(step): number of runs")
            if splits {
                log.compare(pages.allSatisfy { $0.lg2 == 12 }, true, "step \(step): a large page in split mode")
            }
        }
        bench.compareStatistics(domain, pages, width: 48, "step \(step)", &log)
    }
}

@Suite(.serialized)
struct PagingModelTests {
    @Test(arguments: [(UInt32(30), false, 40_000), (21, false, 20_000), (12, false, 20_000), (21, true, 20_000)])
    func randomChangesAgreeWithTheModel(largest: UInt32, splits: Bool, steps: Int) throws {
        let generator = SeededGenerator.forTest()
        var run = try ModelRun(largest: largest, splits: splits, seed: generator)
        try run.run(steps: steps, comparing: 500)
        #expect(run.log.isEmpty, "\(run.log)\nIOMMU_TEST_SEED=\(generator.seed) replays")
    }

    /// The model is strict enough to see a rule broken that needs no second thread.
    @Test(
        .enabled(if: probe_has_mutants()),
        arguments: ["NO_REVALIDATE", "DIRTY_NO_INVALIDATE", "RIGHTS_WITHOUT_D"])
    func aBrokenRuleIsNoticed(_ name: String) throws {
        let generator = SeededGenerator.forTest()
        var run = try ModelRun(largest: 21, splits: false, seed: generator)
        probe_set_mutant(unsafe probe_mutant_number(name))
        defer { probe_set_mutant(0) }
        try run.run(steps: 100_000, comparing: 500)
        #expect(!run.log.isEmpty, "not noticed; IOMMU_TEST_SEED=\(generator.seed) replays")
    }
}
