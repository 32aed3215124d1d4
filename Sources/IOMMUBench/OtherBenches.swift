// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Faults, what a host sets up, interrupt messages: their C objects, and subjects of them.

internal import CIOMMUBench

/// Faults and where they go.
@safe final class FaultBench {
    private static let faults: UInt32 = 64
    private let bench: OpaquePointer

    init() {
        unsafe bench = bench_faults_create()
    }

    deinit {
        unsafe bench_faults_destroy(bench)
    }

    /// What recording costs beyond the same fault that nobody hears of.
    private func subject(_ store: bench_fault_store) -> Subject {
        Subject(repeatOnce: { [self] in
            let with = unsafe bench_faults_record(bench, store, Self.faults)
            let without = unsafe bench_faults_record(bench, BENCH_FAULT_NOWHERE, Self.faults)
            return Sample(
                nanoseconds: Double(with) / Double(Self.faults), without: Double(without) / Double(Self.faults))
        })
    }

    func engine() -> Subject { subject(BENCH_FAULT_ENGINE) }

    func others() -> [Subject] {
        [BENCH_FAULT_MUTEX_QUEUE, BENCH_FAULT_TREE, BENCH_FAULT_WAIT_FREE].map(subject)
    }
}

/// What a host makes.
enum SetupStep {
    case unit, port, map, unmap, attach, replace

    var native: bench_step {
        switch self {
        case .unit: BENCH_STEP_UNIT
        case .port: BENCH_STEP_PORT
        case .map: BENCH_STEP_MAP
        case .unmap: BENCH_STEP_UNMAP
        case .attach: BENCH_STEP_ATTACH
        case .replace: BENCH_STEP_REPLACE
        }
    }

    /// Whether its memory is told too.
    var tellsBytes: Bool { self == .unit || self == .port }
}

/// Steps of a host.
@safe final class SetupBench {
    private let bench: OpaquePointer

    init() {
        unsafe bench = bench_setup_create()
    }

    deinit {
        unsafe bench_setup_destroy(bench)
    }

    func subject(_ step: SetupStep) -> Subject {
        Subject(repeatOnce: { [self] in
            Sample(nanoseconds: Double(unsafe bench_setup_take(bench, step.native, nil)))
        })
    }

    /// Memory that the step takes.
    func bytes(_ step: SetupStep) -> Int {
        var bytes: Int64 = 0
        _ = unsafe bench_setup_take(bench, step.native, &bytes)
        return Int(bytes)
    }
}

/// Delivery checks of interrupt messages.
@safe final class MessageBench {
    private static let checks: UInt32 = 1024
    private let bench: OpaquePointer

    init() {
        unsafe bench = bench_messages_create()
    }

    deinit {
        unsafe bench_messages_destroy(bench)
    }

    func engine() -> Subject {
        Subject(repeatOnce: { [self] in
            Sample(nanoseconds: Double(unsafe bench_messages_deliver(bench, Self.checks)) / Double(Self.checks))
        })
    }
}
