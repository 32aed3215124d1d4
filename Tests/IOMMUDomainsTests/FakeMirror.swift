// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A mirror that keeps its own dictionary of pages and fails when it is told to.

import IOMMU
import Synchronization
import Testing

/// One entry a page, in units of `alignment`.
final class FakeMirror: SpaceMirror {
    struct Page: Hashable {
        var output: UInt64
        var rights: AccessRights
    }

    struct State {
        var pages: [UInt64: Page] = [:]
        /// Calls from now on that fail, the next one being 0; what fails changes nothing.
        var failures: Set<Int> = []
        var failure = IOMMUError.noMemory
        /// Calls from now on that make the change and answer that a section still runs.
        var timeouts: Set<Int> = []
        var calls = 0
        /// Rules of the protocol that a call broke.
        var complaints: [String] = []
    }

    let mirrorAlignment: UInt64
    let mirrorReservations: [(range: ClosedRange<IOVA>, reason: String)]
    let state = Mutex(State())

    init(alignment: UInt64 = 4096, reservations: [(range: ClosedRange<IOVA>, reason: String)] = []) {
        mirrorAlignment = alignment
        mirrorReservations = reservations
    }

    var pages: [UInt64: Page] { state.withLock { $0.pages } }
    var complaints: [String] { state.withLock { $0.complaints } }

    /// Lets calls fail, counted from the next one.
    func fail(at calls: Int..., with error: IOMMUError = .noMemory) {
        state.withLock { state in
            state.calls = 0
            state.failures = Set(calls)
            state.failure = error
        }
    }

    /// Lets calls time out, counted from the next one.
    func timeOut(at calls: Int...) {
        state.withLock { state in
            state.calls = 0
            state.timeouts = Set(calls)
        }
    }

    private func perform(_ name: String, _ body: (inout State) -> String?) throws(IOMMUError) {
        try state.withLock { state throws(IOMMUError) in
            let call = state.calls
            state.calls += 1
            if state.failures.contains(call) { throw state.failure }
            if let complaint = body(&state) { state.complaints.append("\(name): \(complaint)") }
            if state.timeouts.contains(call) { throw .timedOut }
        }
    }

    private func indices(_ first: IOVA, _ length: UInt64) -> Range<UInt64> {
        first.rawValue / mirrorAlignment..<first.rawValue / mirrorAlignment + length / mirrorAlignment
    }

    func mirrorMap(
        _ first: IOVA, length: UInt64, to output: OutputAddress, rights: AccessRights
    ) throws(IOMMUError) {
        try perform("map") { state in
            var complaint: String?
            if (first.rawValue | length | output.rawValue) % mirrorAlignment != 0 || length == 0 {
                complaint = "misaligned"
            }
            for (offset, page) in indices(first, length).enumerated() {
                if state.pages[page] != nil { complaint = "0x\(String(page, radix: 16)) is mapped already" }
                state.pages[page] = Page(
                    output: output.rawValue + UInt64(offset) * mirrorAlignment, rights: rights)
            }
            return complaint
        }
    }

    func mirrorUnmap(_ first: IOVA, length: UInt64) throws(IOMMUError) {
        try perform("unmap") { state in
            let range = indices(first, length)
            if range.count > state.pages.count {
                for page in state.pages.keys where range.contains(page) { state.pages[page] = nil }
            } else {
                for page in range { state.pages[page] = nil }
            }
            return nil
        }
    }

    func mirrorUnmapAll() throws(IOMMUError) {
        state.withLock { $0.pages = [:] }
    }

    func mirrorProtect(_ first: IOVA, length: UInt64, rights: AccessRights) throws(IOMMUError) {
        try perform("protect") { state in
            var complaint: String?
            for page in indices(first, length) {
                if state.pages[page] == nil { complaint = "0x\(String(page, radix: 16)) is not mapped" }
                state.pages[page]?.rights = rights
            }
            return complaint
        }
    }
}

extension IOAddressSpace {
    /// What a mirror of this space must hold.
    func pages(of size: UInt64 = 4096) -> [UInt64: FakeMirror.Page] {
        var pages: [UInt64: FakeMirror.Page] = [:]
        for area in areas {
            for offset in stride(from: 0, to: area.length, by: Int(size)) {
                pages[(area.first.rawValue + offset) / size] = FakeMirror.Page(
                    output: area.output.rawValue + offset, rights: area.rights)
            }
        }
        return pages
    }
}
