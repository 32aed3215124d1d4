// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Capture - a capture folder in memory, read and cross-checked. The entry point of this module.

/// A recording of an unmodified guest driving a VT-d unit.
///
/// The files are described in the README of every capture folder. Reading checks the syntax of every line and that the files
/// agree with each other; what the unit answered is not judged here.
public struct Capture: Sendable {
    /// Which parts of a recording are wanted.
    public struct Parts: OptionSet, Sendable {
        /// One bit a part.
        public let rawValue: Int

        /// Makes a set from bits.
        public init(rawValue: Int) {
            self.rawValue = rawValue
        }

        /// ``Capture/mappings``.
        public static let mappings = Parts(rawValue: 1)
        /// ``Capture/probes``.
        public static let probes = Parts(rawValue: 2)
        /// ``Capture/events``.
        public static let events = Parts(rawValue: 4)
        /// Everything.
        public static let all: Parts = [.mappings, .probes, .events]
    }

    /// The folder's name.
    public let name: String
    /// The registers at the stop.
    public let registers: RegisterFile
    /// The guest's tables at the stop.
    public let image: TableImage
    /// The present context entries or PASID-table entries of the image.
    public let contexts: [ContextRow]
    /// The leaves of the image; empty if they were not wanted.
    public let mappings: [MappingRow]
    /// The recorder's answers about the image; empty if they were not wanted.
    public let probes: [ProbeRow]
    /// What the unit saw and answered; empty if it was not wanted.
    public let events: EventStream

    /// The file that ``mappings`` come from, for messages.
    public let mappingsFile: String
    /// The file that ``probes`` come from, for messages.
    public let probesFile: String

    /// Reads a capture folder.
    ///
    /// - Parameters:
    ///   - folder: Path of the folder. A file in it may be compressed, with `.gz` after its name.
    ///   - parts: What is wanted besides registers, image and contexts.
    /// - Throws: An error with file and line for the first thing that is wrong.
    public init(folder: String, parts: Parts = .all) throws(CaptureError) {
        guard FileContents.isFolder(folder) else {
            throw CaptureError(file: folder, "is not a folder with a recording")
        }
        name = Self.lastComponent(of: folder)
        registers = try RegisterFile(CaptureFile("registers.json", in: folder))
        image = try TableImage(folder: folder)
        let contextsFile = try CaptureFile("contexts.csv", in: folder)
        contexts = try ContextRow.rows(contextsFile)
        var files = (mappings: "mappings.csv", probes: "probes.csv", events: "replay.txt")
        var parsed = (mappings: [MappingRow](), probes: [ProbeRow](), events: EventStream(file: files.events))
        if parts.contains(.mappings) {
            let file = try CaptureFile(files.mappings, in: folder)
            (files.mappings, parsed.mappings) = (file.name, try MappingRow.rows(file))
        }
        if parts.contains(.probes) {
            let file = try CaptureFile(files.probes, in: folder)
            (files.probes, parsed.probes) = (file.name, try ProbeRow.rows(file))
        }
        if parts.contains(.events) {
            parsed.events = try EventStream(CaptureFile(files.events, in: folder))
        }
        (mappingsFile, mappings) = (files.mappings, parsed.mappings)
        (probesFile, probes) = (files.probes, parsed.probes)
        events = parsed.events
        try checkImage()
        try checkContexts(contextsFile.name)
        try checkMappings()
        let summary = try CaptureFile("summary.json", in: folder)
        let document = try summary.parse { (reader) throws(CaptureError) in try JSONReader.document(&reader) }
        try SummaryCheck(file: summary.name, document: document).check(self, parts)
    }

    private static func lastComponent(of path: String) -> String {
        let components = path.split(separator: "/").filter { $0 != "." }
        return components.last.map(String.init) ?? path
    }
}
