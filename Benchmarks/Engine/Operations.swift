// SPDX-License-Identifier: LGPL-2.1-or-later
//
// What a host does now and then: map, attach, replace, faults, page requests, interrupt messages. Each checks what it did.

import Benchmark
import EngineInC
import IOMMU

/// engine_operations, destroyed with this object.
private final class OperationsInC {
    let handle: OpaquePointer

    init() {
        handle = engine_operations_create()
    }

    deinit {
        engine_operations_destroy(handle)
    }
}

func registerOperations() {
    register("map/16-pages-and-unmap", engine_map_and_unmap) { try $0.mapAndUnmap() }
    register("attach/and-detach", engine_attach_and_detach) { try $0.attachAndDetach() }
    register("attach/replace", engine_replace) { try $0.replace() }
    register("fault/record-and-read", engine_fault) { try $0.fault() }
    register("page-request/round-trip", engine_page_request) { try $0.pageRequest() }
    register("interrupt/message-delivery", engine_message) { try $0.raiseMessage() }
}

private func register(
    _ name: String, _ inC: @escaping (OpaquePointer?) -> Void,
    _ inSwift: @escaping (OperationsInSwift) throws -> Void
) {
    compare(
        name,
        c: { OperationsInC() }, swift: { try OperationsInSwift() },
        runC: { benchmark, operations in
            for _ in benchmark.scaledIterations {
                inC(operations.handle)
            }
        },
        runSwift: { benchmark, operations in
            for _ in benchmark.scaledIterations {
                try inSwift(operations)
            }
        })
}
