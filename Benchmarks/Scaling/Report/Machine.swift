// SPDX-License-Identifier: LGPL-2.1-or-later
//
// What machine this is, as far as it says so itself.

import Foundation

/// Facts for the head of a report.
struct Machine {
    /// Processors that this process may use.
    var processors: Int
    var model: String
    var kernel: String
    var memory: String

    init() {
        processors = ProcessInfo.processInfo.activeProcessorCount
        model = Self.field("model name", in: "/proc/cpuinfo") ?? Self.field("Model", in: "/proc/cpuinfo") ?? "unknown"
        kernel = (Self.contents("/proc/sys/kernel/osrelease") ?? "unknown")
            .trimmingCharacters(in: .whitespacesAndNewlines)
        memory = String(format: "%.0f GiB", Double(ProcessInfo.processInfo.physicalMemory) / 1_073_741_824)
    }

    var description: String {
        "\(model), \(counted(processors, "processor")) for this process, \(memory) of memory, "
            + "\(ProcessInfo.processInfo.operatingSystemVersionString), kernel \(kernel)"
    }

    private static func contents(_ path: String) -> String? { try? String(contentsOfFile: path, encoding: .utf8) }

    private static func field(_ name: String, in path: String) -> String? {
        let line = contents(path)?.split(separator: "\n").first { $0.hasPrefix(name) }
        return line?.split(separator: ":", maxSplits: 1).last.map { $0.trimmingCharacters(in: .whitespaces) }
    }
}
