// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Which units there can be: each impossible combination of what a unit offers is refused by the name of the rule that it breaks, each
// possible one is made, those of recorded guests among them [FORMATS-VTD A, B2, B3, C1].

import IOMMU
import IOMMUTestSupport
import Testing
import VirtualVTd

/// A change of a unit that offers everything.
struct Offer: Sendable, CustomTestStringConvertible {
    let testDescription: String
    /// What the refusal must name; empty where there is none.
    let names: [String]
    var version: UInt8 = 0x10
    let change: @Sendable (inout Capabilities.Builder) -> Void

    init(
        _ description: String, refusedFor names: String..., version: UInt8 = 0x10,
        _ change: @escaping @Sendable (inout Capabilities.Builder) -> Void
    ) {
        (testDescription, self.names, self.version, self.change) = (description, names, version, change)
    }

    /// Makes the unit.
    func make() throws(IOMMUError) -> VirtualVTd {
        var builder = Capabilities.full.builder
        change(&builder)
        var configuration = VirtualVTd.Configuration(capabilities: try Capabilities(builder))
        configuration.version = version
        configuration.sizes = TestBench.smallCaches
        return try VirtualVTd(configuration, memory: GuestMemory())
    }
}

extension Capabilities.Builder {
    /// Takes away scalable mode and all that needs it.
    mutating func makeLegacy() {
        (scalableMode, firstStage, secondStage, nestedTranslation) = (false, false, false, false)
        (secondStageAccessedDirty, pasids, ridPASID, pageRequests) = (false, false, false, false)
    }

    /// Takes away the queue and all that needs it.
    mutating func makeRegistersOnly() {
        makeLegacy()
        (queuedInvalidation, deviceTLBs, interruptRemapping, extendedInterruptMode) = (false, false, false, false)
    }

    /// Leaves one way of translating with PASIDs.
    mutating func keep(first: Bool = false, second: Bool = false, nested: Bool = false, passThrough: Bool = false) {
        (firstStage, secondStage, nestedTranslation, self.passThrough) = (first, second, nested, passThrough)
        secondStageAccessedDirty = second
    }
}

