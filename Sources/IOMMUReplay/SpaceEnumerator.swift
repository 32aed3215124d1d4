// SPDX-License-Identifier: LGPL-2.1-or-later
//
// SpaceEnumerator - finds every mapping of an address space by asking the engine: no second table walker that could differ.

public import IOMMU

/// One page of an address space.
public struct SpaceMapping: Hashable, Sendable {
    /// First input address.
    public let iova: UInt64
    /// First output address.
    public let output: UInt64
    /// Bytes.
    public let size: UInt64
    /// The rights.
    public let rights: AccessRights
}

/// Asks about one source, address by address, in steps as large as the answers allow.
public struct SpaceEnumerator {
    private let image: ImageUnit
    private let source: SourceID
    private let pasid: PASID?
    private let budget: QuestionBudget

    /// Prepares to ask.
    ///
    /// - Parameters:
    ///   - image: The unit.
    ///   - source: Whose address space.
    ///   - pasid: In scalable mode, which one.
    public init(_ image: ImageUnit, source: SourceID, pasid: PASID?) {
        self.init(image, source: source, pasid: pasid, budget: QuestionBudget())
    }

    /// The same with a budget that others use too.
    init(_ image: ImageUnit, source: SourceID, pasid: PASID?, budget: QuestionBudget) {
        self.image = image
        self.source = source
        self.pasid = pasid
        self.budget = budget
    }

    /// Calls `body` for every mapping, by rising input address.
    ///
    /// - Returns: False if there was more than can be asked for.
    public func enumerate(_ body: (SpaceMapping) -> Void) throws(ReplayError) -> Bool {
        var iova: UInt64 = 0
        while budget.take() {
            let question = Question(
                source: source, pasid: pasid, iova: IOVA(iova), access: [],
                options: pasid == nil ? .noFault : [.noFault, .impliedPASID])
            let next: UInt64?
            do throws(IOMMUError) {
                switch try question.ask(image.port) {
                case .mapped(let translation):
                    let base = iova & ~translation.mask
                    body(
                        SpaceMapping(
                            iova: base, output: translation.address.rawValue & ~translation.mask,
                            size: translation.mask &+ 1, rights: translation.rights))
                    next = Self.after(iova, mask: translation.mask)
                case .interrupt:
                    next = Self.after(iova, mask: 0xf_ffff)
                case .fault(let fault):
                    next = try afterFault(fault, question)
                }
            } catch {
                throw .engine(error, doing: "asking about \(question)")
            }
            guard let next else { return true }
            iova = next
        }
        return false
    }

    /// The address after the block of size `mask` + 1; nil after the last one.
    private static func after(_ iova: UInt64, mask: UInt64) -> UInt64? {
        let last = iova | mask
        return last == .max ? nil : last + 1
    }

    /// Where to go on after a fault; nil if nothing more can be mapped.
    private func afterFault(_ fault: Fault, _ question: Question) throws(IOMMUError) -> UInt64? {
        let iova = question.iova.rawValue
        switch fault.reason {
        case .inputAddress:
            // Not canonical: the upper half of a first stage is still to come. Otherwise the space has ended.
            let widths: [UInt64] = [48, 57]
            let isCanonicalGap = fault.code == 0x80 && widths.contains { iova == 1 << ($0 - 1) }
            return isCanonicalGap ? 0 &- iova : nil
        case .configAbsent, .configInvalid, .requestBlocked, .aborted:
            return nil
        default:
            break
        }
        guard fault.stage == .nested else {
            guard let level = fault.level else { return nil }
            return Self.after(iova, mask: Self.span(level))
        }
        // The level is the second stage's. What it hid is what the last first-stage entry spans.
        let entry = try question.trace(image.unit).steps.last { $0.table == .firstStage }
        guard let entry, let level = entry.level, let word = entry.words.first else { return nil }
        let isLeaf = level == 0 || word & 1 << 7 != 0
        return Self.after(iova, mask: Self.span(isLeaf ? 0 : level))
    }

    /// What an entry of a level spans, - 1.
    private static func span(_ level: Int) -> UInt64 {
        let bits = 12 + 9 * UInt64(level)
        return bits >= 64 ? .max : (1 << bits) - 1
    }
}
