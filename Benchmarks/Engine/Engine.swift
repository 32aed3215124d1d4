// SPDX-License-Identifier: LGPL-2.1-or-later
import Benchmark

let benchmarks: @Sendable () -> Void = {
    Benchmark("none") { benchmark in
        for index in benchmark.scaledIterations {
            blackHole(index)
        }
    }
}
