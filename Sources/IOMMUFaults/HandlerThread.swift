// SPDX-License-Identifier: LGPL-2.1-or-later
//
// HandlerThread - a thread that runs what it is given, in order. It ends after the last of it when nobody refers to this
// object any more.

internal import Dispatch
internal import Foundation
internal import Synchronization

final class HandlerThread: Sendable {
    private let mailbox = Mailbox()

    init(name: String) {
        let mailbox = mailbox
        let thread = Thread { mailbox.serve() }
        thread.name = name
        thread.start()
    }

    deinit {
        mailbox.append(nil)
    }

    func append(_ work: @escaping @Sendable () -> Void) {
        mailbox.append(work)
    }
}

/// What waits for the thread. Apart from the object, so that the thread does not keep it alive.
///
/// Protocol: any thread appends under the lock and then signals once per piece of work; the thread waits, and takes all
/// that is there. nil is the last one.
private final class Mailbox: Sendable {
    private let waiting = Mutex<[(@Sendable () -> Void)?]>([])
    private let arrived = DispatchSemaphore(value: 0)

    func append(_ work: (@Sendable () -> Void)?) {
        waiting.withLock { $0.append(work) }
        arrived.signal()
    }

    func serve() {
        while true {
            arrived.wait()
            // The signals of what is taken early find nothing later, which is harmless.
            for work in waiting.withLock({ replace(&$0, with: []) }) {
                guard let work else { return }
                work()
            }
        }
    }
}

/// Puts `new` in the place of what is returned.
func replace<Value>(_ value: inout Value, with new: Value) -> Value {
    let old = value
    value = new
    return old
}
