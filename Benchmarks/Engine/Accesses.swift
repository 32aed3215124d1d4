// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Access to memory: scatter lists of 64 KiB, and copies of 64 bytes and 4 KiB from inside a section. What is read is checked.

import Benchmark
import CIOMMUBench
import EngineInC
import IOMMU

private let shapes = [("64-pages", Shape(pages: 64)), ("4Ki-pages", Shape(pages: 1 << 12))]

func registerAccesses() {
    for (name, shape) in shapes {
        register("list/64-KiB/\(name)", shape, length: 65_536, runC: engine_list, runSwift: list)
        register("access/64-B/\(name)", shape, length: 64, runC: engine_access, runSwift: access)
        register("access/4-KiB/\(name)", shape, length: 4096, runC: engine_access, runSwift: access)
    }
}

private func register(
    _ name: String, _ shape: Shape, length: UInt64,
    runC: @escaping (OpaquePointer, UnsafePointer<ciommu_request>, UInt32) -> Void,
    runSwift: @escaping (Port, Span<Request>) throws(IOMMUError) -> Bool
) {
    compare(
        name,
        c: {
            let world = WorldInC(shape)
            for page in 0..<shape.pages {
                var request = ciommu_request()
                request.source = shape.source(0).rawValue
                request.pasid = .max
                request.iova = shape.firstInput + UInt64(page) * 4096
                engine_mark_page(world.port(), &request)
            }
            return world
        },
        swift: {
            let world = try WorldInSwift(shape)
            for page in 0..<shape.pages {
                let iova = shape.firstInput + UInt64(page) * 4096
                let words = (0..<UInt64(512)).map { iova + $0 * 8 }
                _ = try world.port.write(words.span.bytes, to: IOVA(iova), source: shape.source(0))
            }
            return world
        },
        runC: { benchmark, world in
            world.chooseAligned(length)
            benchmark.startMeasurement()
            runC(world.port(), world.requests, UInt32(world.requests.count))
            benchmark.stopMeasurement()
        },
        runSwift: { benchmark, world in
            world.chooseAligned(length)
            let requests = world.requests
            benchmark.startMeasurement()
            let isRight = try runSwift(world.port, requests.span)
            benchmark.stopMeasurement()
            precondition(isRight, "a wrong answer")
        })
}

@inline(never)
private func list(_ port: Port, _ requests: Span<Request>) throws(IOMMUError) -> Bool {
    var isRight = true
    for index in requests.indices {
        let request = requests[index]
        try port.withAccess(
            to: request.iova, count: request.count, access: request.access, source: request.source
        ) { segments in
            let word = segments.bytes(of: 0)?.unsafeLoad(as: UInt64.self)
            isRight = isRight && segments.isComplete && word == request.iova.rawValue
        }
    }
    return isRight
}

@inline(never)
private func access(_ port: Port, _ requests: Span<Request>) throws(IOMMUError) -> Bool {
    var isRight = true
    let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: 4096, alignment: 8)
    defer { bytes.deallocate() }
    for index in requests.indices {
        let request = requests[index]
        try port.withAccess(
            to: request.iova, count: request.count, access: request.access, source: request.source
        ) { segments in
            let isRead: Bool? = segments.withUnsafeBytes(of: 0) { memory in
                bytes.copyMemory(from: memory)
                return true
            }
            isRight = isRight && isRead == true && segments.isComplete
        }
        isRight = isRight && bytes.load(as: UInt64.self) == request.iova.rawValue
    }
    return isRight
}
