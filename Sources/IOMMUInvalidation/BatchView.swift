// SPDX-License-Identifier: LGPL-2.1-or-later
//
// BatchView - an array of entries where it lies, as C takes it. Valid as long as the memory is; it keeps nothing alive.

internal import CIOMMU
internal import IOMMUCore

/// Entries in somebody's memory.
@unsafe
struct BatchView {
    let format: InvalidationBatch.Format
    let entryLength: Int
    let count: Int
    let entries: UnsafeRawBufferPointer

    /// Checks what can be said better here than by C.
    init(
        _ format: InvalidationBatch.Format, _ entries: UnsafeRawBufferPointer, entryLength: Int?,
        for unit: RemappingUnit
    ) throws(IOMMUError) {
        let length = entryLength ?? format.entryLength
        unsafe count = try InvalidationBatch.count(byteCount: entries.count, entryLength: length, format)
        if let domain = format.domain, domain.unit !== unit {
            throw .otherUnit.with(detail: "the entries are against a nested domain of another unit")
        }
        unsafe self.format = format
        unsafe self.entryLength = length
        unsafe self.entries = entries
    }

    var wire: ciommu_batch {
        unsafe ciommu_batch(
            size: UInt32(MemoryLayout<ciommu_batch>.size), format: format.wire, entry_length: UInt32(entryLength),
            count: UInt32(count), entries: count == 0 ? nil : entries.baseAddress, domain: format.domain?.handle)
    }
}

extension ciommu_batch_result {
    /// Room for a result and some failures.
    static func empty(failures: UnsafeMutableBufferPointer<ciommu_batch_failure>) -> ciommu_batch_result {
        var result = unsafe ciommu_batch_result()
        unsafe result.size = UInt32(MemoryLayout<ciommu_batch_result>.size)
        unsafe result.capacity = UInt32(failures.count)
        unsafe result.failures = failures.count == 0 ? nil : failures.baseAddress
        return unsafe result
    }
}
