// SPDX-License-Identifier: LGPL-2.1-or-later
//
// TranslationBench - a world, the baselines over its tables, and subjects that translate.

internal import CIOMMU
internal import CIOMMUBench

/// Requests and the answers to them, refilled for every repetition.
@safe final class RequestBuffer {
    let count: UInt32
    let requests: UnsafeMutablePointer<ciommu_request>
    let answers: UnsafeMutablePointer<UInt64>
    private var seed: UInt64

    init(count: UInt32, seed: UInt64) {
        self.count = count
        self.seed = seed
        unsafe requests = .allocate(capacity: Int(count))
        unsafe answers = .allocate(capacity: Int(count))
    }

    deinit {
        unsafe requests.deallocate()
        unsafe answers.deallocate()
    }

    /// Fresh random requests.
    func choose(in world: OpaquePointer) {
        unsafe bench_world_choose(world, &seed, 0, requests, answers, count)
    }

    /// A fresh random input address.
    func chooseAddress(in world: OpaquePointer) -> UInt64 {
        unsafe bench_world_choose(world, &seed, 0, requests, answers, 1)
        return unsafe requests[0].iova
    }
}

/// How requests are asked.
enum Manner {
    case single, empty, section, batch, batch16

    var native: bench_manner {
        switch self {
        case .single: BENCH_SINGLE
        case .empty: BENCH_EMPTY
        case .section: BENCH_SECTION
        case .batch: BENCH_BATCH
        case .batch16: BENCH_BATCH_16
        }
    }
}

/// A world and the baselines over it, warm.
@safe final class TranslationBench {
    /// Translations of one repetition: few enough for requests and first level to lie in the first cache together.
    private static let requests: UInt32 = 512
    /// With several threads, of each: enough that starting together does not count.
    private static let teamRequests: UInt32 = 4096
    private static let lanes: UInt32 = 2

    let setup: TranslationSetup
    let world: OpaquePointer
    /// By design, in its order; empty where there are none.
    let baselines: [OpaquePointer]

    init(_ setup: TranslationSetup) {
        self.setup = setup
        var config = setup.config(lanes: Self.lanes)
        let world = unsafe bench_world_create(&config)!
        unsafe bench_world_warm(world)
        unsafe self.world = unsafe world
        let designs = setup.baselines == .none ? [] : [BENCH_MUTEX_TABLE, BENCH_TREE, BENCH_RCU_TABLE]
        unsafe baselines = unsafe designs.map { design in
            let baseline = unsafe bench_baseline_create(world, design, setup.baselines == .cached)!
            unsafe bench_baseline_warm(baseline)
            return unsafe baseline
        }
    }

    deinit {
        for index in unsafe baselines.indices {
            unsafe bench_baseline_destroy(baselines[index])
        }
        unsafe bench_world_destroy(world)
    }

    // MARK: Subjects

    private func subject(
        _ count: UInt32, _ buffer: RequestBuffer, _ translate: @escaping (RequestBuffer) -> UInt64
    ) -> Subject {
        Subject(repeatOnce: { [self] in
            unsafe buffer.choose(in: world)
            return Sample(nanoseconds: Double(translate(buffer)) / Double(count))
        })
    }

    private func buffer(_ count: UInt32) -> RequestBuffer {
        RequestBuffer(count: count, seed: bench_now())
    }

    /// The engine through the first lane.
    func engine(_ manner: Manner, count: UInt32 = TranslationBench.requests) -> Subject {
        subject(count, buffer(count)) { [self] in
            unsafe bench_world_translate(world, 0, manner.native, $0.requests, $0.answers, count)
        }
    }

    /// The baselines, one thread.
    func others(_ manner: Manner) -> [Subject] {
        unsafe baselines.map { baseline in
            subject(Self.requests, buffer(Self.requests)) {
                unsafe bench_baseline_translate(baseline, manner.native, $0.requests, $0.answers, $0.count)
            }
        }
    }

    /// The loop without translations.
    func loop() -> Subject {
        subject(Self.requests, buffer(Self.requests)) {
            unsafe bench_loop_alone($0.requests, $0.answers, $0.count)
        }
    }

    /// The engine on every thread of a team.
    func engine(_ manner: Manner, team: Team) -> Subject {
        subject(Self.teamRequests, buffer(team.threads * Self.teamRequests)) { [self] in
            unsafe bench_team_world(
                team.team, world, manner.native, $0.requests, $0.answers, Self.teamRequests)
        }
    }

    /// The engine on one thread, with repetitions as long as those of a team.
    func engineAlone(_ manner: Manner) -> Subject {
        engine(manner, count: Self.teamRequests)
    }

    /// The baselines on every thread of a team.
    func others(_ manner: Manner, team: Team) -> [Subject] {
        unsafe baselines.map { baseline in
            subject(Self.teamRequests, buffer(team.threads * Self.teamRequests)) {
                unsafe bench_team_baseline(
                    team.team, baseline, manner.native, $0.requests, $0.answers, Self.teamRequests)
            }
        }
    }
}

/// Threads that translate at the same time.
@safe final class Team {
    let threads: UInt32
    let team: OpaquePointer

    init(threads: UInt32) {
        self.threads = threads
        unsafe team = bench_team_create(threads)
    }

    deinit {
        unsafe bench_team_destroy(team)
    }

    /// Rounds of additions in one repetition.
    private static let rounds: UInt32 = 20_000

    /// Additions in registers, on every thread.
    func additions() -> Subject {
        Subject(repeatOnce: { [self] in Sample(nanoseconds: Double(unsafe bench_team_additions(team, Self.rounds))) })
    }

    /// The same on one thread while the others wait.
    func additionsAlone() -> Subject {
        Subject(repeatOnce: { Sample(nanoseconds: Double(bench_additions(Self.rounds))) })
    }
}
