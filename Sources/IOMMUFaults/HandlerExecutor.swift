// SPDX-License-Identifier: LGPL-2.1-or-later
//
// HandlerExecutor - where the host wants its handlers to run. What runs there, and in which order, is a HandlerLane's
// affair.

public import Dispatch

/// Runs pieces of work where the host wants its handlers to run: a queue, a thread, an event loop.
///
/// The handlers of one device never run at the same time, whatever the executor; those of different devices do where it
/// has more than one thread.
public struct HandlerExecutor: Sendable {
    let run: @Sendable (_ work: @escaping @Sendable () -> Void) -> Void

    /// Makes an executor from a closure.
    ///
    /// - Parameter run: Runs what it is given exactly once, at any time, on any thread; also at once, on the calling one:
    ///   then handlers hold back whoever found something for them, which may be the unit's event thread. Any thread
    ///   calls it, outside locks and sections of the library.
    public init(_ run: @escaping @Sendable (_ work: @escaping @Sendable () -> Void) -> Void) {
        self.run = run
    }

    /// A Dispatch queue, serial or concurrent. A handler that blocks holds one of its threads.
    public static func queue(_ queue: DispatchQueue) -> HandlerExecutor {
        HandlerExecutor { work in queue.async(execute: work) }
    }

    /// A thread of its own, which exists as long as a copy of this executor does and while it has work.
    ///
    /// A handler that blocks holds up every device that was given the same executor, and nobody else.
    ///
    /// - Parameter name: The thread's name in debuggers; Linux keeps the first 15 bytes.
    public static func thread(named name: String = "iommu-handlers") -> HandlerExecutor {
        let thread = HandlerThread(name: name)
        return HandlerExecutor { work in thread.append(work) }
    }
}
