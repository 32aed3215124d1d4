// SPDX-License-Identifier: LGPL-2.1-or-later
//
// What a descriptor asks a device to drop, and whether the device has heard all of it.

import IOMMU

/// What a descriptor asks a device to drop.
struct DeviceDrop {
    let source: UInt64
    let pasid: UInt64?
    let isGlobal: Bool
    let first: UInt64
    let last: UInt64

    /// Whether requests together ask for all of it.
    func isCovered(by requests: [DeviceTLBRequest]) -> Bool {
        let ranges = requests.filter { request in
            switch request.scope {
            case .everything: true
            case .withoutPASID: pasid == nil && !isGlobal
            case .pasid(let asked): pasid == UInt64(asked.rawValue)
            }
        }.map { $0.range.lowerBound.rawValue...$0.range.upperBound.rawValue }
        var next = first
        for range in ranges.sorted(by: { $0.lowerBound < $1.lowerBound }) where range.lowerBound <= next {
            if range.upperBound >= last { return true }
            next = max(next, range.upperBound + 1)
        }
        return false
    }
}
