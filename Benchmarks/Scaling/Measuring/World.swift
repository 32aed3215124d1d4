// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A unit of the engine and the baselines over the same tables, warm and checked.

import CIOMMUBench
import ScalingLoops

/// Tables, the engine over them, and each baseline over them. Used by one thread, which runs slices on it.
final class World {
    /// Pages mapped for each requester.
    let pages: Int
    private let handle: OpaquePointer
    private var baselines: [Design: OpaquePointer] = [:]

    /// `pages` 1 to 1 Mi, `sources` 1 to 64 devices, `lanes` 1 to 64 reader threads at once.
    init(pages: Int, sources: Int = 1, lanes: Int) {
        self.pages = pages
        var config = bench_world_config()
        bench_world_config_init(&config, BENCH_GUEST_SECOND, UInt32(pages))
        config.sources = UInt32(sources)
        config.lanes = UInt32(lanes)
        handle = bench_world_create(&config)!
        bench_world_warm(handle)
        for design in Design.allCases {
            if let code = design.baseline {
                let baseline = bench_baseline_create(handle, code, true)!
                bench_baseline_warm(baseline)
                baselines[design] = baseline
            }
        }
    }

    deinit {
        for baseline in baselines.values {
            bench_baseline_destroy(baseline)
        }
        bench_world_destroy(handle)
    }

    /// What a slice asks. Good as long as the world is.
    func subject(_ design: Design) -> scaling_subject {
        scaling_subject(world: handle, baseline: baselines[design], swap: nil)
    }

    /// Asks every design fresh requests and ends the process if an answer is wrong.
    func check(seed: UInt64) {
        for design in Design.allCases {
            var subject = subject(design)
            scaling_check(&subject, seed, 4096)
        }
    }

    /// What the clock of single translations costs, in nanoseconds, measured `count` times.
    func clockCosts(count: Int) -> [UInt32] {
        var costs = [UInt32](repeating: 0, count: count)
        scaling_clock(handle, &costs, UInt32(count))
        return costs
    }
}

/// A device whose domain is replaced while it is asked.
final class Swap {
    private let handle: OpaquePointer

    init(pages: Int, lanes: Int) {
        handle = scaling_swap_create(UInt32(pages), UInt32(lanes))
    }

    deinit {
        scaling_swap_destroy(handle)
    }

    /// What a slice asks. Good as long as the swap is.
    var subject: scaling_subject { scaling_subject(world: nil, baseline: nil, swap: handle) }
}
