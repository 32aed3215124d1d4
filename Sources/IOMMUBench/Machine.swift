// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Machine - what a report says about where it was made.

internal import CIOMMUBench
import Foundation

/// The machine that was measured.
public struct Machine: Codable, Sendable, Equatable {
    /// The processor's own name for itself, or its architecture.
    public var processorName: String
    /// Processors that the process may use.
    public var processors: Int
    /// Operating system and its version.
    public var system: String
    /// Bytes of memory.
    public var memoryBytes: UInt64
    /// Median of a load from the first cache that waits for the one before.
    public var l1LoadNanoseconds: Double
    /// Median of a load that misses all caches.
    public var dramLoadNanoseconds: Double
    /// Bytes that those loads go through.
    public var dramLoadBytes: UInt64

    /// Memory that could be had now, if the system tells.
    static var availableBytes: UInt64? {
        value(of: "MemAvailable", in: "/proc/meminfo")
            .flatMap { UInt64($0.prefix { $0.isNumber }) }
            .map { $0 << 10 }
    }

    static var modelName: String {
        value(of: "model name", in: "/proc/cpuinfo") ?? architecture
    }

    private static var architecture: String {
        #if arch(x86_64)
            "x86_64"
        #elseif arch(arm64)
            "arm64"
        #else
            "unknown"
        #endif
    }

    /// The text behind `key:` in a file of such lines.
    private static func value(of key: String, in file: String) -> String? {
        guard let text = try? String(contentsOfFile: file, encoding: .utf8) else { return nil }
        for line in text.split(separator: "\n") where line.hasPrefix(key) {
            guard let colon = line.firstIndex(of: ":") else { continue }
            return line[line.index(after: colon)...].trimmingCharacters(in: .whitespaces)
        }
        return nil
    }

    init(loads: Loads, near: Statistics, far: Statistics) {
        processorName = Self.modelName
        processors = Int(bench_processors())
        system = ProcessInfo.processInfo.operatingSystemVersionString
        memoryBytes = ProcessInfo.processInfo.physicalMemory
        l1LoadNanoseconds = near.median
        dramLoadNanoseconds = far.median
        dramLoadBytes = loads.far.bytes
    }
}
