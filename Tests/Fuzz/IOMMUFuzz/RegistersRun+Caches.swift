// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Devices with caches of their own: how they answer when they are asked to drop something, and what must have been asked.

import IOMMU
import IOMMUTestSupport
import VirtualVTd

extension RegistersRun {
    /// The devices of a unit that the guest has come to: they answer, and nobody is blocked.
    func meetDevices() {
        model.devices = [:]
        for source in subject.caches.keys { model.devices[UInt64(source)] = ModelDevice() }
        model.clearsCompletion = false
        model.asked = []
        for endpoint in subject.endpoints.values { _ = endpoint.takeRequests() }
    }

    /// A device answers in another manner from now on, answers what it owes, or comes back; or the host handles interrupts.
    func changeDevice() throws {
        let form = input.byte()
        let source = RegistersSubject.cached[Int(form & 1)]
        guard let cache = subject.caches[source], let endpoint = subject.endpoints[source] else { return }
        let manners = FuzzDevice.Manner.allCases
        switch form >> 1 & 7 {
        case 0...4:
            let manner = manners[Int(form >> 4) % manners.count]
            note("device \(text(UInt64(source))) answers: \(manner)")
            endpoint.setManner(manner)
            model.devices[UInt64(source)]?.manner = manner
        case 5:
            note("device \(text(UInt64(source))) is asked again")
            let manner = model.devices[UInt64(source)]?.manner ?? .fine
            let isHeard = !manner.isSilent && manner != .wrong
            do throws(IOMMUError) {
                try cache.retry()
                if !isHeard { fail("a device that does not answer is heard") }
            } catch {
                if isHeard || error != .timedOut { fail("a device is asked again: \(error)") }
            }
            model.devices[UInt64(source)]?.isBlocked = !isHeard
            _ = endpoint.takeRequests()
        case 6:
            note("device \(text(UInt64(source))) is reset")
            try cache.reset()
            model.devices[UInt64(source)]?.isBlocked = false
        default:
            // Only where the order of events is known.
            guard subject.isInline else { return }
            model.clearsCompletion = form & 0x10 == 0
            note("the host \(model.clearsCompletion ? "clears" : "does not clear") ICS")
            subject.setClearing(model.clearsCompletion)
        }
    }

    /// Whatever descriptors name, their devices were asked for; what was not answered in time is not open any more; and who failed is
    /// blocked.
    func checkDevices() {
        defer { model.asked = [] }
        for (source, endpoint) in subject.endpoints {
            let requests = endpoint.takeRequests()
            guard let device = model.devices[UInt64(source)], let cache = subject.caches[source] else { continue }
            if model.isQueueUncertain {
                model.devices[UInt64(source)]?.isBlocked = cache.isBlocked
                continue
            }
            if cache.isBlocked != device.isBlocked {
                fail("device \(text(UInt64(source))) is \(cache.isBlocked ? "" : "not ")blocked")
            }
            if device.manner == .late, requests.contains(where: { $0.answer() }) {
                fail("an answer after the deadline is taken")
            }
            for drop in model.asked where drop.source == UInt64(source) && !drop.isCovered(by: requests) {
                fail("\(drop) was not asked for: \(requests.map { "\($0)" })")
            }
        }
    }
}
