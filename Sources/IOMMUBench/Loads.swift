// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Loads - what the machine itself takes: loads that wait for each other.

internal import CIOMMUBench
import Foundation

/// A cycle of loads through some bytes.
@safe final class LoadChain {
    let bytes: UInt64
    private let chain: OpaquePointer

    init(bytes: UInt64) {
        self.bytes = bytes
        unsafe chain = bench_loads_create(bytes)
    }

    deinit {
        unsafe bench_loads_destroy(chain)
    }

    /// So many loads a repetition.
    func subject(_ count: UInt32) -> Subject {
        Subject(repeatOnce: {
            Sample(nanoseconds: Double(unsafe bench_loads_follow(self.chain, count)) / Double(count))
        })
    }
}

/// The two loads that every row is compared with.
final class Loads {
    /// Lies in the first cache.
    let near = LoadChain(bytes: 8 << 10)
    /// Lies in no cache, if there is the memory.
    let far: LoadChain
    /// Said when there is not.
    let note: String?

    private static let wanted: UInt64 = 512 << 20
    private static let least: UInt64 = 16 << 20

    /// `wantedBytes` of the far chain; less if the machine has not four times as much to spare.
    init(wantedBytes: UInt64? = nil) {
        let wanted = wantedBytes ?? Self.wanted
        var bytes = wanted
        if let free = Machine.availableBytes {
            while bytes > Self.least && bytes > free / 4 {
                bytes /= 2
            }
        }
        far = LoadChain(bytes: bytes)
        note =
            bytes == wanted
            ? nil
            : "memory is short: the loads that should miss all caches go through \(bytes >> 20) MiB instead of "
                + "\(wanted >> 20), and caches may hold some of it"
    }
}
