// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The n-th request for memory fails, for every n, in every call of a host's that needs any: the error says so, nothing that can be seen
// has changed, nothing stays behind, and with memory again the same call succeeds.

import CIOMMUProbe
import IOMMU
import IOMMUTestSupport
import Testing

@Suite(.serialized, .enabled(if: probe_has_mutants()))
struct HostFailureTests {
    /// A pool that loses a place at each failure is empty before the last round.
    private static let rounds = 4
    private static let most = 500

    @Test(arguments: HostOperation.all)
    func aRefusedRequestChangesNothing(_ operation: HostOperation) throws {
        let world = try HostWorld()
        try operation.prepare(world)
        probe_wait_for_reclamation()
        let clean = try world.view()
        var refusals = 0
        for round in 0..<Self.rounds {
            var count = 0
            while count < Self.most, try !succeeds(operation, world, count, isOnce: round % 2 == 1, round == 0) {
                count += 1
            }
            #expect(count < Self.most)
            refusals += count
            if !operation.isQuiet { #expect(try world.view() != clean, "what succeeded can be seen") }
            try operation.undo(world)
            try world.relieve()
            let after = try world.view()
            #expect(after == clean, "taken back, everything is as before: round \(round)")
        }
        #expect(refusals >= Self.rounds / 2, "something was refused, but what an object keeps")
    }

    /// One attempt in want. What it found is what it leaves, if it fails.
    private func succeeds(
        _ operation: HostOperation, _ world: HostWorld, _ count: Int, isOnce: Bool, _ measures: Bool
    ) throws -> Bool {
        var scarcity = Scarcity(granted: count, isOnce: isOnce)
        var hasAll = false
        if operation.want == .pages {
            hasAll = try !world.exhaust(leaving: count)
            scarcity.granted = operation.before
        }
        let before = try world.view()
        let (error, wasRefused) = scarcity.during { try operation.call(world) }
        guard let error else { return true }
        #expect(error as? IOMMUError == .noMemory, "\(scarcity), \(count): \(error)")
        #expect(wasRefused, "\(scarcity), \(count)")
        #expect(!hasAll || !isOnce, "\(scarcity), \(count): there were more pages than it needs")
        // What a failure could not give back for want of memory goes now.
        try world.memory.drain()
        probe_wait_for_reclamation()
        let after = try world.view()
        #expect(
            after.isSame(as: before, butForEmptied: operation.mayEmpty),
            "\(scarcity), \(count): nothing has changed")
        if measures, !operation.throwsAny { try expectNoLeak(operation, world, scarcity, "\(count)") }
        return false
    }

    /// The same failure over and over holds no more memory than once. The testing library, which keeps notes of errors, makes noise, but
    /// not always as much: so a block of less than 48 bytes would not be missed here.
    private func expectNoLeak(
        _ operation: HostOperation, _ world: HostWorld, _ scarcity: Scarcity, _ what: String
    ) throws {
        let times = 128
        var least = Int.max
        for _ in 0..<6 {
            probe_wait_for_reclamation()
            let before = Holdings.heapBytes
            for _ in 0..<times where scarcity.during({ try operation.call(world) }).error == nil {
                // The unit has kept something of the first attempt, for the next one to use.
                try operation.undo(world)
            }
            try world.memory.drain()
            probe_wait_for_reclamation()
            least = min(least, Holdings.heapBytes - before)
            if least < times * 48 { return }
        }
        Issue.record("\(operation.name), \(what), \(scarcity): \(least) more bytes after \(times) failures")
    }
}
