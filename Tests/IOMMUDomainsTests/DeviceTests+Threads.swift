// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Several threads change one device: what Swift remembers agrees with what requests see, and nothing is let go too early.

import IOMMU
import IOMMUTestSupport
import Testing

extension DeviceTests {
    @Test(.timeLimit(.minutes(2)))
    func referencesAgreeWithTheEngineWhileThreadsChangeADevice() async throws {
        let generator = SeededGenerator.forTest()
        let bench = try HostBench()
        let unit = bench.unit
        let device = try bench.device(1)
        await withTaskGroup(of: Void.self) { group in
            for task: UInt64 in 0..<4 {
                group.addTask { Self.change(device, seed: generator.seed &+ task) }
            }
            group.addTask {
                for _ in 0..<20 {
                    try? unit.reset()
                    await Task.yield()
                }
            }
        }
        for number: UInt32 in 0..<4 {
            let pasid = pasid(number)
            let isMapped = try bench.passes(pasid: pasid)
            #expect(
                isMapped == (device.domain(at: pasid) is IdentityDomain),
                "PASID \(number), IOMMU_TEST_SEED=\(generator.seed)")
            if device.domain(at: pasid) != nil {
                try device.detach(from: pasid)
            } else {
                #expect(throws: IOMMUError.notAttached) { try device.detach(from: pasid) }
            }
        }
        #expect(device.attachments.isEmpty, "IOMMU_TEST_SEED=\(generator.seed)")
    }

    private static func change(_ device: Device, seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        for _ in 0..<500 {
            let pasid = pasid(UInt32(generator.below(4)))
            let domain: Domain
            switch generator.below(3) {
            case 0: domain = device.unit.identityDomain
            case 1: domain = device.unit.blockedDomain
            default:
                guard let made = try? PagingDomain(unit: device.unit) else { continue }
                domain = made
            }
            switch generator.below(8) {
            case 0...2: try? device.attach(domain, to: pasid)
            case 3...5: try? device.replace(with: domain, at: pasid)
            case 6: try? device.detach(from: pasid)
            default: if generator.oneIn(8) { try? device.reset() } else { _ = device.attachments }
            }
        }
    }
}
