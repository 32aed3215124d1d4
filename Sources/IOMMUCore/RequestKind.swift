// SPDX-License-Identifier: LGPL-2.1-or-later
//
// RequestKind - what kind of request faulted.

/// A kind of request, as a fault record tells it: AT of a VT-d fault record [FORMATS-VTD B7], and page requests.
public enum RequestKind: UInt32, Hashable, Sendable {
    /// Plain DMA: an address to be translated.
    case untranslated = 0
    /// A translation request of a device that has a device-TLB (ATS).
    case translation = 1
    /// DMA to an address that ATS gave earlier.
    case translated = 2
    /// A page request (PRI).
    case page = 3
    /// An interrupt message; the fault's address is the index in the remapping table.
    case interrupt = 4
}

extension RequestKind: CustomStringConvertible {
    /// Such as `translation request`.
    public var description: String {
        switch self {
        case .untranslated: "untranslated request"
        case .translation: "translation request"
        case .translated: "translated request"
        case .page: "page request"
        case .interrupt: "interrupt request"
        }
    }
}
