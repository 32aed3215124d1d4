// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Subjects that invalidate, in peace or beside a thread that translates.

internal import CIOMMUBench

/// What an invalidation covers.
enum Scope {
    case page, range, pasid, domain, global

    var native: bench_scope {
        switch self {
        case .page: BENCH_SCOPE_PAGE
        case .range: BENCH_SCOPE_RANGE
        case .pasid: BENCH_SCOPE_PASID
        case .domain: BENCH_SCOPE_DOMAIN
        case .global: BENCH_SCOPE_GLOBAL
        }
    }

    /// Nanoseconds in which the thread beside fetches again what was dropped.
    var pause: UInt64 {
        self == .page || self == .range ? 20_000 : 200_000
    }
}

/// Holds the thread beside, while there is one.
@safe private final class Beside {
    var busy: OpaquePointer?

    func stop() {
        if let busy = unsafe busy {
            _ = unsafe bench_busy_stop(busy)
        }
        unsafe busy = nil
    }
}

private func pause(_ nanoseconds: UInt64) {
    let begin = bench_now()
    while bench_now() - begin < nanoseconds {}
}

extension TranslationBench {
    /// The engine, one invalidation a repetition, while a thread translates through another lane.
    func invalidate(_ scope: Scope) -> Subject {
        let beside = Beside()
        let buffer = RequestBuffer(count: 1, seed: bench_now())
        return Subject(
            begin: { [self] in unsafe beside.busy = unsafe bench_busy_world(world, 1) },
            end: { beside.stop() },
            repeatOnce: { [self] in
                pause(scope.pause)
                let address = unsafe buffer.chooseAddress(in: world)
                return Sample(nanoseconds: Double(unsafe bench_world_invalidate(world, scope.native, address)))
            })
    }

    /// The baselines, in the same way.
    func othersInvalidate(_ scope: Scope) -> [Subject] {
        unsafe baselines.map { baseline in
            let beside = Beside()
            let buffer = RequestBuffer(count: 1, seed: bench_now())
            return Subject(
                begin: { unsafe beside.busy = unsafe bench_busy_baseline(baseline) },
                end: { beside.stop() },
                repeatOnce: { [self] in
                    pause(scope.pause)
                    let address = unsafe buffer.chooseAddress(in: world)
                    let begin = bench_now()
                    if scope == .page {
                        unsafe bench_baseline_invalidate_page(baseline, address)
                    } else {
                        unsafe bench_baseline_invalidate_domain(baseline)
                    }
                    return Sample(nanoseconds: Double(bench_now() - begin))
                })
        }
    }

    /// The engine, nobody beside; `filled` pages are cached before each (`nil`: whatever there is).
    func invalidateIdle(_ scope: Scope, filled: UInt32?) -> Subject {
        let buffer = RequestBuffer(count: 1, seed: bench_now())
        return Subject(repeatOnce: { [self] in
            if let filled {
                unsafe bench_world_fill(world, filled)
            }
            let address = unsafe buffer.chooseAddress(in: world)
            return Sample(nanoseconds: Double(unsafe bench_world_invalidate(world, scope.native, address)))
        })
    }
}
