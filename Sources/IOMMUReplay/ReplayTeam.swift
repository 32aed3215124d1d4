// SPDX-License-Identifier: LGPL-2.1-or-later
//
// ReplayTeam - runs of translations on several threads, each with a port of its own. Between two runs only the replay's own
// thread does anything, so memory may change and differences may be judged.

internal import Dispatch
internal import Glibc
internal import IOMMU
internal import IOMMUCapture
internal import Synchronization

internal import class Foundation.Thread

/// A translation whose answer is not the recorder's.
struct Finding {
    /// Index in ``EventStream/translations``.
    let index: Int
    let result: Result<TranslationResult, IOMMUError>
}

/// One port, and what the thread on it found.
private final class Lane {
    let port: Port
    var findings: [Finding] = []
    /// The part of the run, set before the thread is woken.
    var range = 0..<0

    init(_ port: Port) {
        self.port = port
    }

    /// Asks the engine, and keeps what differs.
    func run(_ translations: [EventStream.Translation]) {
        for index in range {
            let translation = translations[index]
            let question = Question(translation)
            do throws(IOMMUError) {
                let result = try question.ask(port)
                if !translation.answer.agrees(with: result, for: question) {
                    findings.append(Finding(index: index, result: .success(result)))
                }
            } catch {
                findings.append(Finding(index: index, result: .failure(error)))
            }
        }
    }
}

/// Threads that wait for runs.
///
/// Protocol. The replay's thread writes the lanes' ranges, then bumps `round` (release); a worker sees the new round (acquire),
/// works on its lane alone, then decrements `running` (release); the replay's thread sees 0 (acquire) and reads the findings. A
/// worker that found no round for a while says so in `isAsleep` and looks once more before it blocks; the replay's thread bumps
/// first and looks at `isAsleep` after: both sequentially consistent, so one of them sees the other.
// @unchecked: the protocol above orders every access to the lanes.
final class ReplayTeam: @unchecked Sendable {
    /// Looks at the round this often before blocking: some ten microseconds.
    private static let patience = 4000

    private let translations: [EventStream.Translation]
    private let lanes: [Lane]
    private let shortestSharedRun: Int
    private let round = Atomic<Int>(0)
    private let running = Atomic<Int>(0)
    private let isOver = Atomic<Bool>(false)
    private let sleepers: [Sleeper]
    private let gone = DispatchSemaphore(value: 0)
    /// The lane that takes the next short run.
    private var turn = 0

    private final class Sleeper: Sendable {
        let isAsleep = Atomic<Bool>(false)
        let wake = DispatchSemaphore(value: 0)
    }

    /// Makes a port for each thread and starts all but the first, which is the caller's.
    init(
        _ unit: RemappingUnit, _ translations: [EventStream.Translation], _ options: ReplayOptions
    ) throws(IOMMUError) {
        var lanes: [Lane] = []
        for _ in 0..<max(options.threads, 1) {
            lanes.append(Lane(try unit.makePort()))
        }
        self.lanes = lanes
        self.translations = translations
        shortestSharedRun = max(options.shortestSharedRun, lanes.count)
        sleepers = lanes.dropFirst().map { _ in Sleeper() }
        for index in 1..<max(lanes.count, 1) {
            Thread.detachNewThread { self.work(on: index) }
        }
    }

    /// Ends the threads. No run may follow.
    func finish() {
        isOver.store(true, ordering: .sequentiallyConsistent)
        round.add(1, ordering: .sequentiallyConsistent)
        wakeSleepers()
        for _ in sleepers {
            gone.wait()
        }
    }

    /// Does a run and returns what differs, in order.
    func run(_ range: Range<Int>) -> [Finding] {
        if lanes.count == 1 || range.count < shortestSharedRun {
            let lane = lanes[turn]
            turn = (turn + 1) % lanes.count
            lane.range = range
            lane.run(translations)
            return take(lane)
        }
        for (index, lane) in lanes.enumerated() {
            let first = range.lowerBound + range.count * index / lanes.count
            let end = range.lowerBound + range.count * (index + 1) / lanes.count
            lane.range = first..<end
        }
        running.store(lanes.count - 1, ordering: .relaxed)
        round.add(1, ordering: .sequentiallyConsistent)
        wakeSleepers()
        lanes[0].run(translations)
        var looks = 0
        while running.load(ordering: .acquiring) != 0 {
            looks += 1
            if looks > Self.patience { sched_yield() }
        }
        return lanes.flatMap(take)
    }

    private func take(_ lane: Lane) -> [Finding] {
        defer { lane.findings.removeAll(keepingCapacity: true) }
        return lane.findings
    }

    private func wakeSleepers() {
        for sleeper in sleepers where sleeper.isAsleep.exchange(false, ordering: .sequentiallyConsistent) {
            sleeper.wake.signal()
        }
    }

    private func work(on index: Int) {
        var seen = 0
        while true {
            seen = nextRound(after: seen, sleepers[index - 1])
            if isOver.load(ordering: .sequentiallyConsistent) { break }
            lanes[index].run(translations)
            running.subtract(1, ordering: .releasing)
        }
        gone.signal()
    }

    private func nextRound(after seen: Int, _ sleeper: Sleeper) -> Int {
        for _ in 0..<Self.patience {
            let now = round.load(ordering: .acquiring)
            if now != seen { return now }
        }
        while true {
            sleeper.isAsleep.store(true, ordering: .sequentiallyConsistent)
            let now = round.load(ordering: .sequentiallyConsistent)
            if now != seen {
                // Whoever took the flag down has signalled, or will.
                if !sleeper.isAsleep.exchange(false, ordering: .sequentiallyConsistent) {
                    sleeper.wake.wait()
                }
                return now
            }
            sleeper.wake.wait()
        }
    }
}
