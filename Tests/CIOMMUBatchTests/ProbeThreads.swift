// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Threads of the probe without pointers.

import CIOMMUProbe

// @safe: the handle is used until `close`, which every test calls.
/// A section that another thread keeps open for a while.
@safe
final class HeldSection {
    private let handle: OpaquePointer

    init(_ port: BenchPort, milliseconds: UInt32) {
        unsafe handle = probe_section_open(port.handle, milliseconds)!
    }

    /// True before the section ends.
    var isEnding: Bool { unsafe probe_section_is_ending(handle) }

    /// Waits for the end.
    func close() { unsafe probe_section_close(handle) }
}

// @safe: the words are the flipper's own until `stop`, which every test calls.
/// A thread that stores one or the other of two contents into each word, over and over.
@safe
final class Flipper {
    private let handle: OpaquePointer
    private let memory: UnsafeMutableBufferPointer<UInt64>
    private let count: Int

    init(_ left: [UInt64], _ right: [UInt64]) {
        count = left.count
        unsafe memory = .allocate(capacity: 3 * left.count)
        _ = unsafe memory.initialize(from: left + left + right)
        let base = unsafe memory.baseAddress!
        unsafe handle = probe_flipper_start(base, base + left.count, base + 2 * left.count, UInt32(left.count))!
    }

    var words: UnsafeRawPointer? { unsafe UnsafeRawPointer(memory.baseAddress) }

    /// How often it went over all words.
    func stop() -> UInt64 {
        defer { unsafe memory.deallocate() }
        return unsafe probe_flipper_stop(handle)
    }
}
