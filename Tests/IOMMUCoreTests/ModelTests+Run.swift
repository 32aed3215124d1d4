// SPDX-License-Identifier: LGPL-2.1-or-later
//
// One episode of a model test: a world, an engine and the reference over identical copies of it, and a random sequence of requests
// and of changes that the guest follows with the invalidations that they need.

import IOMMU
import IOMMUTestSupport

/// An episode. All randomness comes from its generator.
struct ModelRun {
    let world: ModelWorld
    let bench: TestBench
    /// With caches, answers are compared after proper invalidation; without, everything is compared at once.
    let isCached: Bool
    private var random: SeededGenerator
    private var isConfigurationSound = true
    private(set) var requests = 0
    private(set) var faults = 0
    private(set) var changes = 0

    init(
        isScalable: Bool, model: UnitModel, isCached: Bool, configuration: RemappingUnit.Configuration,
        random: SeededGenerator
    ) throws {
        var random = random
        world = ModelWorld(isScalable: isScalable, model: model, random: &random)
        bench = try TestBench(
            world.image, model: model, rootRegister: world.builder.rootRegister, configuration: configuration)
        self.isCached = isCached
        self.random = random
    }

    /// The unit translates by the world's own tables.
    private var isTranslating: Bool {
        bench.reference.isTranslationEnabled && bench.reference.rootRegister == world.builder.rootRegister
    }

    private func restart() throws {
        try bench.setRoot(world.builder.rootRegister)
        try bench.setTranslation(true)
    }

    /// Runs the episode. `label` names it, to be found again.
    mutating func run(steps: Int, label: String, _ log: inout MismatchLog) throws {
        let sound = world.image.copy()
        for step in 0..<steps where !log.isFull {
            let place = "\(label) step \(step)"
            if !isTranslating && random.oneIn(12) { try restart() }
            switch random.below(100) {
            case 0..<80: try ask(place, &log)
            case 80..<95: try changePaging()
            case 95..<98: try changeConfiguration(sound)
            case 98: try changeMemory()
            default: try changeUnit()
            }
            if step % 256 == 255 { log.compare(bench.differences, [], "\(place): marks") }
        }
        log.compare(bench.differences, [], "\(label): marks at the end")
    }

    // MARK: Requests

    private mutating func ask(_ place: @autoclosure () -> String, _ log: inout MismatchLog) throws {
        let request = randomRequest()
        let wanted = bench.expected(request)
        let found = try bench.answer(request)
        requests += 1
        if wanted.fault != nil { faults += 1 }
        if isCached && isAllowedFromCache(found, wanted, request) { return }
        log.compare(found, wanted, "\(place()): \(request)")
    }

    /// A cached entry may lack the right to write when the dirty bit was set by somebody else's write: a write then walks.
    private func isAllowedFromCache(_ found: Answer, _ wanted: Answer, _ request: DMARequest) -> Bool {
        guard !request.access.contains(.write), var answer = found.mapped, let expected = wanted.mapped,
            expected.rights.contains(.write)
        else { return false }
        answer.rights.insert(.write)
        return answer == expected
    }

    private mutating func randomRequest() -> DMARequest {
        let binding = random.pick(world.bindings)
        let isScalable = world.builder.isScalable
        var request = DMARequest(
            source: random.oneIn(40) ? UInt16(truncatingIfNeeded: random.next() & 0x1ff) : binding.source,
            iova: random.pick(world.spaces[binding.space].inputs), access: randomAccess())
        if isScalable && (binding.pasid != 0 || random.oneIn(2)) {
            request.pasid = binding.pasid
            request.isPASIDImplied = random.oneIn(20)
        }
        if random.oneIn(60) { request.pasid = UInt32(random.next() & 0xf_ffff) }
        // The last bytes of the page, the neighbourhood, or anywhere.
        request.iova |= random.next() & 0xfff
        if random.oneIn(6) { request.iova ^= random.next() & 0x3fff_f000 }
        if random.oneIn(100) { request.iova = random.next() }
        if random.oneIn(16) { request.kind = random.oneIn(3) ? .translated : .translationRequest }
        request.leavesMarks = random.oneIn(16)
        request.isQuiet = random.oneIn(30)
        return request
    }

    private mutating func randomAccess() -> Access {
        var access = Access(rawValue: UInt32([1, 1, 1, 2, 2, 2, 3, 4, 5, 0][random.below(10)]))
        if random.oneIn(4) { access.insert(.privileged) }
        return access
    }

    // MARK: Changes of page tables

