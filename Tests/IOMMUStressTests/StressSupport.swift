// SPDX-License-Identifier: LGPL-2.1-or-later
//
// How long random tests run, and where they begin.

import Foundation

let isLong = ProcessInfo.processInfo.environment["IOMMU_LONG_TESTS"] == "1"

/// `IOMMU_TEST_SEED`, or a new seed for every run.
func seed() -> UInt64 {
    if let text = ProcessInfo.processInfo.environment["IOMMU_TEST_SEED"], let value = UInt64(text) {
        return value
    }
    return UInt64.random(in: 1...UInt64(UInt32.max))
}
