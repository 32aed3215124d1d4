// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The one place where C results become Swift ones.

internal import CIOMMU
internal import IOMMUCore

extension InvalidationResult {
    /// Reads what C wrote.
    ///
    /// - Parameters:
    ///   - result: What C wrote; its failures are read.
    ///   - count: Entries of the batch.
    ///   - scheme: What the codes of the batch's format are.
    init(_ result: ciommu_batch_result, count: Int, scheme: HardwareError.Scheme) {
        let code = unsafe HardwareError(scheme, code: Int(result.code))
        let kept = unsafe min(result.failed, result.capacity)
        unsafe self.init(
            count: count,
            handled: Int(result.handled),
            error: ErrorClass(result.error, code),
            rule: result.text.map { unsafe String(cString: $0) },
            lowestIndex: Self.index(result.lowest),
            highestIndex: Self.index(result.highest),
            failures: UnsafeBufferPointer(start: result.failures, count: Int(kept)).map { Failure($0, code) },
            failureCount: Int(result.failed),
            merged: Int(result.merged),
            segments: Int(result.segments))
    }

    /// An index; nil for none.
    fileprivate static func index(_ index: UInt32) -> Int? {
        index == .max ? nil : Int(index)
    }
}

extension InvalidationResult.ErrorClass {
    /// Reads what C wrote; nil for no error.
    init?(_ error: UInt32, _ code: HardwareError) {
        switch ciommu_batch_error(error) {
        case CIOMMU_BATCH_FINE: return nil
        case CIOMMU_BATCH_DESCRIPTOR: self = .descriptor(code)
        case CIOMMU_BATCH_COMPLETION: self = .completion
        case CIOMMU_BATCH_TIMEOUT: self = .timeout
        default: preconditionFailure("the C library names error \(error), which its header does not have")
        }
    }
}

extension InvalidationResult.Failure {
    /// Reads what C wrote.
    init(_ failure: ciommu_batch_failure, _ code: HardwareError) {
        guard let error = InvalidationResult.ErrorClass(failure.error, code) else {
            preconditionFailure("the C library reports a failure that is none")
        }
        let hasDevice = failure.flags & CIOMMU_BATCH_HAS_DEVICE != 0
        let isPort = failure.flags & CIOMMU_BATCH_PORT != 0
        self.init(
            index: InvalidationResult.index(failure.index),
            error: error,
            device: hasDevice ? DeviceID(failure.device) : nil,
            source: failure.source == CIOMMU_ANY ? nil : SourceID(failure.source),
            pasid: PASID(failure.pasid),
            isAmbiguous: failure.flags & CIOMMU_BATCH_AMBIGUOUS != 0,
            portID: isPort ? failure.port_id : nil)
    }
}
