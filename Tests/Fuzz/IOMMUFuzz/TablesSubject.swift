// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A unit and the reference over the two copies of an image, and every way to ask the unit, compared.

import IOMMU
import IOMMUTestSupport

final class TablesSubject {
    /// Entries of the longest walk: root, context, directory, PASID entry, and five levels each found by five others, and then
    /// five for the result.
    static let mostEntries = 4 + 5 * (5 + 1) + 5

    let model: UnitModel
    let image: GuardedImage
    private let unit: RemappingUnit
    let port: Port
    let other: Port
    private var reference: ReferenceTranslator
    /// Tables changed since the unit was told to forget.
    private var isStale = true

    init(_ model: UnitModel, isTiny: Bool, _ image: GuardedImage) throws {
        self.model = model
        self.image = image
        var configuration = RemappingUnit.Configuration()
        configuration.usesWideLoads = !isTiny
        configuration.iotlbEntries = isTiny ? 4 : 64
        configuration.firstLevelEntries = isTiny ? 2 : 16
        configuration.walkCacheEntries = isTiny ? 2 : 16
        configuration.bindings = isTiny ? 2 : 16
        configuration.addressSpaces = isTiny ? 2 : 16
        configuration.domains = 0
        configuration.ports = 3
        configuration.pooledPorts = 1
        configuration.faultEntries = 256
        unit = try RemappingUnit(
            capabilities: model.capabilities(), memory: image.memory, configuration: configuration)
        port = try unit.makePort()
        other = try unit.makePort()
        reference = ReferenceTranslator(
            model: model, read: { image.readAsReference($0) }, write: { image.writeAsReference($0, $1) })
    }

    // MARK: State

    func begin(rootRegister: UInt64) throws {
        try unit.reset()
        try setRoot(rootRegister)
        try setTranslation(true)
        _ = port.takeFaults(max: 256)
        _ = other.takeFaults(max: 256)
        isStale = true
    }

    func setRoot(_ register: UInt64) throws {
        try unit.setRootTable(register)
        reference.rootRegister = register
    }

    func setTranslation(_ isEnabled: Bool) throws {
        try unit.setTranslation(enabled: isEnabled)
        reference.isTranslationEnabled = isEnabled
    }

    func tablesChanged() { isStale = true }

    /// What the guest owes the unit after a change.
    func settle() throws {
        guard isStale else { return }
        for kind in [Invalidation.Kind.context, .pasid, .translations] { try unit.invalidate(Invalidation(kind)) }
        isStale = false
    }

    /// The reference's answer; marks that it sets make what is cached stale, for tables may lie anywhere.
    func expected(_ request: DMARequest) -> Answer {
        image.startLog()
        let answer = reference.translate(request)
        if image.writes > 0 { isStale = true }
        return answer
    }

    // MARK: Questions

    func check(_ request: DMARequest, isWithoutPort: Bool) throws {
        try checkTrace(request)
        let wanted = expected(request)
        let (found, loads) = try counted { try other.answer(request, isCached: false) }
        compare(found, wanted, request, "without caches")
        compareLoads(loads, mostLoads(isCached: false), request, "without caches")
        compareMemory(request)
        // Cold and warm. The second time nothing is left to mark, and what was cached must say the same.
        for name in ["with caches", "from caches", "from caches again"] {
            try settle()
            let wanted = expected(request)
            let (result, loads) = try counted { try port.result(request) }
            compare(Answer(result), wanted, request, name)
            checkRun(result, request)
            compareLoads(loads, mostLoads(isCached: true), request, name)
            compareMemory(request)
        }
        drop()
        guard isWithoutPort else { return }
        // Quiet, for nobody empties the rings of the unit's own ports.
        var quiet = request
        quiet.isQuiet = true
        try settle()
        let again = expected(quiet)
        let result = try unit.translate(
            IOVA(quiet.iova), access: quiet.access.rights, source: SourceID(UInt32(quiet.source)),
            pasid: quiet.pasid.flatMap { PASID($0) }, options: quiet.options)
        compare(Answer(result), again, quiet, "without a port")
        compareMemory(quiet)
    }

