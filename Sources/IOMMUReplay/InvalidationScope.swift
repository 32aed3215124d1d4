// SPDX-License-Identifier: LGPL-2.1-or-later
//
// InvalidationScope - what a VT-d descriptor drops, read from its words without the engine's help [FORMATS-VTD C2, C3]: a proof
// about the engine must not rest on the engine.

internal import IOMMU
internal import IOMMUCapture

/// What one invalidation descriptor covers.
struct InvalidationScope {
    /// Who a request was bound to at one moment: what tags its cached answers.
    struct Binding: Hashable {
        let domain: UInt32
        let pasid: UInt32
        /// First-stage-only translation, which page-selective invalidations of type 2 do not reach.
        let isFirstStageOnly: Bool
        /// Paging structures of the first stage, or none (pass-through).
        let isReachedByPASID: Bool
    }

    private let type: UInt64
    private let granularity: UInt64
    private let q0: UInt64
    private let q1: UInt64

    init(_ descriptor: EventStream.Descriptor) {
        q0 = descriptor.words.q0
        q1 = descriptor.words.q1
        type = (q0 >> 5 & 0x70) | (q0 & 15)
        granularity = q0 >> 4 & 3
    }

    /// Everything of every device is dropped.
    var coversEverything: Bool {
        (type == 1 || type == 2) && granularity == 1 || type == 7 && granularity == 3
    }

    /// A cached answer to this request, found under this binding, is dropped. Of a request that was not bound nothing is cached.
    func covers(_ question: Question, _ binding: Binding?) -> Bool {
        guard let binding else { return false }
        let domain = UInt32(q0 >> 16 & 0xffff)
        let pasid = UInt32(q0 >> 32 & 0xf_ffff)
        switch (type, granularity) {
        case (1, 2):
            return domain == binding.domain
        case (1, 3):
            // FM: how many low bits of the function do not count.
            let ignored: [UInt32] = [0, 4, 6, 7]
            let difference = UInt32(q0 >> 32 & 0xffff) ^ question.source.rawValue
            return difference & ~ignored[Int(q0 >> 48 & 3)] == 0
        case (2, 2):
            return domain == binding.domain
        case (2, 3):
            return domain == binding.domain && !binding.isFirstStageOnly && coversPage(question.iova)
        case (6, 2):
            return domain == binding.domain && pasid == binding.pasid
        case (6, 3):
            return domain == binding.domain && pasid == binding.pasid && binding.isReachedByPASID
                && coversPage(question.iova)
        case (7, 0):
            return domain == binding.domain
        case (7, 1):
            return domain == binding.domain && pasid == binding.pasid
        default:
            return coversEverything
        }
    }

    /// ADDR and AM: 2^AM pages, naturally aligned.
    private func coversPage(_ iova: IOVA) -> Bool {
        let shift = (q1 & 63) + 12
        return shift >= 64 || iova.rawValue >> shift == q1 >> shift
    }
}

extension InvalidationScope.Binding {
    /// Reads who a walk found the request bound to; nil if it did not come that far.
    init?(_ trace: WalkTrace) {
        if let context = trace.steps.first(where: { $0.table == .context }), context.words.count == 2 {
            self.init(
                domain: UInt32(context.words[1] >> 8 & 0xffff), pasid: 0, isFirstStageOnly: false,
                isReachedByPASID: false)
            return
        }
        guard let entry = trace.steps.first(where: { $0.table == .pasid }), entry.words.count == 8,
            let directory = trace.steps.first(where: { $0.table == .pasidDirectory }),
            let context = trace.steps.first(where: { $0.table == .scalableContext }), let base = context.words.first
        else { return nil }
        // The places of the entries say which PASID was looked up.
        let high = (directory.address.rawValue &- (base & 0x000f_ffff_ffff_f000)) >> 3
        let pasid = UInt32(truncatingIfNeeded: high << 6 | (entry.address.rawValue >> 6 & 63))
        let type = entry.words[0] >> 6 & 7
        self.init(
            domain: UInt32(entry.words[1] & 0xffff), pasid: pasid, isFirstStageOnly: type == 1,
            isReachedByPASID: type != 2)
    }
}
