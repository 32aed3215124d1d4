// SPDX-License-Identifier: LGPL-2.1-or-later
//
// What answers cost in loads of table words: without caches and marks exactly what a trace tells, with them not much more, and
// however often a guest is faster than a mark, a bounded number.

import CIOMMUProbe
import IOMMU
import IOMMUTestSupport

extension TablesSubject {
    /// Entries of several words are read twice, and of a scalable root entry both halves: root, context and PASID entry.
    private static let mostAgain = 3 + 4 + 8

    /// Loads of a walk whose every attempt to mark is lost, in both stages of it.
    private static let mostLoads: Int = {
        let attempts = 64
        let second = attempts * 5 * 2
        return 2 * (mostAgain + 14) + 2 * attempts * (5 * 2 + (5 + 5 + 1) * second)
    }()

    /// What a call loads, beside its result.
    func counted<Result>(_ call: () throws -> Result) rethrows -> (result: Result, loads: Int) {
        let before = probe_guest_loads()
        let result = try call()
        return (result, Int(probe_guest_loads() - before))
    }

    /// The most that an answer may load for which the reference has read and written so much.
    ///
    /// A cached way that ends nowhere costs a walk as well.
    func mostLoads(isCached: Bool) -> Int {
        (isCached ? 2 : 1) * (image.reads.count + image.writes + Self.mostAgain) + (isCached ? 2 : 0)
    }

    func compareLoads(_ loads: Int, _ most: Int, _ request: DMARequest, _ way: String) {
        if loads > most { finding("\(way): \(loads) loads, at most \(most) expected: \(request)\n\(story(request))") }
    }

    /// Without caches and marks: each word of a trace, and once more those of entries that have several.
    func checkLoads(_ request: DMARequest, _ trace: WalkTrace) throws {
        let wanted = trace.steps.reduce(0) { $0 + ($1.words.count > 1 ? 2 : 1) * $1.words.count }
        let (_, loads) = try counted { try other.answer(request, isCached: false) }
        compare(loads, wanted, request, "loads without caches")
    }

    /// The guest is faster than `times` marks, fewer than the attempts for one: nothing changes. Without a number it is faster than
    /// all of them: the first one is a fault, and leaves nothing.
    func checkLostMarks(_ request: DMARequest, times: Int?) throws {
        var request = request
        request.isQuiet = true
        try settle()
        image.startDisturbing(times: times ?? Int(UInt32.max))
        let (found, loads) = try counted { try port.answer(request) }
        let lost = image.endDisturbing()
        if times != nil || lost == 0 {
            compare(found, expected(request), request, "with \(lost) lost marks")
        } else if found.fault == nil {
            finding("\(lost) lost marks, and \(request): \(found)")
        }
        compareMemory(request)
        tablesChanged()
        if loads > Self.mostLoads { finding("\(loads) loads, and \(lost) lost marks: \(request)") }
    }
}