    /// All requests at once, with and without caches.
    func checkBatch(_ requests: [DMARequest]) throws {
        for isCached in [false, true] where !requests.isEmpty {
            // The first round may set marks that another request's tables are made of; then nothing is left to set.
            for round in 0..<2 {
                try settle()
                var most = 0
                let wanted = requests.map { request in
                    let answer = expected(request)
                    most += mostLoads(isCached: isCached)
                    return answer
                }
                let asked = requests.map { Request($0, isCached: isCached) }
                let (found, loads) = try counted { try port.translate(asked) }
                compareLoads(loads, most, requests[0], "a batch of \(requests.count)")
                if isCached, isStale, round == 0 { continue }
                for (index, request) in requests.enumerated() {
                    compare(Answer(found[index]), wanted[index], request, "number \(index) of a batch")
                }
                compareMemory(requests[0])
                drop()
            }
            isStale = true
        }
    }

    /// A trace marks nothing, and tells of each entry that the reference reads, in its order.
    private func checkTrace(_ request: DMARequest) throws {
        var quiet = request
        quiet.leavesMarks = true
        quiet.isQuiet = true
        let wanted = expected(quiet)
        let reads = image.reads
        let trace = try trace(quiet)
        try checkLoads(quiet, trace)
        compare(Answer(trace.result), wanted, quiet, "traced")
        expect(trace.isTruncated, false, "\(quiet): the trace is truncated")
        let found = trace.steps.flatMap { step in
            // The engine takes both halves of a scalable root entry, the reference the one that counts.
            let isOther: (Int) -> Bool = { step.table == .scalableRoot && $0 != Int(request.source >> 7 & 1) }
            return step.words.indices.filter { !isOther($0) }.map { step.address.rawValue + UInt64($0 * 8) }
        }
        if found != reads || trace.steps.count > Self.mostEntries {
            finding(
                """
                entries read: \(quiet)
                  engine:    \(found.map { text($0) })
                  reference: \(reads.map { text($0) })
                \(story(quiet))
                """)
        }
    }

    private func trace(_ request: DMARequest) throws -> WalkTrace {
        try unit.trace(
            IOVA(request.iova), access: request.access.rights, source: SourceID(UInt32(request.source)),
            pasid: request.pasid.flatMap { PASID($0) }, options: request.options)
    }

    // MARK: Comparing

    /// Faults are recorded in rings; a full one would say that nothing was recorded.
    private func drop() {
        _ = port.takeFaults(max: 256)
        _ = other.takeFaults(max: 256)
    }

    func compare<Value: Equatable>(_ found: Value, _ wanted: Value, _ request: DMARequest, _ way: String) {
        if found == wanted { return }
        finding("\(way): \(request)\n  found:  \(found)\n  wanted: \(wanted)\n\(story(request))")
    }

    func compareMemory(_ request: DMARequest) {
        let differences = image.differences
        if differences.isEmpty { return }
        finding("memory after \(request)\n  \(differences.joined(separator: "\n  "))\n\(story(request))")
    }

    func story(_ request: DMARequest) -> String {
        let root = "\(model), root \(text(reference.rootRegister)), enabled \(reference.isTranslationEnabled)"
        guard let steps = try? trace(request).steps else { return root }
        let lines = steps.map { step in
            "  \(step.table) level \(step.level.map(String.init) ?? "-") input \(text(step.input)) at "
                + "\(step.address): \(step.words.map { text($0) }.joined(separator: " "))"
        }
        return ([root] + lines).joined(separator: "\n")
    }
}

extension Request {
    init(_ request: DMARequest, isCached: Bool) {
        var options = request.options
        if !isCached { options.insert(.noCache) }
        self.init(
            source: SourceID(UInt32(request.source)), pasid: request.pasid.flatMap { PASID($0) },
            iova: IOVA(request.iova), access: request.access.rights, options: options)
    }
}