    private mutating func changePaging() throws {
        changes += 1
        let number = random.below(world.spaces.count)
        let space = world.spaces[number]
        if space.slots.isEmpty || random.oneIn(24) {
            // A stray page is nobody's: everything goes.
            let slot = random.pick(world.decoys) + 8 * UInt64(random.below(512))
            world.image[slot] ^= 1 << UInt64(random.below(64))
            return try invalidateEverything()
        }
        let slot = random.pick(space.slots)
        // The guest's copy may miss marks that are in the tables: a store wins over them in both copies.
        let now = world.image[slot.address]
        world.image[slot.address] = world.randomEntry(slot, now: now, &random)
        if isCached { try invalidate(slot, of: number, was: now) }
    }

    /// The narrowest descriptors that cover a changed entry, or wider ones.
    private mutating func invalidate(_ slot: ModelSlot, of number: Int, was old: UInt64) throws {
        let space = world.spaces[number]
        // A changed configuration entry may have put other tags on the same tables.
        guard isConfigurationSound, isTranslating, !random.oneIn(10) else { return try invalidateEverything() }
        let isWhole = random.oneIn(4)
        let isLeafOnly = slot.level == 0 && random.oneIn(2)
        let mask = UInt64(9 * slot.level) + UInt64(random.oneIn(4) ? random.below(3) : 0)
        if slot.stage == .second {
            try bench.invalidate(
                isWhole
                    ? .iotlbDomain(space.domain)
                    : .iotlbPages(space.domain, at: slot.input, mask: mask, isLeafOnly: isLeafOnly))
            return
        }
        for pasid in Set(world.bindings.filter { $0.space == number }.map(\.pasid)) {
            try bench.invalidate(
                isWhole
                    ? .pasidIOTLB(space.domain, pasid: pasid)
                    : .pasidIOTLBPages(
                        space.domain, pasid: pasid, at: slot.input, mask: mask, isLeafOnly: isLeafOnly))
        }
    }

    private func invalidateEverything() throws {
        guard isCached else { return }
        let isScalable = bench.reference.rootRegister & 0xc00 != 0
        try bench.invalidate(.contextGlobal)
        if isScalable { try bench.invalidate(.pasidCacheGlobal) }
        try bench.invalidate(.iotlbGlobal)
    }

    // MARK: Changes of configuration tables

    private mutating func changeConfiguration(_ sound: GuestImage) throws {
        changes += 1
        if !isConfigurationSound || random.oneIn(3) {
            // Back to what it was.
            for address in world.configuration { world.image[address] = sound[address] }
            isConfigurationSound = true
            return try invalidateEverything()
        }
        let binding = random.pick(world.bindings)
        if world.builder.isScalable && random.oneIn(2) {
            try changeEntry(binding)
        } else {
            let address = random.pick(world.configuration)
            world.image[address] ^= 1 << UInt64(random.below(64))
            isConfigurationSound = false
            try invalidateEverything()
        }
    }

    /// Changes what one PASID entry says about the same tables, with the invalidations that the specification asks for.
    private mutating func changeEntry(_ binding: ModelBinding) throws {
        let space = world.spaces[binding.space]
        var entry = space.entry
        world.vary(&entry, &random)
        entry.isPresent = !random.oneIn(4)
        world.builder.setPASID(binding.source, pasid: binding.pasid, entry)
        guard isCached else { return }
        guard isTranslating else { return try invalidateEverything() }
        switch random.below(3) {
        case 0: try bench.invalidate(.pasidCache(space.domain, pasid: binding.pasid))
        case 1: try bench.invalidate(.pasidCacheDomain(space.domain))
        default: try bench.invalidate(.pasidCacheGlobal)
        }
        if space.mode.secondLevels == nil {
            try bench.invalidate(.pasidIOTLB(space.domain, pasid: binding.pasid))
        } else {
            try bench.invalidate(.iotlbDomain(space.domain))
        }
    }

    // MARK: Changes of memory and of the unit

    private mutating func changeMemory() throws {
        changes += 1
        let region = ModelWorld.movableRegion
        if world.image.removed.contains(region) {
            try world.image.restore(region: region, to: bench.memory)
        } else if random.oneIn(3) {
            // What was translated by tables that are gone stays cached until the guest invalidates it.
            try world.image.remove(region: region, from: bench.memory)
            try invalidateEverything()
        } else {
            let other = random.oneIn(2) ? 0 : region
            try world.image.protect(
                region: other, isWritable: !world.image.regions[other].isWritable, in: bench.memory)
        }
    }

    private mutating func changeUnit() throws {
        changes += 1
        switch random.below(5) {
        case 0:
            try bench.reset()
            if random.oneIn(2) { try restart() }
        case 1: try bench.setTranslation(!bench.reference.isTranslationEnabled)
        case 2: try bench.setRoot(world.builder.rootTable | UInt64(random.pick([0, 1, 3])) << 10)
        default: try restart()
        }
    }
}
