// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Values of the C interface of batches, comparable and without pointers.

import CIOMMU
import IOMMUTestSupport

/// "Nothing failed" and "no device".
let nothing = UInt32.max

/// One reported failure.
struct BatchFailure: Hashable {
    var index: UInt32
    var error: UInt32
    var flags: UInt32
    var portID: UInt32

    static func late(_ index: UInt32, port: UInt32) -> BatchFailure {
        BatchFailure(index: index, error: errorTimeout, flags: CIOMMU_BATCH_PORT, portID: port)
    }
}

let errorFine = CIOMMU_BATCH_FINE.rawValue
let errorDescriptor = CIOMMU_BATCH_DESCRIPTOR.rawValue
let errorTimeout = CIOMMU_BATCH_TIMEOUT.rawValue

/// What a batch answered. `text` is only whether there is one: its words are not a contract.
struct BatchResult: Hashable {
    var status: UInt32
    var error = errorFine
    var code: UInt32 = 0
    var handled: UInt32 = 0
    var lowest = nothing
    var highest = nothing
    var failed: UInt32 = 0
    var failures: [BatchFailure] = []
    var hasText = false
    var merged: UInt32 = 0
    var segments: UInt32 = 0

    init(_ status: ciommu_status) {
        self.status = status.rawValue
    }

    var isOK: Bool { status == CIOMMU_OK.rawValue }

    /// Whether it is exactly what a refusal of entry `index` looks like.
    func isRefusal(at index: Int, code: UInt32) -> Bool {
        let index = UInt32(index)
        return status == CIOMMU_BAD_DESCRIPTOR.rawValue && error == errorDescriptor && self.code == code
            && handled == index && lowest == index && highest == index && failed == 1 && hasText
            && failures == [BatchFailure(index: index, error: errorDescriptor, flags: 0, portID: 0)]
    }

    /// Whether it is exactly what success of `count` entries looks like.
    func isSuccess(of count: Int) -> Bool {
        isOK && error == errorFine && code == 0 && handled == UInt32(count) && lowest == nothing
            && highest == nothing && failed == 0 && failures.isEmpty && !hasText
    }
}

/// What an observer heard.
struct Heard: Hashable {
    var kind: UInt32
    var domain: UInt32
    var pasid: UInt32
    var source: UInt32
    var sourceMask: UInt32
    var stages: UInt32
    var isLeafOnly: Bool
    var first: UInt64
    var last: UInt64
}

/// What a batch did that its host can see, in order.
enum HostEvent: Hashable {
    case interruptCache(index: UInt32, first: UInt32, last: UInt32)
    case pageResponse(index: UInt32, words: [UInt64])
    /// `status` is what the watched status word held at that time.
    case waited(index: UInt32, interrupt: Bool, status: UInt32?)
    case heard(Heard)
    case wrote(address: UInt64, length: UInt64)
}
