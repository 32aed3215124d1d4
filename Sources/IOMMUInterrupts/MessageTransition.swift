// SPDX-License-Identifier: LGPL-2.1-or-later
//
// MessageTransition - what became of an armed entry that was to change: nothing is lost when it did not.

public import IOMMUCore

/// What became of an armed entry that was to change. The entry is in here, whatever happened.
public enum MessageTransition<Next: ~Copyable & Sendable>: ~Copyable, Sendable {
    /// It is what it was to be.
    case done(Next)
    /// It is masked, and a section that began before may still signal it: ``MaskedMessage/settle(port:)`` waits on.
    case late(MaskedMessage, IOMMUError)
    /// It is what it was.
    case refused(ArmedMessage, IOMMUError)

    /// The entry if it is what it was to be.
    ///
    /// - Throws: Why it is not; the entry is freed then.
    public consuming func get() throws(IOMMUError) -> Next {
        switch consume self {
        case .done(let next): return next
        case .late(_, let error): throw error
        case .refused(_, let error): throw error
        }
    }
}
