// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Capabilities: where each field lies (a table of its own, from FORMATS-VTD B2 and B3), names, and refused contradictions.

import IOMMU
import Testing

@Suite struct CapabilitiesTests {
    /// Name, lowest bit, bits.
    static let fields: [(String, UInt64, UInt64)] = [
        ("CAP.ND", 0, 3), ("CAP.AFL", 3, 1), ("CAP.RWBF", 4, 1), ("CAP.PLMR", 5, 1), ("CAP.PHMR", 6, 1),
        ("CAP.CM", 7, 1), ("CAP.SAGAW", 8, 5), ("CAP.MGAW", 16, 6), ("CAP.ZLR", 22, 1), ("CAP.FRO", 24, 10),
        ("CAP.SSLPS", 34, 4), ("CAP.PSI", 39, 1), ("CAP.NFR", 40, 8), ("CAP.MAMV", 48, 6), ("CAP.DWD", 54, 1),
        ("CAP.DRD", 55, 1), ("CAP.FS1GP", 56, 1), ("CAP.PI", 59, 1), ("CAP.FS5LP", 60, 1), ("CAP.ECMDS", 61, 1),
        ("CAP.ESIRTPS", 62, 1), ("CAP.ESRTPS", 63, 1),
        ("ECAP.C", 0, 1), ("ECAP.QI", 1, 1), ("ECAP.DT", 2, 1), ("ECAP.IR", 3, 1), ("ECAP.EIM", 4, 1),
        ("ECAP.PT", 6, 1), ("ECAP.SC", 7, 1), ("ECAP.IRO", 8, 10), ("ECAP.MHMV", 20, 4), ("ECAP.ECS", 24, 1),
        ("ECAP.MTS", 25, 1), ("ECAP.NEST", 26, 1), ("ECAP.DIS", 27, 1), ("ECAP.PRS", 29, 1),
        ("ECAP.ERS", 30, 1), ("ECAP.SRS", 31, 1), ("ECAP.POT", 32, 1), ("ECAP.NWFS", 33, 1),
        ("ECAP.EAFS", 34, 1), ("ECAP.PSS", 35, 5), ("ECAP.PASID", 40, 1), ("ECAP.DIT", 41, 1),
        ("ECAP.PDS", 42, 1), ("ECAP.SMTS", 43, 1), ("ECAP.VCS", 44, 1), ("ECAP.SSADS", 45, 1),
        ("ECAP.SSTS", 46, 1), ("ECAP.FSTS", 47, 1), ("ECAP.SMPWCS", 48, 1), ("ECAP.RPS", 49, 1),
        ("ECAP.TDXIO", 50, 1), ("ECAP.PMS", 51, 1), ("ECAP.ADMS", 52, 1), ("ECAP.RPRIVS", 53, 1),
        ("ECAP.SMS", 58, 1),
    ]

    @Test func everyFieldLiesWhereTheSpecificationSays() throws {
        for (name, low, bits) in Self.fields {
            let maximum: UInt64 = (1 << bits) - 1
            var builder = Capabilities.Builder()
            try builder.set(name, to: maximum)
            #expect((name.hasPrefix("CAP") ? builder.cap : builder.ecap) == maximum << low, "\(name)")
            #expect((name.hasPrefix("CAP") ? builder.ecap : builder.cap) == 0, "\(name)")
            #expect(try builder.value(of: name.lowercased()) == maximum)
            builder = Capabilities.Builder(cap: .max, ecap: .max)
            try builder.set(name, to: 0)
            #expect((name.hasPrefix("CAP") ? builder.cap : builder.ecap) == ~(maximum << low), "\(name)")
            #expect(throws: IOMMUError.invalidArgument) { try builder.set(name, to: maximum + 1) }
        }
    }

    @Test func propertiesListEveryFieldInOrder() {
        let names = Capabilities.full.properties.map(\.name)
        #expect(names == ["revision", "HAW"] + Self.fields.map(\.0))
        let values = Dictionary(uniqueKeysWithValues: Capabilities.full.properties.map { ($0.name, $0.value) })
        #expect(values["CAP.SAGAW"] == "39, 48, 57")
        #expect(values["CAP.MGAW"] == "56 (57 bits)")
        #expect(values["CAP.SSLPS"] == "2 MiB, 1 GiB")
        #expect(values["CAP.PSI"] == "yes")
        #expect(values["CAP.CM"] == "no")
        #expect(values["HAW"] == "52 bits")
    }

    @Test func unknownNameIsNotFound() {
        var builder = Capabilities.Builder()
        #expect(throws: IOMMUError.notFound) { try builder.set("CAP.NOPE", to: 1) }
        #expect(throws: IOMMUError.notFound) { try builder.value(of: "ND") }
    }

