// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Turns - measures subjects in turn, so that whatever disturbs the machine disturbs all of them.

internal import CIOMMUBench

/// Subjects that take turns for a given time.
///
/// A turn lasts long enough to bring the subject's own working set back into the caches: its first half is warm-up and
/// thrown away.
struct Turns {
    /// Nanoseconds for everything.
    let budget: UInt64
    /// Turns longer than this serve nobody.
    private static let longest: UInt64 = 20_000_000
    private static let rounds: UInt64 = 8
    /// Loads of one repetition.
    private static let nearLoads: UInt32 = 2048
    private static let farLoads: UInt32 = 1024

    /// Samples of each subject and of both loads.
    struct Outcome {
        var subjects: [Samples]
        var nearLoad = Samples()
        var farLoad = Samples()
    }

    func measure(_ subjects: [Subject], loads: Loads) -> Outcome {
        var outcome = Outcome(subjects: Array(repeating: Samples(), count: subjects.count))
        let turn = min(Self.longest, budget / (Self.rounds * UInt64(subjects.count + 1)))
        let begin = bench_now()
        repeat {
            for (index, subject) in subjects.enumerated() {
                take(turn, subject, &outcome.subjects[index])
            }
            take(turn / 4, loads.near.subject(Self.nearLoads), &outcome.nearLoad)
            take(turn / 4, loads.far.subject(Self.farLoads), &outcome.farLoad)
        } while bench_now() - begin < budget
        return outcome
    }

    private func take(_ turn: UInt64, _ subject: Subject, _ samples: inout Samples) {
        subject.begin()
        let begin = bench_now()
        repeat {
            _ = subject.repeatOnce()
        } while bench_now() - begin < turn / 2
        repeat {
            samples.append(subject.repeatOnce())
        } while bench_now() - begin < turn
        subject.end()
    }
}
