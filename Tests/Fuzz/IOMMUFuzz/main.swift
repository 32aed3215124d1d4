// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The fuzz targets behind libFuzzer, whose arguments are the program's; IOMMU_FUZZ_TARGET names the target. A new target is a file
// and a line here.

import CIOMMUFuzz
import CIOMMUProbe
import Foundation

/// Every target by name, in the order of `make fuzz`.
let targets: [(name: String, make: () -> ([UInt8]) throws -> Void)] = [
    ("tables", { TablesTarget().run }),
    ("descriptors", { DescriptorsTarget().run }),
    ("pages", { runPages }),
    ("captures", { CapturesTarget().run }),
    ("snapshots", { SnapshotsTarget().run }),
    ("history", { runHistory }),
    ("registers", { RegistersTarget().run }),
]

let environment = ProcessInfo.processInfo.environment

// In the environment, for libFuzzer starts itself again with its own arguments to merge and to minimise.
guard let name = environment["IOMMU_FUZZ_TARGET"] else {
    // Without a target: their names, for the script that runs them.
    print(targets.map(\.name).joined(separator: " "))
    exit(0)
}
guard let target = targets.first(where: { $0.name == name }) else { fatalError("there is no target \(name)") }

// A rule of the protocol that is broken (see debug.h), or what a target itself breaks, to see that the target notices.
if let mutant = environment["IOMMU_FUZZ_MUTANT"], FuzzDamage(rawValue: mutant) == nil {
    let number = unsafe probe_mutant_number(mutant)
    if number == 0 { fatalError("there is no rule \(mutant)") }
    probe_set_mutant(number)
}

nonisolated(unsafe) let one = target.make()

let status = unsafe fuzz_run(CommandLine.argc, CommandLine.unsafeArgv) { bytes, count in
    let input = unsafe [UInt8](UnsafeBufferPointer(start: bytes, count: count))
    do {
        try unsafe one(input)
    } catch {
        finding("an error that nothing explains: \(error)")
    }
    return 0
}
exit(status)
