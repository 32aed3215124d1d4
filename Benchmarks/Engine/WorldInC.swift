// SPDX-License-Identifier: LGPL-2.1-or-later
//
// WorldInC - a world of CIOMMUBench, and requests to it.

import CIOMMUBench
import IOMMU

/// Destroyed with this object. One thread, apart from `port(1)`.
final class WorldInC {
    let shape: Shape
    let handle: OpaquePointer
    private var seed = UInt64.random(in: 1 ... .max)
    private(set) var requests: [ciommu_request]
    private(set) var answers: [UInt64]

    init(_ shape: Shape, count: Int = 1000) {
        self.shape = shape
        var config = shape.inC
        handle = bench_world_create(&config)
        requests = [ciommu_request](repeating: ciommu_request(), count: count)
        answers = [UInt64](repeating: 0, count: count)
        bench_world_warm(handle)
    }

    deinit {
        bench_world_destroy(handle)
    }

    func port(_ lane: UInt32 = 0) -> OpaquePointer {
        bench_world_port(handle, lane)
    }

    /// Fresh random requests.
    func choose() {
        bench_world_choose(handle, &seed, 0, &requests, &answers, UInt32(requests.count))
    }

    /// Fresh ones of `length` bytes, each aligned to that.
    func chooseAligned(_ length: UInt64) {
        choose()
        for index in requests.indices {
            requests[index].iova &= ~(length - 1)
            requests[index].length = length
        }
    }

    func translate(_ manner: bench_manner, lane: UInt32 = 0) {
        _ = bench_world_translate(handle, lane, manner, requests, answers, UInt32(requests.count))
    }
}
