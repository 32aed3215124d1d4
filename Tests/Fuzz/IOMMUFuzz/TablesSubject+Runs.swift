// SPDX-License-Identifier: LGPL-2.1-or-later
//
// How far an answer runs on, and what a device writes with it: the reference translates the last byte of the run as well, and finds
// each written byte in its own copy.

import IOMMU
import IOMMUTestSupport

extension TablesSubject {
    /// The last byte of a run is where the first one's page says, in the same memory, and may be used in the same ways.
    func checkRun(_ result: TranslationResult, _ request: DMARequest) {
        guard let run = result.translation else { return }
        let (first, more) = (run.address.rawValue, run.contiguousBytes &- 1)
        let last = request.iova &+ more
        // Messages have no pages.
        let page = run.isUntranslatedOnly && first >> 20 == 0xfee ? 0xf_ffff : run.mask
        if run.contiguousBytes == 0 || last < request.iova || (request.iova ^ last) & ~page != 0 {
            finding("a run of \(run.contiguousBytes) bytes: \(request)\n\(story(request))")
        }
        if image.contains(first), image.bytesLeft(first) <= more {
            finding("a run of \(run.contiguousBytes) bytes leaves its memory: \(request)\n\(story(request))")
        }
        guard request.kind == .untranslated else { return }
        var end = request
        (end.iova, end.leavesMarks, end.isQuiet) = (last, true, true)
        guard let answer = expected(end).mapped, answer.address == first &+ more,
            answer.rights == Answer(result).mapped?.rights
        else {
            finding("a run of \(run.contiguousBytes) bytes ends elsewhere: \(request)\n\(story(request))")
        }
    }

    /// A device writes up to eight bytes of one page: they are where the reference says, and nowhere else.
    func checkStore(_ request: DMARequest, bytes: UInt64) throws {
        var request = request
        request.isQuiet = true
        request.kind = .untranslated
        request.access = request.access.contains(.privileged) ? [.write, .privileged] : [.write]
        let count = Int(min(8, 4096 - request.iova & 0xfff))
        try settle()
        let wanted = expected(request)
        let written = (0..<count).map { UInt8(truncatingIfNeeded: bytes >> UInt64($0 * 8)) }
        let progress = try port.write(
            written.span, to: IOVA(request.iova), source: SourceID(UInt32(request.source)),
            pasid: request.pasid.flatMap { PASID($0) }, access: request.access.rights, options: request.options)
        var found = 0
        if let address = wanted.mapped?.address {
            while found < count, image.storeAsDevice(written[found], at: address + UInt64(found)) { found += 1 }
        }
        compare(progress.count, found, request, "written of \(count)")
        compare(progress.fault?.code, wanted.fault?.code, request, "end of a write")
        compareMemory(request)
        // Tables may lie there.
        tablesChanged()
    }
}

extension Port {
    /// All that an answer says.
    func result(_ request: DMARequest) throws -> TranslationResult {
        try translate(
            IOVA(request.iova), access: request.access.rights, source: SourceID(UInt32(request.source)),
            pasid: request.pasid.flatMap { PASID($0) }, options: request.options)
    }
}
