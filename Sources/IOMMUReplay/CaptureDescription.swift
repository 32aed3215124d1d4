// SPDX-License-Identifier: LGPL-2.1-or-later
//
// CaptureDescription - the unit's capabilities, the device and PASID tables, and each address space with its mappings: what
// `iommu describe` shows.

internal import IOMMU
public import IOMMUCapture

/// A recording's image in words.
public struct CaptureDescription: Hashable, Sendable, Codable {
    /// A name and its value.
    public struct Property: Hashable, Sendable, Codable {
        /// The name.
        public var name: String
        /// The value.
        public var value: String
    }

    /// A present context entry or PASID-table entry.
    public struct Entry: Hashable, Sendable, Codable {
        /// The device.
        public var source: String
        /// The PASID; nil in legacy mode.
        public var pasid: UInt32?
        /// Fields of the context entry, then of the PASID-table entry.
        public var fields: [Property]
        /// Why requests are refused; nil if they are not.
        public var fault: String?
        /// Position in ``CaptureDescription/spaces``; nil if there is none.
        public var space: Int?
    }

    /// Adjacent mappings with the same size and rights.
    public struct Range: Hashable, Sendable, Codable {
        /// First input address.
        public var iova: String
        /// Last input address.
        public var last: String
        /// First output address.
        public var output: String
        /// Bytes of a page.
        public var pageSize: UInt64
        /// Pages.
        public var pages: Int
        /// The rights, such as `RW`.
        public var rights: String
    }

    /// An address space, with all devices that have it.
    public struct Space: Hashable, Sendable, Codable {
        /// The devices, with `/pasid` in scalable mode.
        public var sources: [String]
        /// What it translates with.
        public var kind: String
        /// The domain id.
        public var domain: UInt64
        /// Mapped pages.
        public var pages: Int
        /// The mappings, merged.
        public var ranges: [Range]
        /// False if there is more than can be enumerated.
        public var isComplete: Bool
    }

    /// Name of the capture folder.
    public var capture: String
    /// Root table, mode and state.
    public var unit: [Property]
    /// The capabilities by name.
    public var capabilities: [Property]
    /// The device and PASID tables.
    public var entries: [Entry]
    /// The address spaces.
    public var spaces: [Space]
    /// False if there is more than can be enumerated.
    public var isComplete: Bool
}

extension CaptureDescription {
    /// Describes a recording.
    public init(_ capture: Capture) throws(ReplayError) {
        let image = try ImageUnit(capture)
        self.capture = capture.name
        let modes = ["legacy", "scalable", "reserved (2)", "abort"]
        unit = [
            Property(name: "RTADDR", value: "0x" + String(capture.registers.rootTableAddress, radix: 16)),
            Property(name: "mode", value: modes[capture.registers.tableMode]),
            Property(name: "translation", value: capture.registers.isTranslationEnabled ? "enabled" : "disabled"),
        ]
        capabilities = image.unit.capabilities.properties.map { Property(name: $0.name, value: $0.value) }
        entries = []
        spaces = []
        isComplete = true
        guard capture.registers.isTranslationEnabled else { return }
        let budget = QuestionBudget()
        var known: [[UInt64]: Int] = [:]
        for entry in try DeviceEnumerator(image: image, budget: budget).entries() {
            var position: Int?
            if entry.fault == nil, let last = entry.steps.last {
                position = known[entry.key]
                let name = entry.pasid.map { "\(entry.source)/\($0)" } ?? "\(entry.source)"
                if let position {
                    spaces[position].sources.append(name)
                } else {
                    position = spaces.count
                    known[entry.key] = position
                    spaces.append(try Self.space(image, entry, last, budget))
                    spaces[spaces.count - 1].sources = [name]
                }
            }
            entries.append(Entry(entry, space: position))
        }
        isComplete = !budget.isSpent
    }

    /// Enumerates one address space.
    private static func space(
        _ image: ImageUnit, _ entry: BoundEntry, _ last: WalkStep, _ budget: QuestionBudget
    ) throws(ReplayError) -> Space {
        let isLegacy = last.table == .context
        let type = Int(isLegacy ? last.words[0] >> 2 & 3 : last.words[0] >> 6 & 7)
        let kinds =
            isLegacy
            ? ["second stage", "second stage, ATS", "pass-through"]
            : ["none", "first stage", "second stage", "nested", "pass-through"]
        let kind = type < kinds.count ? kinds[type] : "reserved"
        var merger = RangeMerger()
        var isComplete = true
        if kind != "pass-through" {
            let enumerator = SpaceEnumerator(image, source: entry.source, pasid: entry.pasid, budget: budget)
            isComplete = try enumerator.enumerate { merger.add($0) }
        }
        return Space(
            sources: [], kind: kind, domain: last.words[1] >> (isLegacy ? 8 : 0) & 0xffff, pages: merger.pages,
            ranges: merger.ranges.map(Range.init), isComplete: isComplete)
    }
}

extension CaptureDescription.Entry {
    init(_ entry: BoundEntry, space: Int?) {
        let steps = entry.steps.filter { [.context, .scalableContext, .pasid].contains($0.table) }
        self.init(
            source: "\(entry.source)", pasid: entry.pasid?.rawValue,
            fields: steps.flatMap { step in
                step.fields.map { CaptureDescription.Property(name: $0.name, value: $0.value) }
            },
            fault: entry.fault.map { WalkText.line(.fault($0)) }, space: space)
    }
}

extension CaptureDescription.Range {
    init(_ range: RangeMerger.Merged) {
        self.init(
            iova: "0x" + String(range.iova, radix: 16), last: "0x" + String(range.last, radix: 16),
            output: "0x" + String(range.output, radix: 16), pageSize: range.pageSize, pages: range.pages,
            rights: "\(range.rights)")
    }
}
