// SPDX-License-Identifier: LGPL-2.1-or-later
//
// BusyThread - a thread that translates without pause beside what is measured.

import Glibc
import Synchronization

/// Runs a piece of work again and again until it is dropped.
public final class BusyThread {
    private final class Loop {
        let stops = Atomic<Bool>(false)
        let rounds = Atomic<Int>(0)
        let work: () -> Void

        init(_ work: @escaping () -> Void) {
            self.work = work
        }
    }

    private let loop: Loop
    private var thread = pthread_t()

    /// Returns once the thread is at work.
    public init(_ work: @escaping () -> Void) {
        loop = Loop(work)
        let context = Unmanaged.passRetained(loop)
        let status = pthread_create(
            &thread, nil,
            { context in
                let loop = Unmanaged<Loop>.fromOpaque(context!).takeRetainedValue()
                while !loop.stops.load(ordering: .relaxed) {
                    loop.work()
                    loop.rounds.add(1, ordering: .relaxed)
                }
                return nil
            }, context.toOpaque())
        precondition(status == 0, "no thread")
        while loop.rounds.load(ordering: .relaxed) == 0 {
            usleep(1000)
        }
    }

    deinit {
        loop.stops.store(true, ordering: .relaxed)
        pthread_join(thread, nil)
    }
}
