// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Recordings - the four recordings of the repository, read once for all tests.

import IOMMUCapture
import Testing

/// A recording of a Linux guest.
enum Recording: String, CaseIterable, CustomTestStringConvertible {
    case legacy = "A1-legacy-ss48-strict-cm"
    case legacyATS = "A3-legacy-ats-lazy"
    case scalableSecondStage = "B1-scalable-ss48-strict"
    case scalableFirstStage = "C1-scalable-fs-strict"

    var testDescription: String { rawValue }

    /// Its folder: one is a resource of the tool, the others are the tests' own.
    var folder: String {
        let here = #filePath.split(separator: "/").dropLast(3)
        let root = "/" + here.joined(separator: "/")
        let parent = self == .scalableFirstStage ? "Sources/IOMMUTool/Captures" : "Tests/Captures"
        return "\(root)/\(parent)/\(rawValue)"
    }

    /// The recording in memory.
    func load() throws -> Capture {
        switch self {
        case .legacy: try Self.legacyCapture.get()
        case .legacyATS: try Self.legacyATSCapture.get()
        case .scalableSecondStage: try Self.secondStageCapture.get()
        case .scalableFirstStage: try Self.firstStageCapture.get()
        }
    }

    private static let legacyCapture = Result { try Capture(folder: Recording.legacy.folder) }
    private static let legacyATSCapture = Result { try Capture(folder: Recording.legacyATS.folder) }
    private static let secondStageCapture = Result { try Capture(folder: Recording.scalableSecondStage.folder) }
    private static let firstStageCapture = Result { try Capture(folder: Recording.scalableFirstStage.folder) }
}
