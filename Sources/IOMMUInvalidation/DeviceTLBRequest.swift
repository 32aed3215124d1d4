// SPDX-License-Identifier: LGPL-2.1-or-later
//
// DeviceTLBRequest - what a device is asked to drop from its own cache (ATS), and its answer.

internal import CIOMMU
public import IOMMUCore

/// Translations that a device is asked to drop. It must be answered once, from any thread, also from inside the
/// handler.
public struct DeviceTLBRequest: Sendable {
    /// Which translations of the device.
    public enum Scope: Hashable, Sendable {
        /// Those of requests without a PASID.
        case withoutPASID
        /// Those of one PASID.
        case pasid(PASID)
        /// All: those of every PASID and those without one.
        case everything
    }

    /// Names the request in its unit; never used again.
    public let id: UInt64
    /// Whose translations.
    public let source: SourceID
    /// Which of them.
    public let scope: Scope
    /// Input addresses: whatever touches them is to be dropped.
    public let range: ClosedRange<IOVA>

    let unit: RemappingUnit

    /// Says that the device has dropped what this names and will use no translation from before. The first answer
    /// counts.
    ///
    /// - Parameter fine: False when the device could not: a completion error of the invalidation.
    /// - Returns: False when the request was not open any more, because it was answered before or its deadline has
    ///   passed: nothing changed.
    @discardableResult
    public func answer(fine: Bool = true) -> Bool {
        unit.answerDeviceTLB(id, fine: fine)
    }
}

extension DeviceTLBRequest {
    /// Reads what C wrote.
    init(_ request: ciommu_device_tlb_request, _ unit: RemappingUnit) {
        id = request.id
        source = SourceID(request.source)
        if request.global != 0 {
            scope = .everything
        } else {
            scope = PASID(request.pasid).map { .pasid($0) } ?? .withoutPASID
        }
        range = IOVA(request.first)...IOVA(request.last)
        self.unit = unit
    }
}

extension DeviceTLBRequest: CustomStringConvertible {
    /// A phrase such as `request 9: source 00:07.0, PASID 16, 0x1000...0x1fff`.
    public var description: String {
        let which =
            switch scope {
            case .withoutPASID: "no PASID"
            case .pasid(let pasid): "PASID \(pasid)"
            case .everything: "everything"
            }
        return "request \(id): source \(source), \(which), \(range.lowerBound)...\(range.upperBound)"
    }
}

extension RemappingUnit {
    /// Answers a request by its id, for a host that keeps ids only: otherwise as ``DeviceTLBRequest/answer(fine:)``.
    @discardableResult
    public func answerDeviceTLB(_ id: UInt64, fine: Bool = true) -> Bool {
        unsafe ciommu_device_tlb_answer(handle, id, fine) == CIOMMU_OK
    }

    /// Reports a time-out as hardware does, besides the exact device in ``InvalidationResult/failures``: every device-TLB
    /// entry of the segment counts as timed out [B-A4], also those whose devices had answered. Hardware says that such an
    /// entry is complete only through a later wait descriptor, and that one is aborted [FORMATS-VTD C4]. Of entries that
    /// were asked in an earlier wave (a segment of more than 64 ranges), the first and the last are listed. Off when a
    /// unit is made.
    public func setCoarseTimeouts(_ isCoarse: Bool) {
        unsafe ciommu_unit_set_coarse_timeouts(handle, isCoarse)
    }
}
