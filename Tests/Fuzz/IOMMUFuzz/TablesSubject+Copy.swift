// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Reading guest memory through any tables: as many bytes as the reference can translate one page after the other, those that stand
// there, and the same reason for an early end.

import IOMMU
import IOMMUTestSupport

extension TablesSubject {
    /// How a copy ended.
    private enum Ending: Equatable {
        case complete, interrupt, noMemory
        case fault(UInt32)
    }

    func checkCopy(_ request: DMARequest, count: Int) throws {
        var request = request
        // Pages are translated ahead of the copy: what is marked depends on how far.
        request.leavesMarks = true
        request.isQuiet = true
        request.kind = .untranslated
        request.access = request.access.contains(.privileged) ? [.read, .privileged] : [.read]
        guard request.iova <= .max - UInt64(count) else { return }
        try settle()
        let (wanted, ending) = copied(request, count: count)
        // As large as the copy, so that a byte too much is noticed.
        let room = UnsafeMutableRawBufferPointer.allocate(byteCount: count, alignment: 1)
        defer { unsafe room.deallocate() }
        let progress = try unsafe port.read(
            into: room, from: IOVA(request.iova), source: SourceID(UInt32(request.source)),
            pasid: request.pasid.flatMap { PASID($0) }, access: request.access.rights, options: request.options)
        compare(progress.count, wanted.count, request, "copied of \(count)")
        compare(Self.ending(progress), ending, request, "end of a copy of \(count)")
        compare(unsafe Array(room.prefix(progress.count)), wanted, request, "bytes copied")
    }

    private func copied(_ request: DMARequest, count: Int) -> ([UInt8], Ending) {
        var bytes: [UInt8] = []
        while bytes.count < count {
            var part = request
            part.iova += UInt64(bytes.count)
            let length = min(count - bytes.count, 4096 - Int(part.iova & 0xfff))
            switch expected(part) {
            case .fault(let fault): return (bytes, .fault(fault.code))
            case .interrupt: return (bytes, .interrupt)
            case .mapped(let answer):
                guard image.contains(answer.address) else { return (bytes, .noMemory) }
                for address in answer.address..<answer.address + UInt64(length) {
                    bytes.append(UInt8(truncatingIfNeeded: image.load(address & ~7) >> ((address & 7) * 8)))
                }
            }
        }
        return (bytes, .complete)
    }

    private static func ending(_ progress: CopyProgress) -> Ending {
        switch progress.end {
        case .complete: .complete
        case .interrupt: .interrupt
        case .noHostMemory: .noMemory
        case .fault(let fault): .fault(fault.code)
        case .readOnly: finding("a read ended at memory that cannot be written")
        }
    }
}