@Suite struct ConfigurationTests {
    static let impossible: [Offer] = [
        // Scalable mode and its stages.
        Offer("no stage at all", refusedFor: "SMTS", "PT") { $0.keep() },
        Offer("nested without the first stage", refusedFor: "NEST", "FSTS") { $0.keep(second: true, nested: true) },
        Offer("nested without the second stage", refusedFor: "NEST", "SSTS") { $0.keep(first: true, nested: true) },
        Offer("marks without the second stage", refusedFor: "SSADS") {
            $0.keep(first: true)
            $0.secondStageAccessedDirty = true
        },
        Offer("a first stage in legacy mode", refusedFor: "SMTS") {
            $0.makeLegacy()
            $0.firstStage = true
        },
        Offer("a second stage in legacy mode", refusedFor: "SMTS") {
            $0.makeLegacy()
            $0.secondStage = true
        },
        Offer("nested in legacy mode", refusedFor: "SMTS") {
            $0.makeLegacy()
            $0.nestedTranslation = true
        },
        Offer("extended contexts", refusedFor: "ECAP.ECS") { $0.extendedContexts = true },
        // PASIDs.
        Offer("PASIDs in legacy mode", refusedFor: "PASID", "SMTS") {
            $0.makeLegacy()
            $0.pasids = true
        },
        Offer("RID_PASID in legacy mode", refusedFor: "RPS", "SMTS") {
            $0.makeLegacy()
            $0.ridPASID = true
        },
        Offer("PASIDs of 21 bits", refusedFor: "ECAP.PSS", "20") { $0.pasidBits = 21 },
        Offer("PASIDs of 32 bits", refusedFor: "ECAP.PSS", "20") { $0.pasidBits = 32 },
        // Queued invalidation.
        Offer("scalable without a queue", refusedFor: "SMTS", "ECAP.QI") {
            $0.makeRegistersOnly()
            ($0.scalableMode, $0.firstStage) = (true, true)
        },
        Offer("device-TLBs without a queue", refusedFor: "ECAP.DT", "ECAP.QI") {
            $0.makeRegistersOnly()
            $0.deviceTLBs = true
        },
        Offer("interrupt remapping without a queue", refusedFor: "ECAP.IR", "ECAP.QI") {
            $0.makeRegistersOnly()
            $0.interruptRemapping = true
        },
        Offer("version 6 without a queue", refusedFor: "version 6", "ECAP.QI", version: 0x60) {
            $0.makeRegistersOnly()
        },
        // Device-TLBs and page requests.
        Offer("page requests without device-TLBs", refusedFor: "PRS", "DT") { $0.deviceTLBs = false },
        Offer("page requests in legacy mode", refusedFor: "ECAP.PRS", "ECAP.SMTS") {
            $0.makeLegacy()
            $0.pageRequests = true
        },
        // Interrupt remapping.
        Offer("32-bit destinations without remapping", refusedFor: "ECAP.EIM", "ECAP.IR") {
            $0.interruptRemapping = false
        },
        Offer("posted interrupts", refusedFor: "CAP.PI") { $0.postedInterrupts = true },
        // Widths and pages.
        Offer("no width", refusedFor: "SAGAW") { $0.guestAddressWidths = [] },
        Offer("a width of 30 bits", refusedFor: "SAGAW") { $0.cap |= 1 << 8 },
        Offer("a width of 64 bits", refusedFor: "SAGAW") { $0.cap |= 1 << 12 },
        Offer("guest addresses of 29 bits", refusedFor: "MGAW") { $0.maximumGuestAddressWidth = 29 },
        Offer("guest addresses of 58 bits", refusedFor: "MGAW") { $0.maximumGuestAddressWidth = 58 },
        Offer("1 GiB pages alone", refusedFor: "SSLPS") { $0.secondStage2MiB = false },
        Offer("512 GiB pages", refusedFor: "CAP.SSLPS") { $0.cap |= 1 << 36 },
        Offer("domain ids of 18 bits", refusedFor: "CAP.ND") { $0.cap |= 7 },
        // Where registers lie.
        Offer("fault records over others", refusedFor: "CAP.FRO") { $0.faultRecordingOffset = 0x30 },
        Offer("the last fault record over others", refusedFor: "ECAP.IRO") {
            $0.iotlbRegisterOffset = 0x13f0
            ($0.faultRecordingOffset, $0.faultRecordingRegisters) = (0x400, 256)
        },
        Offer("IOTLB registers over others", refusedFor: "ECAP.IRO") { $0.iotlbRegisterOffset = 0xe0 },
        // What is not made at all.
        Offer("fault logging", refusedFor: "CAP.AFL") { $0.advancedFaultLogging = true },
        Offer("protected low memory", refusedFor: "CAP.PLMR") { $0.protectedLowMemory = true },
        Offer("protected high memory", refusedFor: "CAP.PHMR") { $0.protectedHighMemory = true },
        Offer("enhanced commands", refusedFor: "CAP.ECMDS") { $0.enhancedCommands = true },
        Offer("virtual commands", refusedFor: "ECAP.VCS") { $0.virtualCommands = true },
        Offer("performance monitoring", refusedFor: "ECAP.PMS") { $0.performanceMonitoring = true },
    ]

