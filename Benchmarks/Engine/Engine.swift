// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Engine - the suite: what every kind of call costs, from C and from Swift. Names say what is asked, of what, how, and from
// where: translate/hit-iotlb/4Ki-pages/batch/Swift. A figure is that of 1,000 calls (`make benchmark` gives --scale for it).

import Benchmark

let benchmarks: @Sendable () -> Void = {
    Benchmark.defaultConfiguration = .init(
        metrics: [.wallClock, .throughput, .instructions], timeUnits: .nanoseconds, warmupIterations: 3,
        scalingFactor: .kilo, maxDuration: .milliseconds(300), maxIterations: 100_000)
    registerTranslations()
    registerAccesses()
    Benchmark.defaultConfiguration.timeUnits = .microseconds
    registerInvalidations()
    registerOperations()
}

/// Runs a pair of benchmarks of the same name, one in C and one in Swift, each over something of its own that is made before.
func compare<InC, InSwift>(
    _ name: String, c: @escaping () throws -> InC, swift: @escaping () throws -> InSwift,
    runC: @escaping (Benchmark, InC) -> Void, runSwift: @escaping (Benchmark, InSwift) throws -> Void
) {
    Benchmark(name + "/C", closure: runC, setup: { try c() })
    Benchmark(
        name + "/Swift", closure: { (benchmark: Benchmark, state: InSwift) throws in try runSwift(benchmark, state) },
        setup: { try swift() })
}
