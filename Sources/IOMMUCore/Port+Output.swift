// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Copies at output addresses, untranslated: what a unit itself reads and writes, such as the queues of a front end.

internal import CIOMMU

extension Port {
    /// Reads registered memory at an output address, in a section of its own or the caller's.
    ///
    /// - Parameters:
    ///   - address: Of the first byte.
    ///   - bytes: Gets them. After an error some may have been read.
    /// - Throws: ``IOMMUError/noHostMemory`` where nothing is registered; ``IOMMUError/wraps``.
    package func readOutput(_ address: OutputAddress, into bytes: inout MutableRawSpan) throws(IOMMUError) {
        var done: UInt64 = 0
        let status = unsafe bytes.withUnsafeMutableBytes { bytes in
            unsafe ciommu_output_read(handle, address.rawValue, bytes.baseAddress, UInt64(bytes.count), &done)
        }
        try IOMMUError.check(status)
    }

    /// Writes registered memory at an output address, in a section of its own or the caller's. The dirty log hears of it.
    ///
    /// - Throws: ``IOMMUError/noHostMemory`` where nothing is registered; ``IOMMUError/readOnly``; ``IOMMUError/wraps``. Some bytes may
    ///   have been written then.
    package func writeOutput(_ bytes: RawSpan, to address: OutputAddress) throws(IOMMUError) {
        var done: UInt64 = 0
        let status = unsafe bytes.withUnsafeBytes { bytes in
            unsafe ciommu_output_write(handle, address.rawValue, bytes.baseAddress, UInt64(bytes.count), &done)
        }
        try IOMMUError.check(status)
    }
}
