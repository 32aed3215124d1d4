// SPDX-License-Identifier: LGPL-2.1-or-later
//
// All interleavings of two or three threads at the protocol's yield points, up to a number of preemptions, in small scenarios
// (explore_probe.h). Sound, none shows a wrong answer; with one rule broken, the scenario that is there for it does, always in
// the same schedule. IOMMU_LONG_TESTS=1 allows one preemption more.

import CIOMMUProbe
import Testing

/// A scenario of `explore_probe.h`, and what may be broken in it.
struct Exploration: Sendable, CustomTestStringConvertible {
    var scenario: UInt32
    var mutant: UInt32 = 0

    static let sound = (0..<probe_explore_count()).map { Exploration(scenario: $0) }
    static let broken = (0..<probe_explore_mutant_count()).map { number in
        let found = unsafe probe_explore_mutant(number)
        return unsafe Exploration(scenario: found.scenario, mutant: found.mutant)
    }

    var testDescription: String {
        unsafe "\(String(cString: probe_explore_name(scenario))), \(String(cString: probe_mutant_name(mutant)))"
    }

    func run(bound: UInt32) -> probe_explore_result {
        var result = probe_explore_result()
        let status = unsafe probe_explore_run(scenario, mutant, bound, &result)
        #expect(status == 0)
        #expect(result.astray == 0)
        return result
    }

    func replay(_ schedule: String, mutant: UInt32) -> probe_explore_result {
        var result = probe_explore_result()
        let status = unsafe probe_explore_replay(scenario, mutant, schedule, &result)
        #expect(status == 0)
        return result
    }
}

extension probe_explore_result {
    /// What the first violation was, and the steps that led to it.
    var firstViolation: String {
        let bytes = unsafe withUnsafeBytes(of: first) { unsafe Array($0.prefix { $0 != 0 }) }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// The choices that replay it.
    var firstSchedule: String {
        let bytes = unsafe withUnsafeBytes(of: schedule) { unsafe Array($0.prefix { $0 != 0 }) }
        return String(decoding: bytes, as: UTF8.self)
    }
}

@Suite(.serialized, .enabled(if: probe_has_mutants()))
struct ExploreTests {
    @Test(arguments: Exploration.sound)
    func noScheduleShowsAWrongAnswer(_ exploration: Exploration) {
        let result = exploration.run(bound: isLong ? 3 : 2)
        #expect(result.violations == 0, "\(result.firstViolation)")
        #expect(result.complete)
        #expect(result.schedules > 1)
    }

    @Test func everyYieldPointIsPassed() {
        var text = [CChar](repeating: 0, count: 300)
        let missed = unsafe text.withUnsafeMutableBufferPointer {
            unsafe probe_points_missed($0.baseAddress, UInt32($0.count))
        }
        let numbers = String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        #expect(missed == 0, "of debug.h: \(numbers)")
    }

    @Test(arguments: Exploration.broken)
    func aBrokenRuleIsFoundAndReplays(_ exploration: Exploration) {
        let result = exploration.run(bound: 2)
        #expect(result.violations == 1, "not found in \(result.schedules) schedules")
        let again = exploration.replay(result.firstSchedule, mutant: exploration.mutant)
        #expect(again.violations == 1 && again.astray == 0)
        #expect(again.firstSchedule == result.firstSchedule)
        let sound = exploration.replay(result.firstSchedule, mutant: 0)
        #expect(sound.violations == 0, "\(sound.firstViolation)")
    }
}