    static let possible: [Offer] = [
        Offer("everything") { _ in },
        Offer("legacy, registers only") { $0.makeRegistersOnly() },
        Offer("legacy, registers only, caching mode") {
            $0.makeRegistersOnly()
            $0.cachingMode = true
        },
        Offer("legacy, queue") { $0.makeLegacy() },
        Offer("legacy, no device-TLBs") {
            $0.makeLegacy()
            $0.deviceTLBs = false
        },
        Offer("first stage") { $0.keep(first: true) },
        Offer("second stage") { $0.keep(second: true) },
        Offer("both, not nested") { $0.keep(first: true, second: true) },
        Offer("nested") { $0.keep(first: true, second: true, nested: true) },
        Offer("pass-through alone") { $0.keep(passThrough: true) },
        Offer("first stage, no width of the second") {
            $0.keep(first: true)
            $0.guestAddressWidths = []
        },
        Offer("no PASIDs") { $0.pasids = false },
        Offer("PASIDs of one bit") { $0.pasidBits = 1 },
        Offer("PASIDs of 20 bits") { $0.pasidBits = 20 },
        Offer("a width of PASIDs that are not offered") {
            $0.pasids = false
            $0.pasidBits = 32
        },
        Offer("no page requests") { $0.pageRequests = false },
        Offer("8-bit destinations") { $0.extendedInterruptMode = false },
        Offer("no interrupt remapping") { ($0.interruptRemapping, $0.extendedInterruptMode) = (false, false) },
        Offer("39 bits") { ($0.guestAddressWidths, $0.maximumGuestAddressWidth) = (.bits39, 39) },
        Offer("48 bits") { ($0.guestAddressWidths, $0.maximumGuestAddressWidth) = (.bits48, 48) },
        Offer("57 bits") { ($0.guestAddressWidths, $0.maximumGuestAddressWidth) = (.bits57, 57) },
        Offer("a table of 48 bits for addresses of 39") {
            ($0.guestAddressWidths, $0.maximumGuestAddressWidth) = (.bits48, 39)
        },
        Offer("no snoop control") { $0.snoopControl = false },
        Offer("one fault record") { $0.faultRecordingRegisters = 1 },
        Offer("256 fault records") { $0.faultRecordingRegisters = 256 },
        Offer("fault records at the highest place") {
            ($0.faultRecordingOffset, $0.faultRecordingRegisters) = (0x3ff0, 256)
        },
        Offer("IOTLB registers behind the last fault record") {
            $0.iotlbRegisterOffset = 0x1400
            ($0.faultRecordingOffset, $0.faultRecordingRegisters) = (0x400, 256)
        },
        Offer("version 6", version: 0x60) { _ in },
    ]

    @Test(arguments: impossible) func impossibleUnits(_ offer: Offer) throws {
        do throws(IOMMUError) {
            _ = try offer.make()
            Issue.record("it was made")
        } catch {
            #expect(error == .inconsistent)
            let detail = error.detail ?? ""
            for name in offer.names { #expect(detail.contains(name), "\(detail)") }
        }
    }

    @Test(arguments: possible) func possibleUnits(_ offer: Offer) throws {
        let front = try offer.make()
        #expect(front.read(0, size: 4) == UInt64(offer.version))
        #expect(front.read(8, size: 8) == front.configuration.capabilities.cap)
        #expect(front.read(0x10, size: 8) == front.configuration.capabilities.ecap)
    }

    /// CAP and ECAP of guests that were recorded.
    @Test(arguments: [
        (UInt64(0xd2_008c_222f_0686), UInt64(0xf0_0f4a)), (0xd2_008c_222f_0606, 0xf0_0f4a),
        (0xd2_008c_222f_0606, 0xf0_0f4e), (0xd2_008c_222f_0606, 0x4800_80f0_0f4a),
        (0x1d2_008c_222f_0606, 0x8800_00f0_0f4a),
    ])
    func recordedUnits(cap: UInt64, ecap: UInt64) throws {
        let machine = try VTdMachine(try Capabilities(cap: cap, ecap: ecap))
        #expect(machine.read64(8) == cap)
        #expect(machine.read64(0x10) == ecap)
    }

    @Test func registersThatLieNowhereArePlaced() throws {
        let capabilities = try Capabilities(basedOn: .full) {
            ($0.iotlbRegisterOffset, $0.faultRecordingOffset) = (0, 0)
        }
        let placed = VirtualVTd.Configuration(capabilities: capabilities).capabilities
        #expect(placed.iotlbRegisterOffset == 0x100 && placed.faultRecordingOffset == 0x400)
        var configuration = VirtualVTd.Configuration()
        configuration.capabilities = capabilities
        do throws(IOMMUError) {
            _ = try VirtualVTd(configuration, memory: GuestMemory())
            Issue.record("registers lie over each other")
        } catch {
            #expect(error == .inconsistent && error.detail?.contains("CAP.FRO") == true)
        }
    }
}
