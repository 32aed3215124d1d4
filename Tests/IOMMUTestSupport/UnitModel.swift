// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The capability registers of a unit under test, bit positions from the format notes (B2, B3) and independent of the engine's own
// decoder.

/// Registers, revision and address width: all that decides how a unit reads its tables.
package struct UnitModel: Hashable, Sendable, CustomStringConvertible {
    package var cap: UInt64 = 0
    package var ecap: UInt64 = 0
    /// 3 or 4: where the revisions of the architecture differ.
    package var revision: Int
    package var hostAddressWidth: Int

    /// Revision 4 with everything that the engine implements.
    package static let full = UnitModel(revision: 4)
    /// Revision 3 with execute requests and memory types besides.
    package static let revision3: UnitModel = {
        var model = UnitModel(revision: 3)
        model[.executeRequests] = 1
        model[.memoryTypes] = 1
        return model
    }()

    package init(revision: Int, hostAddressWidth: Int = 52) {
        self.revision = revision
        self.hostAddressWidth = hostAddressWidth
        self[.domains] = 6
        self[.secondStageWidths] = 0b01110
        self[.maximumGuestAddressWidth] = 56
        self[.secondStageLargePages] = 3
        self[.pageSelective] = 1
        self[.maximumAddressMask] = 48
        self[.hostAddressMaskValue] = 15
        self[.pasidWidth] = 19
        let switches: [Field] = [
            .firstStage1GiB, .firstStage5Level, .deviceTLB, .interruptRemapping, .passThrough, .snoopControl, .nesting,
            .pageRequests, .supervisorRequests, .extendedAccessed, .pasid, .pageRequestDrain, .scalableMode,
            .secondStageMarks, .secondStage, .firstStage, .snoopedWalks, .requestPASID, .abortMode, .requestPrivilege,
        ]
        for field in switches { self[field] = 1 }
        ecap |= 1 << 0 | 1 << 1 | 1 << 4  // coherent walks, queued invalidation, extended interrupt mode
        cap |= 1 << 54 | 1 << 55  // drain of writes and reads
    }

    /// A copy with some fields changed.
    package func with(_ changes: (inout UnitModel) -> Void) -> UnitModel {
        var copy = self
        changes(&copy)
        return copy
    }

    package func with(_ field: Field, _ value: UInt64) -> UnitModel {
        with { $0[field] = value }
    }

    package subscript(_ field: Field) -> UInt64 {
        get {
            let (isExtended, bits) = field.place
            return ((isExtended ? ecap : cap) >> UInt64(bits.lowerBound)) & (1 << UInt64(bits.count) - 1)
        }
        set {
            let (isExtended, bits) = field.place
            let mask = (UInt64(1) << UInt64(bits.count) - 1) << UInt64(bits.lowerBound)
            let value = (newValue << UInt64(bits.lowerBound)) & mask
            if isExtended { ecap = ecap & ~mask | value } else { cap = cap & ~mask | value }
        }
    }

    package func has(_ field: Field) -> Bool { self[field] != 0 }

    /// Width of guest addresses: CAP.MGAW + 1.
    package var guestAddressWidth: Int { Int(self[.maximumGuestAddressWidth]) + 1 }
    /// Width of a domain id.
    package var domainWidth: Int { 4 + 2 * Int(self[.domains]) }

    /// True for AW values (1, 2, 3) that CAP.SAGAW offers.
    package func supports(addressWidth: UInt64) -> Bool {
        (1...3).contains(addressWidth) && (self[.secondStageWidths] >> addressWidth) & 1 == 1
    }

    package var description: String {
        "cap \(hex(cap)) ecap \(hex(ecap)) revision \(revision) width \(hostAddressWidth)"
    }

    /// A capability field.
    package enum Field: CaseIterable, Hashable, Sendable {
        case domains, cachingMode, secondStageWidths, maximumGuestAddressWidth, secondStageLargePages, pageSelective
        case maximumAddressMask, firstStage1GiB, firstStage5Level
        case deviceTLB, interruptRemapping, passThrough, snoopControl, hostAddressMaskValue, memoryTypes, nesting
        case pageRequests, executeRequests, supervisorRequests, extendedAccessed, pasidWidth, pasid, pageRequestDrain
        case scalableMode, secondStageMarks, secondStage, firstStage, snoopedWalks, requestPASID, abortMode
        case requestPrivilege

        /// Whether it is in ECAP, and its bits.
        var place: (isExtended: Bool, bits: ClosedRange<Int>) {
            switch self {
            case .domains: (false, 0...2)
            case .cachingMode: (false, 7...7)
            case .secondStageWidths: (false, 8...12)
            case .maximumGuestAddressWidth: (false, 16...21)
            case .secondStageLargePages: (false, 34...37)
            case .pageSelective: (false, 39...39)
            case .maximumAddressMask: (false, 48...53)
            case .firstStage1GiB: (false, 56...56)
            case .firstStage5Level: (false, 60...60)
            case .deviceTLB: (true, 2...2)
            case .interruptRemapping: (true, 3...3)
            case .passThrough: (true, 6...6)
            case .snoopControl: (true, 7...7)
            case .hostAddressMaskValue: (true, 20...23)
            case .memoryTypes: (true, 25...25)
            case .nesting: (true, 26...26)
            case .pageRequests: (true, 29...29)
            case .executeRequests: (true, 30...30)
            case .supervisorRequests: (true, 31...31)
            case .extendedAccessed: (true, 34...34)
            case .pasidWidth: (true, 35...39)
            case .pasid: (true, 40...40)
            case .pageRequestDrain: (true, 42...42)
            case .scalableMode: (true, 43...43)
            case .secondStageMarks: (true, 45...45)
            case .secondStage: (true, 46...46)
            case .firstStage: (true, 47...47)
            case .snoopedWalks: (true, 48...48)
            case .requestPASID: (true, 49...49)
            case .abortMode: (true, 52...52)
            case .requestPrivilege: (true, 53...53)
            }
        }
    }
}
