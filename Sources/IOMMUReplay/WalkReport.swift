// SPDX-License-Identifier: LGPL-2.1-or-later
//
// WalkReport - the whole way of one request over the image of a recording: what `iommu walk` shows.

public import IOMMU

/// One request, walked.
public struct WalkReport: Hashable, Sendable, Codable {
    /// A table entry on the way.
    public struct Step: Hashable, Sendable, Codable {
        /// The kind of table.
        public var table: String
        /// Level of a paging entry, 0 for the leaf table.
        public var level: Int?
        /// Where the entry is.
        public var address: String
        /// The address that this level translates.
        public var input: String
        /// The entry's words; empty when it could not be read.
        public var words: [String]
        /// The fields by name.
        public var fields: [String: String]
    }

    /// How a walk ended.
    public struct End: Hashable, Sendable, Codable {
        /// `mapped`, `fault` or `interrupt`.
        public var outcome: String
        /// Of a mapping: the output address. Of an interrupt: the input address.
        public var address: String?
        /// Of a mapping: bytes of the page.
        public var pageSize: UInt64?
        /// Of a mapping: the rights, such as `RW`.
        public var rights: String?
        /// Of a fault: the code.
        public var code: String?
        /// Of a fault: the code's name.
        public var name: String?
        /// Of a fault: what it means.
        public var text: String?
        /// Of a fault: the reason, whatever the architecture.
        public var reason: String?
        /// Of a fault in a paging entry: its level.
        public var level: Int?
        /// Of a fault: where the entry is.
        public var entryAddress: String?
    }

    /// One walk.
    public struct Walk: Hashable, Sendable, Codable {
        /// Why it was made, if not as the request said.
        public var note: String?
        /// The entries read, in order.
        public var steps: [Step]
        /// How it ended.
        public var end: End
        /// The same as text.
        fileprivate(set) public var lines: [String] = []

        private enum CodingKeys: String, CodingKey {
            case note, steps, end
        }
    }

    /// The request in one line.
    public var request: String
    /// The walk; a second one past the check that ended it, where that shows more.
    public var walks: [Walk]
}

extension WalkReport {
    /// The PASID of the request is refused because the context entry has PASIDE = 0.
    private static let pasidNotEnabled: UInt32 = 0x45

    /// Walks a request.
    public init(
        _ image: ImageUnit, source: SourceID, pasid: PASID?, iova: IOVA, access: AccessRights
    ) throws(ReplayError) {
        let question = Question(source: source, pasid: pasid, iova: iova, access: access, options: [])
        request = "\(question)"
        do throws(IOMMUError) {
            let trace = try question.trace(image.unit)
            walks = [Walk(trace, note: nil)]
            if pasid != nil, trace.result.fault?.code == Self.pasidNotEnabled {
                let beyond = try question.with(adding: .impliedPASID).trace(image.unit)
                walks.append(
                    Walk(
                        beyond,
                        note: "The context entry refuses requests with a PASID (PASIDE=0). "
                            + "What the entry of that PASID would do:"))
            }
        } catch {
            throw .engine(error, doing: "walking \(question)")
        }
    }

    /// The report as text.
    public var text: String {
        var lines = [request]
        for walk in walks {
            if let note = walk.note { lines.append(note) }
            lines += walk.lines.map { "  " + $0 }
        }
        return lines.joined(separator: "\n")
    }
}

extension WalkReport.Walk {
    init(_ trace: WalkTrace, note: String?) {
        self.init(
            note: note, steps: trace.steps.map(WalkReport.Step.init), end: WalkReport.End(trace.result),
            lines: WalkText.lines(trace))
    }
}

extension WalkReport.Step {
    init(_ step: WalkStep) {
        self.init(
            table: "\(step.table)", level: step.level, address: "\(step.address)",
            input: "0x" + String(step.input, radix: 16), words: step.words.map(WalkText.hexadecimal),
            fields: Dictionary(step.fields.map { ($0.name, $0.value) }) { first, _ in first })
    }
}

extension WalkReport.End {
    init(_ result: TranslationResult) {
        switch result {
        case .mapped(let translation):
            self.init(
                outcome: "mapped", address: "\(translation.address)", pageSize: translation.mask &+ 1,
                rights: "\(translation.rights)")
        case .fault(let fault):
            self.init(
                outcome: "fault", code: "0x" + String(fault.code, radix: 16), name: fault.codeName,
                text: fault.codeText, reason: "\(fault.reason)", level: fault.level,
                entryAddress: fault.entryAddress.map { "\($0)" })
        case .interrupt(let address):
            self.init(outcome: "interrupt", address: "\(address)")
        }
    }
}
