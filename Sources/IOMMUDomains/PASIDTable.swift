// SPDX-License-Identifier: LGPL-2.1-or-later
//
// PASIDTable - where a guest's own PASID table lies and of what kind it is.

public import IOMMUCore

/// A guest-owned PASID table [B-B2]: of VT-d, a scalable-mode PASID directory [FORMATS-VTD A5, A6].
public struct PASIDTable: Hashable, Sendable, Codable {
    /// Whose format it has.
    public var model: UnitDescription.Model
    /// Which of the model's formats: of VT-d 0, the scalable-mode PASID directory.
    public var format: UInt32
    /// Levels of tables: of VT-d 2.
    public var levels: Int
    /// PASIDs in it are below 2^pasidBits, larger ones fault: 6 to 20, not more than ECAP.PSS + 1.
    public var pasidBits: Int
    /// The PASID of requests that carry none; 0 without ECAP.RPS.
    public var ridPASID: PASID
    /// Output address of the directory, a multiple of 4096.
    public var address: OutputAddress

    /// Names a table. Nothing is checked before it is bound to a device.
    public init(
        model: UnitDescription.Model = .vtd, format: UInt32 = 0, levels: Int = 2, pasidBits: Int = 20,
        ridPASID: PASID = PASID(0)!, address: OutputAddress
    ) {
        self.model = model
        self.format = format
        self.levels = levels
        self.pasidBits = pasidBits
        self.ridPASID = ridPASID
        self.address = address
    }
}
