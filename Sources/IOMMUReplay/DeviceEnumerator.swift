// SPDX-License-Identifier: LGPL-2.1-or-later
//
// DeviceEnumerator - finds every device and PASID that the tables of an image bind, by asking the engine.

internal import IOMMU

/// A device-table entry, or a PASID-table entry, that is present.
struct BoundEntry {
    let source: SourceID
    /// The PASID; nil in legacy mode.
    let pasid: PASID?
    /// The entries on the way, the last of which is this one.
    let steps: [WalkStep]
    /// Why requests are refused before any paging structure is looked at; nil if they are not.
    let fault: Fault?

    /// What identifies the address space: the words of the entry.
    var key: [UInt64] { steps.last?.words ?? [] }
}

/// Asks about every source id.
struct DeviceEnumerator {
    let image: ImageUnit
    let budget: QuestionBudget

    /// All present entries, by source and PASID, and faults of root entries that are present but wrong.
    func entries() throws(ReplayError) -> [BoundEntry] {
        var entries: [BoundEntry] = []
        do throws(IOMMUError) {
            for bus in 0..<UInt32(256) {
                var device: UInt32 = 0
                while device < 256, budget.take() {
                    let source = SourceID(bus << 8 | device)
                    let found = try self.entries(of: source)
                    entries += found.entries
                    device = found.skipsHalf ? (device < 128 ? 128 : 256) : device + 1
                }
            }
        } catch {
            throw .engine(error, doing: "asking about devices")
        }
        return entries
    }

    /// The entries of one source; `skipsHalf` if the root entry of its half of the bus leads nowhere.
    private func entries(of source: SourceID) throws(IOMMUError) -> (entries: [BoundEntry], skipsHalf: Bool) {
        let question = Question(source: source, pasid: nil, iova: 0, access: [], options: [])
        let trace = try question.trace(image.unit)
        guard let last = trace.steps.last(where: { $0.table != .firstStage && $0.table != .secondStage }) else {
            return ([], true)
        }
        let fault = trace.result.fault.flatMap { Self.isOfTables($0) ? $0 : nil }
        switch last.table {
        case .root, .scalableRoot:
            guard let fault, fault.reason != .configAbsent else { return ([], true) }
            return ([BoundEntry(source: source, pasid: nil, steps: trace.steps, fault: fault)], true)
        case .context:
            guard Self.isPresent(last) else { return ([], false) }
            return ([BoundEntry(source: source, pasid: nil, steps: Self.upTo(last, trace), fault: fault)], false)
        default:
            guard let context = trace.steps.first(where: { $0.table == .scalableContext }), Self.isPresent(context)
            else { return ([], false) }
            return (try pasidEntries(of: source, context), false)
        }
    }

    /// The PASID-table entries under a scalable-mode context entry.
    private func pasidEntries(of source: SourceID, _ context: WalkStep) throws(IOMMUError) -> [BoundEntry] {
        var entries: [BoundEntry] = []
        let end = min(1 << (UInt32(context.words[0] >> 9 & 7) + 13), 1 << UInt32(PASID.bitWidth))
        var number: UInt32 = 0
        while number < end, let pasid = PASID(number), budget.take() {
            let question = Question(source: source, pasid: pasid, iova: 0, access: [], options: .impliedPASID)
            let trace = try question.trace(image.unit)
            guard let entry = trace.steps.last(where: { $0.table == .pasid }) else {
                // Nothing under this directory entry, or the context entry is refused as a whole.
                let fault = trace.result.fault
                guard trace.steps.contains(where: { $0.table == .pasidDirectory }) else {
                    return [BoundEntry(source: source, pasid: nil, steps: trace.steps, fault: fault)]
                }
                if let fault, fault.reason != .configAbsent {
                    entries.append(BoundEntry(source: source, pasid: pasid, steps: trace.steps, fault: fault))
                }
                number = (number | 63) + 1
                continue
            }
            if Self.isPresent(entry) {
                let fault = trace.result.fault.flatMap { Self.isOfTables($0) ? $0 : nil }
                entries.append(
                    BoundEntry(source: source, pasid: pasid, steps: Self.upTo(entry, trace), fault: fault))
            }
            number += 1
        }
        return entries
    }

    private static func isPresent(_ step: WalkStep) -> Bool {
        step.words.first.map { $0 & 1 != 0 } ?? true
    }

    /// The steps up to an entry: the paging structures of address 0 are of no interest.
    private static func upTo(_ step: WalkStep, _ trace: WalkTrace) -> [WalkStep] {
        guard let index = trace.steps.firstIndex(of: step) else { return trace.steps }
        return Array(trace.steps[...index])
    }

    /// The fault is of the device and PASID tables, not of the paging structures or of the address 0.
    private static func isOfTables(_ fault: Fault) -> Bool {
        switch fault.reason {
        case .configAbsent, .configInvalid, .requestBlocked, .aborted: true
        case .tableAccess: fault.stage == .none
        default: false
        }
    }
}
