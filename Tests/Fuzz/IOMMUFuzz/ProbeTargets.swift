// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Targets whose work is in C: page requests beside their model, and calls of the public interface that the rule of histories judges.

import CIOMMUProbe

/// Page requests, responses, detaches, clocks: whatever the bytes say, beside the model.
func runPages(_ bytes: [UInt8]) {
    var result = probe_page_result()
    guard unsafe !probe_page_bytes(bytes, bytes.count, &result) else { return }
    finding(unsafe withUnsafeBytes(of: result.first) { unsafe String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) })
}

/// Calls in any order, and their answers.
func runHistory(_ bytes: [UInt8]) {
    var first = [CChar](repeating: 0, count: 400)
    guard unsafe !probe_history_bytes(bytes, bytes.count, &first, first.count) else { return }
    finding(String(decoding: first.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self))
}
