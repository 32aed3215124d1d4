// SPDX-License-Identifier: LGPL-2.1-or-later
//
// What `describe` and `walk` say about the recordings, against what the recorder itself found.

import Foundation
import IOMMU
import IOMMUCapture
import IOMMUReplay
import Testing

@Suite struct DescriptionTests {
    /// What a mapping is, whoever found it.
    struct Leaf: Hashable {
        let iova: UInt64
        let output: UInt64
        let size: UInt64
        let rights: AccessRights
    }

    @Test(arguments: Recording.allCases)
    func enumeratedMappingsAreTheRecordedOnes(_ recording: Recording) throws {
        let capture = try recording.load()
        let image = try ImageUnit(capture)
        for row in capture.contexts {
            var found: [Leaf] = []
            let enumerator = SpaceEnumerator(
                image, source: SourceID(UInt32(row.source)), pasid: row.pasid.flatMap { PASID($0) })
            let isComplete = try enumerator.enumerate {
                found.append(Leaf(iova: $0.iova, output: $0.output, size: $0.size, rights: $0.rights))
            }
            #expect(isComplete)
            let recorded = capture.mappings.filter { $0.source == row.source && $0.pasid == row.pasid }.map {
                Leaf(
                    iova: $0.iova, output: $0.output, size: $0.size,
                    rights: [$0.readable ? .read : [], $0.writable ? .write : []])
            }
            #expect(found == recorded.sorted { $0.iova < $1.iova }, "contexts.csv:\(row.line)")
        }
    }

    @Test(arguments: Recording.allCases)
    func descriptionHasEveryContextAndEveryPage(_ recording: Recording) throws {
        let capture = try recording.load()
        let description = try CaptureDescription(capture)
        #expect(description.isComplete)
        let named = description.entries.map { ($0.source, $0.pasid) }
        let recorded = capture.contexts.map { ("\(SourceID(UInt32($0.source)))", $0.pasid) }
        #expect(named.elementsEqual(recorded, by: ==))
        #expect(description.entries.allSatisfy { $0.fault == nil && $0.space != nil })
        #expect(description.spaces.count == Set(capture.contexts.map(\.entry)).count)
        // Devices that share a space have the same mappings in the recording, once each.
        let pages = description.spaces.reduce(0) { $0 + $1.pages * $1.sources.count }
        #expect(pages == capture.mappings.count)
        let merged = description.spaces.reduce(0) { $0 + $1.ranges.reduce(0) { $0 + $1.pages } * $1.sources.count }
        #expect(merged == capture.mappings.count)
        #expect(description.text.contains("CAP.SAGAW"))
    }

    @Test func sharedDomainsAreShownTogether() throws {
        let description = try CaptureDescription(Recording.legacy.load())
        let shared = description.spaces.filter { $0.sources.count > 1 }
        #expect(shared.map(\.sources) == [["00:1f.0", "00:1f.2", "00:1f.3"], ["02:00.0", "03:00.0", "03:01.0"]])
        #expect(shared.map(\.domain) == [12, 14])
    }

    @Test func walkShowsEveryEntryWithItsFields() throws {
        let image = try ImageUnit(Recording.scalableFirstStage.load())
        let report = try WalkReport(
            image, source: try #require(SourceID("00:07.0")), pasid: nil, iova: 0x8000_0000, access: .write)
        let walk = try #require(report.walks.first)
        #expect(report.walks.count == 1)
        #expect(
            walk.steps.map(\.table) == [
                "scalable root", "scalable context", "PASID directory", "PASID table", "first stage", "first stage",
                "first stage",
            ])
        #expect(walk.steps.map(\.level) == [nil, nil, nil, nil, 3, 2, 1])
        #expect(walk.steps[3].fields["PGTT"] == "1")
        #expect(walk.steps[3].fields["DID"] == "9")
        #expect(walk.steps[6].fields["PS"] == "1")
        #expect(walk.end.outcome == "mapped")
        #expect(walk.end.pageSize == 1 << 21)
        #expect(walk.end.rights == "RW")
    }

    @Test func walkWithRefusedPASIDShowsTheWayBeyond() throws {
        let image = try ImageUnit(Recording.scalableSecondStage.load())
        let source = try #require(SourceID("00:07.0"))
        let report = try WalkReport(image, source: source, pasid: PASID(0), iova: 0x8000_0000, access: .read)
        #expect(report.walks.map(\.end.outcome) == ["fault", "mapped"])
        #expect(report.walks[0].end.code == "0x45")
        #expect(report.walks[1].note?.contains("PASIDE=0") == true)
        #expect(report.text.contains("SCT.6"))
        let absent = try WalkReport(image, source: source, pasid: PASID(1), iova: 0, access: .read)
        #expect(absent.walks.map(\.end.code) == ["0x45", "0x59"])
    }

    @Test func walkNamesTheFault() throws {
        let image = try ImageUnit(Recording.legacy.load())
        let report = try WalkReport(
            image, source: try #require(SourceID("0038")), pasid: nil, iova: 0x40_0000_0000, access: .write)
        let end = try #require(report.walks.first?.end)
        #expect(end.code == "0x5")
        #expect(end.name == "LGN.2")
        #expect(end.text?.isEmpty == false)
        #expect(end.entryAddress != nil)
    }

    @Test func reportsAreJSON() throws {
        let capture = try Recording.scalableFirstStage.load()
        let description = try CaptureDescription(capture)
        let copy = try JSONDecoder().decode(CaptureDescription.self, from: JSONEncoder().encode(description))
        #expect(copy == description)
        let report = try Replay().run(capture)
        let encoded = try JSONEncoder().encode(report)
        let object = try #require(JSONSerialization.jsonObject(with: encoded) as? [String: Any])
        #expect(
            Set(object.keys) == [
                "capture", "translations", "agreed", "explained", "unexplained", "mappings", "probes", "invalidations",
                "iotlb", "threads", "seconds", "nanosecondsPerTranslation",
            ])
        let keys = object.mapValues { Set(($0 as? [String: Any] ?? [:]).keys) }
        #expect(keys["mappings"] == ["rows", "agreed"])
        #expect(keys["probes"] == ["rows", "agreed", "explained", "unexplained"])
        #expect(keys["iotlb"] == ["lookups", "firstLevelHits", "hits", "walks"])
        #expect(keys["seconds"] == ["load", "replay", "probes"])
    }
}
