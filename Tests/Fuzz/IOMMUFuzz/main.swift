// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The fuzz targets behind libFuzzer: `IOMMUFuzz TARGET`, then libFuzzer's own arguments. A new target is a file and a line here.

import CIOMMUFuzz
import CIOMMUProbe
import Foundation

/// Every target by name, in the order of `make fuzz`.
let targets: [(name: String, make: () -> ([UInt8]) throws -> Void)] = [
    ("tables", { TablesTarget().run }),
    ("descriptors", { DescriptorsTarget().run }),
    ("captures", { CapturesTarget().run }),
    ("snapshots", { SnapshotsTarget().run }),
]

guard CommandLine.arguments.count > 1, let target = targets.first(where: { $0.name == CommandLine.arguments[1] }) else {
    // Without a target: their names, for the Makefile.
    print(targets.map(\.name).joined(separator: " "))
    exit(CommandLine.arguments.count > 1 ? 2 : 0)
}

// A rule of the protocol that is broken (see debug.h), to see that a target notices.
if let mutant = ProcessInfo.processInfo.environment["IOMMU_FUZZ_MUTANT"] {
    probe_set_mutant(unsafe probe_mutant_number(mutant))
}

nonisolated(unsafe) let one = target.make()

// libFuzzer takes its arguments from the second on, as if the target were the program.
let status = unsafe fuzz_run(CommandLine.argc - 1, CommandLine.unsafeArgv + 1) { bytes, count in
    let input = unsafe [UInt8](UnsafeBufferPointer(start: bytes, count: count))
    do {
        try unsafe one(input)
    } catch {
        finding("an error that nothing explains: \(error)")
    }
    return 0
}
exit(status)
