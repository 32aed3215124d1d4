// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Which types are legal where, and every field of every type [FORMATS-VTD C1, C2].

import CIOMMU
import IOMMUTestSupport

/// Judges descriptors on units of all capabilities, in some queues.
private func judge(
    _ queues: [Queue], _ log: inout MismatchLog, models: [UnitModel] = UnitModel.forBatches,
    in table: TableBenches = TableBenches(), _ descriptors: (UnitModel) -> [Descriptor]
) {
    for model in models {
        for queue in queues {
            let bench = table.bench(model, queue)
            for descriptor in descriptors(model) { bench.judge(descriptor, &log) }
        }
    }
}

/// One accepted descriptor of every type, if type and mode are.
private let representatives: [Descriptor] = (0..<16).map { type in
    Descriptor(type | (type == 1 || type == 2 ? 1 << 4 : type == 6 || type == 7 ? 3 << 4 : 0))
}

private func queues(_ condition: (Queue) -> Bool) -> [Queue] {
    Queue.all.filter(condition)
}

/// Counts refusals with a code beside the comparison: that the reference itself says what the row says.
private func expect(
    _ descriptor: Descriptor, _ model: UnitModel, _ queue: Queue, _ code: Int?, _ log: inout MismatchLog,
    in table: TableBenches
) {
    let bench = table.bench(model, queue)
    let widened = descriptor.widened(queue.isWide)
    log.compare(bench.check.refusal(widened), code, "the reference on \(queue), \(model), \(widened)")
    bench.judge(descriptor, &log)
}

private let wide = Queue(tableMode: 1, isWide: true)

let typeRows: [FormatRow] = [
    FormatRow(FormatNotes.types[0]) { log in
        let table = TableBenches()
        let queue = Queue(tableMode: 0, isWide: false)
        judge([queue], &log) { _ in representatives }
        for type in 0..<16 {
            expect(representatives[type], .full, queue, (1...5).contains(type) ? nil : 3, &log, in: table)
        }
    },
    FormatRow(FormatNotes.types[1]) { log in
        let table = TableBenches()
        let queue = Queue(tableMode: 0, isWide: true)
        judge([queue], &log) { _ in representatives }
        for (model, code) in [(.full, nil), (.noAbort, nil), (.oldWithAbort, nil), (.old, 5)] as [(UnitModel, Int?)] {
            for type in 1...5 { expect(representatives[type], model, queue, code, &log, in: table) }
        }
    },
    FormatRow(FormatNotes.types[2]) { log in
        let table = TableBenches()
        for mode: UInt64 in [1, 3] {
            let queue = Queue(tableMode: mode, isWide: false)
            judge([queue], &log) { _ in representatives }
            for type in 0..<16 { expect(representatives[type], .full, queue, 5, &log, in: table) }
        }
    },
    FormatRow(FormatNotes.types[3]) { log in
        let table = TableBenches()
        for mode: UInt64 in [1, 3] {
            let queue = Queue(tableMode: mode, isWide: true)
            judge([queue], &log) { _ in representatives }
            for type in 0..<16 {
                expect(representatives[type], .full, queue, (1...9).contains(type) ? nil : 3, &log, in: table)
            }
        }
    },
    FormatRow(FormatNotes.types[4]) { log in
        let table = TableBenches()
        let absent: [(UnitModel, Set<Int>)] = [
            (.noDeviceTLB, [3, 8, 9]), (.noPageRequests, [9]), (.noInterrupts, [4]), (.full, []),
        ]
        for (model, types) in absent {
            for type in 1...9 {
                expect(representatives[type], model, wide, types.contains(type) ? 3 : nil, &log, in: table)
            }
        }
    },
    FormatRow(FormatNotes.types[5]) { log in
        let table = TableBenches()
        let reserved = queues { $0.tableMode == 2 }
        judge(reserved, &log) { model in representatives + (1...9).flatMap { Descriptor.limits($0, model) } }
        for queue in reserved { expect(.iotlbGlobal, .full, queue, 7, &log, in: table) }
    },
    FormatRow(FormatNotes.types[6]) { log in
        let table = TableBenches()
        judge(Queue.all, &log, models: UnitModel.extremes) { _ in
            (1..<8).flatMap { high in representatives.map { Descriptor($0.words[0] | high << 9) } }
        }
        for high: UInt64 in 1..<8 { expect(Descriptor(0x12 | high << 9), .full, wide, 3, &log, in: table) }
    },
    FormatRow(FormatNotes.types[7]) { log in
        for queue in queues(\.isWide) {
            let bench = TableBench(.full, queue)
            for descriptor in representatives where descriptor.words[0] & 15 != 9 {
                for bit in 128..<256 {
                    var changed = descriptor.widened()
                    changed.words[bit / 64] = 1 << UInt64(bit % 64)
                    bench.judge(changed, &log)
                }
            }
        }
        // Private data of old page-group responses goes to the host as it is written.
        let bench = TableBench(.full, wide)
        var response = Descriptor(9).widened()
        response.words[2] = 0x0123_4567_89ab_cdef
        response.words[3] = .max
        log.compare(bench.bench.apply([response], isWide: true).isSuccess(of: 1), true, "private data")
        log.compare(bench.bench.takeEvents(), [.pageResponse(index: 0, words: response.words)], "private data")
    },
]

/// Every queue and every capability; every granularity, every limit, every single bit.
private func layout(_ types: ClosedRange<UInt64>) -> @Sendable (inout MismatchLog) throws -> Void {
    { log in
        let table = TableBenches()
        for type in types {
            judge(Queue.all, &log, in: table) { model in Descriptor.plain(type) + Descriptor.limits(type, model) }
            for queue in Queue.all {
                for model in UnitModel.extremes {
                    let bench = table.bench(model, queue)
                    for descriptor in Descriptor.plain(type).flatMap({ $0.flips(queue.isWide) }) {
                        bench.judge(descriptor, &log)
                    }
                }
            }
        }
    }
}

let layoutRows: [FormatRow] =
    (0..<10).map { index in
        let type = UInt64(index + 1)
        return FormatRow(FormatNotes.layouts[index], layout(type...type))
    } + [
        FormatRow(FormatNotes.layouts[10]) { log in
            try layout(0...0)(&log)
            try layout(0xb...0xf)(&log)
        }
    ]
