// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Streams made by hand: what counts as explained, and what does not.

import IOMMU
import IOMMUCapture
import IOMMUReplay
import Testing

@Suite struct MiniReplayTests {
    static let changeLeaf = "M \(String(MiniCapture.leaf, radix: 16)) 90003"
    static let beforeChange = "T 0038 - 10000 r -> 80000 fff 3 fault 0 u"
    static let afterChange = "T 0038 - 10000 r -> 90000 fff 3 fault 0 u"

    private func replay(_ events: [String], _ options: ReplayOptions = ReplayOptions()) throws -> ReplayReport {
        try Replay(options).run(MiniCapture(events: events).capture())
    }

    @Test func theRecordingAgrees() throws {
        let report = try replay([Self.beforeChange])
        #expect(report.isAgreement, "\(report.text)")
        #expect(report.translations == 1)
        #expect(report.explained.isEmpty)
    }

    @Test func anAnswerThatWasNotInvalidatedIsStillCached() throws {
        let report = try replay([Self.beforeChange, Self.changeLeaf, Self.afterChange])
        #expect(report.explained == ["stillCached": 1], "\(report.text)")
        #expect(report.unexplained == 0)
    }

    @Test func withoutCachesNothingIsStillCached() throws {
        var options = ReplayOptions()
        options.configuration = .noCache
        let report = try replay([Self.beforeChange, Self.changeLeaf, Self.afterChange], options)
        #expect(report.explained.isEmpty)
        #expect(report.agreed == 2)
    }

    @Test func anInvalidationEndsIt() throws {
        let domain = "D 0 0 90022 0 0 0"
        let report = try replay([Self.beforeChange, Self.changeLeaf, domain, Self.afterChange])
        #expect(report.explained.isEmpty)
        #expect(report.agreed == 2, "\(report.text)")
    }

    @Test func anotherDomainsInvalidationDoesNot() throws {
        let domain = "D 0 0 80022 0 0 0"
        let report = try replay([Self.beforeChange, Self.changeLeaf, domain, Self.afterChange])
        #expect(report.explained == ["stillCached": 1], "\(report.text)")
    }

    @Test func anAnswerThatNeverHeldIsUnexplained() throws {
        let report = try replay([Self.beforeChange, "T 0038 - 10000 r -> a0000 fff 3 fault 0 u"])
        #expect(report.unexplained == 1)
        #expect(report.exitCode == 1)
        let deviation = try #require(report.deviations.first)
        #expect(deviation.file == "replay.txt")
        #expect(deviation.line == MiniCapture.setup.count + 2)
        #expect(deviation.walk.contains { $0.contains("SSPTPTR=0x3000") })
    }

    @Test func aWrongMaskOrRightIsUnexplained() throws {
        let report = try replay([
            "T 0038 - 10000 r -> 0 1fffff 3 fault 0 u", "T 0038 - 10000 r -> 80000 fff 1 fault 0 u",
            "T 0038 - 10000 r -> 0 0 0 fault 6 -",
        ])
        #expect(report.unexplained == 3)
    }

    @Test func aHitWithoutTheRightIsExplainedOnlyByTheTables() throws {
        let right = "T 0038 - 11000 w -> 81000 fff 1 fault 0 h"
        #expect(try replay([right]).explained == ["permissionOnHit": 1])
        let wrong = "T 0038 - 11000 w -> 82000 fff 1 fault 0 h"
        #expect(try replay([wrong]).unexplained == 1)
    }

    @Test func legacyCodesAreNotMappedInLegacyMode() throws {
        #expect(try replay(["T 0038 - 12000 r -> 0 0 0 fault 5 -"]).unexplained == 1)
    }

    @Test func aRefusedDescriptorIsUnexplained() throws {
        let report = try replay(["D 0 0 2 0 0 0", Self.beforeChange])
        #expect(report.unexplained == 1)
        #expect(report.agreed == 1)
        #expect(report.deviations.first?.recorded.contains("IOTLB") == true)
    }

    @Test func translationOffPassesUnchanged() throws {
        let report = try replay([
            "W 18 4 0", "T 0038 - 12345 w -> 12000 fff 3 fault 0 off -", "W 18 4 80000000", Self.beforeChange,
        ])
        #expect(report.agreed == 2, "\(report.text)")
        #expect(try replay(["T 0038 - 12345 w -> 12000 fff 3 fault 0 off -"]).unexplained == 1)
    }

    @Test func rootTableMayBeWrittenInHalves() throws {
        var capture = MiniCapture(events: [])
        let setup = MiniCapture.setup.filter { !$0.hasPrefix("W 20 8") && !$0.hasPrefix("W 18") }
        let events = setup + ["W 20 4 1000", "W 24 4 0", "W 18 4 40000000", "W 18 4 80000000", Self.beforeChange]
        capture.files["replay.txt"] = [UInt8]((events.joined(separator: "\n") + "\n").utf8)
        let report = try Replay().run(capture.capture())
        #expect(report.agreed == 1, "\(report.text)")
    }

    @Test func writesOfTheUnitChangeTheTables() throws {
        let store = "S \(String(MiniCapture.leaf, radix: 16)) 8 90003"
        let report = try replay([store, Self.afterChange])
        #expect(report.agreed == 1, "\(report.text)")
    }

    @Test func theImageIsChecked() throws {
        var capture = MiniCapture()
        capture.files["probes.csv"] = [UInt8](
            """
            sid,pasid,iova,write,qemu_fault,iova_base,gpa_base,mask,perm
            0038,,10abc,0,0,10000,82000,fff,3

            """.utf8)
        capture.setSummary("{}")
        let report = try Replay().run(capture.capture())
        #expect(report.probes.unexplained == 1)
        #expect(report.exitCode == 1)
        #expect(report.deviations.first.map { "\($0.file):\($0.line)" } == "probes.csv:2")
    }

    @Test func aTableOfMappingsThatTheImageLacksIsADisagreement() throws {
        var capture = MiniCapture()
        let row = "00:07.0,0038,,ss,9,12000,82000,1000,1,1,1,0000000000082003\n"
        capture.files["mappings.csv", default: []] += [UInt8](row.utf8)
        capture.setSummary("{}")
        let report = try Replay().run(capture.capture())
        #expect(report.mappings.rows == 3)
        #expect(report.mappings.agreed == 2)
        #expect(!report.isAgreement)
    }

    @Test func theCapabilitiesMustBeConsistent() throws {
        // MGAW of 48 bits with no second-stage width: SAGAW = 0 in CAP, twice.
        var capture = MiniCapture()
        let text = String(decoding: capture.files["registers.json"] ?? [], as: UTF8.self)
        let broken = text.replacing("d2008c222f0606", with: "d2008c222f0106")
        capture.files["registers.json"] = [UInt8](broken.utf8)
        #expect {
            _ = try Replay().run(capture.capture())
        } throws: { error in
            "\(error)".hasPrefix("registers.json:")
        }
    }
}