    @Test func fullOffersWhatTheEngineImplements() throws {
        let full = Capabilities.full
        #expect(full.domainBits == 16)
        #expect(full.guestAddressWidths == [.bits39, .bits48, .bits57])
        #expect(full.maximumGuestAddressWidth == 57)
        #expect(full.secondStage2MiB && full.secondStage1GiB && full.firstStage1GiB && full.firstStage5Level)
        #expect(full.scalableMode && full.firstStage && full.secondStage && full.nestedTranslation && full.passThrough)
        #expect(full.pasids && full.pasidBits == 20)
        #expect(full.hostAddressWidth == 52 && full.revision == .v4)
        #expect(try Capabilities(cap: full.cap, ecap: full.ecap, hostAddressWidth: 52) == full)
    }

    @Test func scaledFieldsReadAndWriteTheirMeaning() throws {
        let capabilities = try Capabilities {
            $0.domainBits = 8
            $0.maximumGuestAddressWidth = 48
            $0.guestAddressWidths = .bits48
            $0.faultRecordingOffset = 0x220
            $0.faultRecordingRegisters = 8
            $0.maximumAddressMask = 9
            $0.iotlbRegisterOffset = 0xf0
            $0.maximumHandleMask = 4
            $0.pasidBits = 16
            $0.secondStage1GiB = false
        }
        #expect(capabilities.domainBits == 8)
        #expect(capabilities.cap & 7 == 2)
        #expect(capabilities.cap >> 16 & 63 == 47)
        #expect(capabilities.cap >> 24 & 0x3ff == 0x22)
        #expect(capabilities.faultRecordingOffset == 0x220)
        #expect(capabilities.cap >> 40 & 255 == 7)
        #expect(capabilities.maximumAddressMask == 9)
        #expect(capabilities.ecap >> 8 & 0x3ff == 0xf)
        #expect(capabilities.maximumHandleMask == 4)
        #expect(capabilities.ecap >> 35 & 31 == 15)
        #expect(capabilities.secondStage2MiB && !capabilities.secondStage1GiB)
        #expect(capabilities.guestAddressWidths.description == "48")
    }

    @Test func hostAddressWidthFollowsTheGuestsUnlessSet() throws {
        var builder = Capabilities.Builder()
        builder.maximumGuestAddressWidth = 39
        #expect(builder.hostAddressWidth == 39)
        builder.maximumGuestAddressWidth = 57
        #expect(builder.hostAddressWidth == 52)
        builder.maximumGuestAddressWidth = 20
        #expect(builder.hostAddressWidth == 32)
        builder.hostAddressWidth = 46
        builder.maximumGuestAddressWidth = 48
        #expect(builder.hostAddressWidth == 46)
        let full = Capabilities.full
        #expect(try Capabilities(cap: full.cap, ecap: full.ecap, hostAddressWidth: 40).hostAddressWidth == 40)
    }

    @Test func contradictionsAreRefusedWithTheRule() throws {
        func refusal(_ change: (inout Capabilities.Builder) -> Void) -> String? {
            #expect(throws: IOMMUError.inconsistent) { try Capabilities(basedOn: .full, change) }?.detail
        }
        #expect(refusal { $0.secondStage = false }?.contains("NEST") == true)
        #expect(refusal { $0.scalableMode = false }?.contains("SMTS") == true)
        #expect(refusal { $0.guestAddressWidths = [] }?.contains("SAGAW") == true)
        #expect(refusal { $0.secondStage2MiB = false }?.contains("SSLPS") == true)
        #expect(refusal { $0.deviceTLBs = false }?.contains("DT") == true)
        #expect(refusal { $0.hostAddressWidth = 53 }?.contains("host address width") == true)
        #expect(refusal { $0.hostAddressWidth = -1 }?.contains("host address width") == true)
        #expect(refusal { $0.cap |= 7 }?.contains("ND") == true)
    }

    @Test func legacyUnitIsConsistent() throws {
        var builder = Capabilities.Builder()
        builder.guestAddressWidths = .bits39
        builder.maximumGuestAddressWidth = 39
        #expect(builder.contradiction == nil)
        #expect(try Capabilities(builder).scalableMode == false)
    }

    @Test func equalUnitsAreEqualHoweverBuilt() throws {
        var implicit = Capabilities.Builder(cap: Capabilities.full.cap, ecap: Capabilities.full.ecap)
        #expect(implicit == Capabilities.full.builder)
        #expect(implicit.hashValue == Capabilities.full.builder.hashValue)
        implicit.revision = .v3
        #expect(implicit != Capabilities.full.builder)
    }
}
