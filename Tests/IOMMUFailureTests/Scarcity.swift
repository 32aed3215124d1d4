// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Want of memory as tests have it: the engine's requests fail from the n-th on, or the n-th alone; and what a process holds, to be
// compared. For debug builds, and for one test at a time.

import CIOMMUProbe
import Glibc

/// Which of the engine's requests for memory, threads and descriptors are refused.
struct Scarcity: CustomStringConvertible {
    /// So many are granted first.
    var granted: Int
    /// Only the next one is refused, not all after it.
    var isOnce = false

    var description: String { "\(granted) granted, then \(isOnce ? "one" : "all") refused" }

    /// Runs `body` in want, and everything is granted again.
    ///
    /// - Returns: What it threw, and whether any request was refused.
    func during(_ body: () throws -> Void) -> (error: (any Error)?, wasRefused: Bool) {
        probe_allocations_fail_once(isOnce)
        _ = probe_allocations(Int32(granted))
        var thrown: (any Error)?
        do {
            try body()
        } catch {
            thrown = error
        }
        let left = probe_allocations(-1)
        return (thrown, isOnce ? left < 0 : left == 0)
    }
}

/// Nothing is granted while `body` runs.
func withoutMemory<Result>(_ body: () throws -> Result) rethrows -> Result {
    probe_allocations_fail_once(false)
    _ = probe_allocations(0)
    defer { _ = probe_allocations(-1) }
    return try body()
}

/// What this process holds.
enum Holdings {
    /// Bytes that malloc has handed out; 0 under a sanitizer with an allocator of its own.
    static var heapBytes: Int { Int(clamping: probe_heap_bytes()) }

    /// Open file descriptors.
    static var descriptors: Int { entries(of: "/proc/self/fd") }

    /// Mappings of files whose name ends so.
    static func mappings(of file: String) -> Int {
        guard let maps = unsafe fopen("/proc/self/maps", "r") else { return -1 }
        defer { unsafe fclose(maps) }
        var count = 0
        var line: UnsafeMutablePointer<CChar>?
        var capacity = 0
        while unsafe getline(&line, &capacity, maps) > 0 {
            guard let line = unsafe line else { break }
            if unsafe strstr(line, file) != nil { count += 1 }
        }
        unsafe free(line)
        return count
    }

    private static func entries(of directory: String) -> Int {
        guard let stream = unsafe opendir(directory) else { return -1 }
        defer { unsafe closedir(stream) }
        var count = 0
        while unsafe readdir(stream) != nil { count += 1 }
        return count
    }
}

/// A file without a name of its own any more, that tests map; in the list of mappings it still has one.
final class MappedFile {
    private static let name = "iommu-failure-\(getpid())-"

    let descriptor: CInt

    init(bytes: Int) {
        var path = Array("/tmp/\(Self.name)XXXXXX".utf8CString)
        descriptor = unsafe path.withUnsafeMutableBufferPointer { path in
            guard let name = unsafe path.baseAddress else { return -1 }
            let descriptor = unsafe mkstemp(name)
            unsafe unlink(name)
            return descriptor
        }
        precondition(descriptor >= 0 && ftruncate(descriptor, bytes) == 0, "a file")
    }

    deinit { close(descriptor) }

    /// How many areas, or what is left of them, have parts of it mapped.
    static var mappings: Int { Holdings.mappings(of: name) }
}
