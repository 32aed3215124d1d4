// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A fault as VT-d's fault-recording registers hold it [FORMATS-VTD B7], for hosts that emulate one.

internal import CIOMMU
public import IOMMUCore

/// A VT-d fault-recording register, F set.
public struct FaultRecordingRegister: Hashable, Sendable {
    /// Bits 63:0.
    public var low: UInt64
    /// Bits 127:64.
    public var high: UInt64

    /// Makes a register from its halves.
    public init(low: UInt64, high: UInt64) {
        self.low = low
        self.high = high
    }
}

extension Fault {
    /// The register that tells a guest of this fault.
    ///
    /// Read together with write is the atomic type, execute is a read with EXE; PASID, PRIV and EXE are there for an
    /// explicit PASID only. Of an interrupt request the address is the index in the remapping table.
    ///
    /// - Parameter addressWidth: Bits of an input address that the unit implements, 12 to 64; those above read as zero.
    /// - Throws: ``IOMMUError/unsupported``: a fault without a VT-d code, or with a source id over 16 bits.
    ///   ``IOMMUError/invalidArgument``.
    public func recordingRegister(addressWidth: Int = 64) throws(IOMMUError) -> FaultRecordingRegister {
        guard let width = UInt32(exactly: addressWidth) else { throw .invalidArgument }
        var wire = ciommu_fault(self)
        return unsafe try withUnsafeTemporaryAllocation(of: UInt64.self, capacity: 2) { (words) throws(IOMMUError) in
            unsafe words.initialize(repeating: 0)
            try unsafe IOMMUError.check(ciommu_fault_frcd(&wire, width, words.baseAddress))
            return unsafe FaultRecordingRegister(low: words[0], high: words[1])
        }
    }
}
