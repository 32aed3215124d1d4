// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Devices behind target "descriptors": caches of their own, which must be asked for all that descriptors name and for nothing of others;
// and groups of page requests, which responses answer once.

import IOMMU
import IOMMUTestSupport

final class QueueDevices {
    /// A cache, and whose translations it holds.
    private struct Cache {
        let source: UInt64
        let pasids: ClosedRange<UInt64>?
        let tlb: DeviceTLB
        let device: FuzzDevice

        /// Whether descriptors that name this must reach it.
        func concerns(_ drop: DeviceDrop) -> Bool {
            guard drop.source == source else { return false }
            guard let pasids else { return true }
            return drop.isGlobal || drop.pasid.map(pasids.contains) ?? false
        }
    }

    /// A group that was not answered, as responses name it.
    private struct Group: Hashable {
        let pasid: UInt64
        let index: UInt64
    }

    private static let asking: UInt16 = 0x10
    private static let pasid: UInt32 = 5

    private var caches: [Cache] = []
    private var queue: PageQueue?
    private var interface: PageRequestInterface?
    private let answers = Box<[PageAnswer]>([])
    private var outstanding: Set<Group> = []

    init(_ unit: RemappingUnit, _ model: UnitModel, isScalable: Bool) throws {
        guard model.has(.deviceTLB) else { return }
        try add(unit, 0x10, nil)
        if isScalable, model.has(.pasid) {
            try add(unit, 0x11, 0...4)
            try add(unit, 0x11, 5...7)
        } else {
            try add(unit, 0x11, nil)
        }
        guard isScalable, model.has(.pageRequests), model.has(.pasid) else { return }
        var configuration = PageQueue.Configuration()
        configuration.timeout = nil
        configuration.sharesAnswers = false
        queue = try PageQueue(guestTablesOf: unit, configuration: configuration)
        let answers = answers
        interface = try PageRequestInterface(
            unit: unit, configuration: .init(source: SourceID(UInt32(Self.asking)), device: 5)
        ) { answers.value.append($0) }
    }

    private func add(_ unit: RemappingUnit, _ source: UInt16, _ pasids: ClosedRange<UInt32>?) throws {
        let device = FuzzDevice {}
        var configuration = DeviceTLB.Configuration(source: SourceID(UInt32(source)), device: DeviceID(UInt64(source)))
        if let pasids, let first = PASID(pasids.lowerBound), let last = PASID(pasids.upperBound) {
            configuration.pasids = first...last
        }
        let tlb = try DeviceTLB(unit: unit, configuration: configuration, handler: device.take)
        caches.append(
            Cache(
                source: UInt64(source), pasids: pasids.map { UInt64($0.lowerBound)...UInt64($0.upperBound) }, tlb: tlb,
                device: device))
    }

    // MARK: Page requests

    /// Asks for pages; four groups that nobody has answered.
    func ask() throws {
        for cache in caches { _ = cache.device.takeRequests() }
        guard let queue, let interface else { return }
        // Setting the root table may have ended some.
        for answer in answers.value {
            outstanding.remove(Group(pasid: UInt64(Self.pasid), index: UInt64(answer.group ?? 0)))
        }
        answers.value = []
        for index in 0..<4 where outstanding.insert(Group(pasid: UInt64(Self.pasid), index: UInt64(index))).inserted {
            try interface.request(
                PageRequest(
                    IOVA(QueueWorld.base + UInt64(index) << 12), access: .read, pasid: PASID(Self.pasid), group: index))
            guard try queue.read() != nil else { finding("a group of page requests did not come") }
        }
    }

    /// A response that the host hears of.
    func respond(_ descriptor: InvalidationDescriptor) {
        let words = [descriptor.q0, descriptor.q1, descriptor.q2, descriptor.q3]
        guard let queue, let (name, response) = try? PageGroupName.decode(words) else { return }
        try? queue.respond(to: name, response)
    }

    // MARK: Verdicts

    func check(_ descriptors: ArraySlice<Descriptor>, _ effects: [DescriptorEffect], _ context: () -> String) {
        var drops: [DeviceDrop] = []
        for case .deviceTLB(let source, let pasid, let isGlobal, let first, let last) in effects {
            drops.append(DeviceDrop(source: source, pasid: pasid, isGlobal: isGlobal, first: first, last: last))
        }
        for cache in caches {
            let requests = cache.device.takeRequests()
            for drop in drops where cache.concerns(drop) && !drop.isCovered(by: requests) {
                finding("\(context())\n  \(drop) was not asked for: \(requests.map { "\($0)" })")
            }
            if !requests.isEmpty, !drops.contains(where: { $0.source == cache.source }) {
                finding("\(context())\n  nobody named it: \(requests.map { "\($0)" })")
            }
            expect(cache.tlb.isBlocked, false, "\(context()) a device that answers is blocked")
        }
        if queue != nil { checkAnswers(descriptors, effects, context) }
    }

    /// Each response to a group that stands out answers it, with the code that it says.
    private func checkAnswers(
        _ descriptors: ArraySlice<Descriptor>, _ effects: [DescriptorEffect], _ context: () -> String
    ) {
        var wanted: [[UInt64]] = []
        for (descriptor, effect) in zip(descriptors, effects) {
            guard case .pageResponse = effect, descriptor.words[0] >> 16 & 0xffff == UInt64(Self.asking),
                descriptor.words[0] & 0x10 != 0
            else { continue }
            let group = Group(
                pasid: descriptor.words[0] >> 32 & 0xf_ffff, index: descriptor.words[1] >> 3 & 0x1ff)
            if outstanding.remove(group) != nil {
                wanted.append([group.index, min(descriptor.words[0] >> 12 & 15, 2)])
            }
        }
        let found = answers.value.map { [UInt64($0.group ?? -1), UInt64($0.response.rawValue)] }
        expect(found, wanted, "\(context()) answers of page requests")
    }
}
