// SPDX-License-Identifier: LGPL-2.1-or-later
//
// ReplayOptions - how to replay.

public import IOMMU

/// How a recording is replayed.
public struct ReplayOptions: Hashable, Sendable {
    /// Threads, each with a port of its own, that share the translations between two state changes.
    public var threads = 1
    /// How often the stream is replayed, each time with a fresh unit.
    public var repeats = 1
    /// Sizes of the unit; its ports are raised to what the threads need.
    public var configuration = RemappingUnit.Configuration()
    /// Runs shorter than this stay on the calling thread, on each port in turn: a hand-over costs more than they do.
    public var shortestSharedRun = 64
    /// The descriptors between two moves of the queue's tail are applied as one batch, and not one by one.
    public var isBatched = false
    /// The guest's register writes drive a virtual unit, which fetches descriptors itself; what was read back, stored and signalled is
    /// compared too. On one thread.
    public var isThroughRegisters = false
    /// Events before which the virtual unit's state is taken and put into a new one, which goes on: positions in the stream.
    public var migrations: Set<Int> = []
    /// How many unexplained deviations are kept with a walk; the others are counted.
    public var keptDeviations = 20

    /// Greatest number of threads.
    public static let greatestThreadCount = 256

    /// One thread, one pass, the engine's own sizes.
    public init() {}
}
