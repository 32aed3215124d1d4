// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Says which rule a call on a device broke. C answers with a status; here is what it was about.

internal import CIOMMU
internal import IOMMUCore

extension Device {
    /// Why there is no device.
    static func error(
        _ status: ciommu_status, _ id: DeviceID, _ source: SourceID, _ share: Share, _ unit: RemappingUnit
    ) -> IOMMUError {
        let error = IOMMUError(status)
        switch error {
        case .overlap:
            return error.with(detail: "another device of source id \(source) leaves no room for \(share)")
        case .inUse:
            return error.with(detail: "the parent device of source id \(source) has attached some of \(share)")
        case .exists:
            return error.with(detail: "the unit has a device \(id)")
        case .unsupported where !unit.capabilities.pasids:
            return error.with(detail: "a slice needs ECAP.PASID")
        case .unsupported:
            return error.with(detail: "the unit has \(unit.capabilities.pasidBits)-bit PASIDs, too few for \(share)")
        case .invalidArgument where source.rawValue > 0xffff:
            return error.with(detail: "source id \(source) has more than 16 bits")
        default:
            return error
        }
    }

    /// Why an attachment did not change.
    func error(_ status: ciommu_status, at pasid: PASID?) -> IOMMUError {
        let error = IOMMUError(status)
        let requests = pasid.map { "PASID \($0)" } ?? "requests without PASID"
        switch error {
        case .occupied:
            return error.with(detail: "\(requests) of source id \(sourceID)")
        case .notAttached:
            return error.with(detail: "\(requests) of device \(id)")
        case .notOwned:
            return error.with(detail: "device \(id) owns \(share), not \(requests)")
        case .inUse:
            return error.with(detail: "device \(id), or one that shares \(requests), has a guest's PASID table")
        case .unsupported where !unit.capabilities.pasids:
            return error.with(detail: "\(requests) need ECAP.PASID")
        case .unsupported:
            return error.with(detail: "\(requests): the unit has \(unit.capabilities.pasidBits)-bit PASIDs")
        default:
            return error
        }
    }

    /// Why a table was not bound.
    func error(_ status: ciommu_status, binding table: PASIDTable) -> IOMMUError {
        let error = IOMMUError(status)
        let capabilities = unit.capabilities
        let largest = capabilities.pasids ? min(max(capabilities.pasidBits, 6), PASID.bitWidth) : 6
        switch error {
        case .unsupported where table.model != .vtd:
            let model = UnitDescription.Model.vtd
            return error.with(detail: "a table of model \(table.model) behind a unit of model \(model)")
        case .unsupported where table.format != 0:
            return error.with(detail: "PASID-table format \(table.format); VT-d has format 0")
        case .unsupported where table.levels != 2:
            return error.with(detail: "\(table.levels) levels; a PASID table of VT-d has 2")
        case .unsupported where !capabilities.scalableMode:
            return error.with(detail: "a PASID table needs ECAP.SMTS")
        case .unsupported:
            return error.with(detail: "PASID \(table.ridPASID) for requests without one needs ECAP.RPS")
        case .misaligned:
            return error.with(detail: "the PASID directory \(table.address) is not a multiple of 4096")
        case .outOfRange where table.pasidBits < 6 || table.pasidBits > largest:
            return error.with(detail: "\(table.pasidBits) PASID bits; the unit takes 6 to \(largest)")
        case .outOfRange where table.ridPASID.rawValue >> UInt32(table.pasidBits) != 0:
            return error.with(detail: "PASID \(table.ridPASID) has more than \(table.pasidBits) bits")
        case .outOfRange:
            let width = capabilities.hostAddressWidth
            return error.with(detail: "the PASID directory \(table.address) ends beyond \(width) bits")
        case .inUse:
            return error.with(detail: "device \(id), or one that shares its PASIDs, has attachments or a bound table")
        default:
            return error
        }
    }
}
