// SPDX-License-Identifier: LGPL-2.1-or-later
//
// TranslationResult - what became of a request. Faults are results, never errors.

public import CIOMMU

/// What became of one request.
public enum TranslationResult: Hashable, Sendable {
    /// Mapped, with the rights that were asked.
    case mapped(Translation)
    /// Refused.
    case fault(Fault)
    /// An interrupt message, never DMA: an untranslated request without PASID to 0xFEE00000 to 0xFEEFFFFF. The address is the
    /// input address [FORMATS-VTD A11].
    case interrupt(OutputAddress)

    /// The translation if the request is mapped.
    public var translation: Translation? {
        if case .mapped(let translation) = self { translation } else { nil }
    }

    /// The fault if the request was refused.
    public var fault: Fault? {
        if case .fault(let fault) = self { fault } else { nil }
    }
}

extension TranslationResult {
    /// Reads what C wrote.
    init(_ result: ciommu_result) {
        switch unsafe result.outcome {
        case CIOMMU_FAULT.rawValue:
            self = unsafe .fault(Fault(result.fault))
        case CIOMMU_INTERRUPT.rawValue:
            self = unsafe .interrupt(OutputAddress(result.address))
        default:
            self = unsafe .mapped(Translation(result))
        }
    }
}

extension Translation {
    /// Reads what C wrote of a request that is mapped.
    @inlinable
    init(_ result: ciommu_result) {
        unsafe self.init(
            address: OutputAddress(result.address), pageSizeLog2: Int(result.page_lg2),
            rights: AccessRights(rawValue: result.rights), contiguousBytes: result.contiguous,
            attributes: result.attributes)
    }
}

extension ciommu_result {
    /// Zero, with every `size` filled in.
    static var empty: ciommu_result {
        var result = unsafe ciommu_result()
        unsafe result.size = UInt32(MemoryLayout<ciommu_result>.size)
        unsafe result.fault = .empty
        return unsafe result
    }
}
