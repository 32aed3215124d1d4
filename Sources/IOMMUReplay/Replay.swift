// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Replay - a whole replay: read, stream, image, report. The entry point of this module.

internal import IOMMU
public import IOMMUCapture

/// Replays recordings.
public struct Replay {
    /// What a replay is at.
    public enum Phase: Hashable, Sendable {
        /// Reading the recording.
        case load
        /// The stream, with the number of the pass from 0.
        case stream(pass: Int)
        /// The image.
        case image
    }

    /// How it is done.
    public let options: ReplayOptions
    private let progress: (Phase, Double) -> Void

    /// Makes a replay.
    ///
    /// - Parameters:
    ///   - options: How it is done.
    ///   - progress: Hears now and then, on the calling thread, which part of a phase is done, 0 to 1.
    public init(_ options: ReplayOptions = ReplayOptions(), progress: @escaping (Phase, Double) -> Void = { _, _ in }) {
        self.options = options
        self.progress = progress
    }

    /// Reads and replays a capture folder.
    ///
    /// - Throws: An error for a recording that cannot be read. Whatever can be read ends in a report.
    public func run(folder: String) throws(ReplayError) -> ReplayReport {
        let clock = ContinuousClock()
        let start = clock.now
        progress(.load, 0)
        let capture: Capture
        do throws(CaptureError) {
            capture = try Capture(folder: folder)
        } catch {
            throw .capture(error)
        }
        return try run(capture, loadTime: start.duration(to: clock.now))
    }

    /// Replays a recording that is in memory.
    ///
    /// - Parameters:
    ///   - capture: The recording.
    ///   - loadTime: How long it took to read it, for the report.
    public func run(_ capture: Capture, loadTime: Duration = .zero) throws(ReplayError) -> ReplayReport {
        let clock = ContinuousClock()
        let start = clock.now
        let capabilities = try Capabilities(recorded: capture.registers)
        var stream = StreamTally(deviations: DeviationList(limit: options.keptDeviations))
        let plan: ReplayPlan
        do throws(CaptureError) {
            plan = try ReplayPlan(capture.events)
        } catch {
            throw .capture(error)
        }
        for pass in 0..<max(options.repeats, 1) {
            if options.isThroughRegisters {
                let replay = try RegisterReplay(capture.events, capabilities, options)
                try replay.run(into: &stream) { progress(.stream(pass: pass), $0) }
            } else {
                let replay = try StreamReplay(capture.events, plan, capabilities, options)
                try replay.run(into: &stream) { progress(.stream(pass: pass), $0) }
            }
        }
        let streamEnd = clock.now
        var image = ImageTally(
            mappingDeviations: DeviationList(limit: options.keptDeviations),
            probeDeviations: DeviationList(limit: options.keptDeviations))
        try ImageCheck(capture, options).run(into: &image) { progress(.image, $0) }
        let seconds = ReplayReport.Seconds(
            load: Self.seconds(loadTime), replay: Self.seconds(start.duration(to: streamEnd)),
            probes: Self.seconds(streamEnd.duration(to: clock.now)))
        return report(capture, stream, image, seconds)
    }

    private func report(
        _ capture: Capture, _ stream: StreamTally, _ image: ImageTally, _ seconds: ReplayReport.Seconds
    ) -> ReplayReport {
        let perTranslation = stream.translations == 0 ? 0 : seconds.replay * 1e9 / Double(stream.translations)
        return ReplayReport(
            capture: capture.name, translations: stream.translations, agreed: stream.agreed,
            explained: Self.named(stream.explained), unexplained: stream.deviations.count,
            mappings: ReplayReport.Mappings(rows: image.mappings, agreed: image.mappingsAgreed),
            probes: ReplayReport.Probes(
                rows: image.probes, agreed: image.probesAgreed, explained: Self.named(image.explained),
                unexplained: image.probeDeviations.count),
            invalidations: stream.invalidations, batches: options.isBatched ? stream.batches : nil,
            registers: options.isThroughRegisters ? stream.registers : nil,
            iotlb: stream.lookups, threads: options.threads, seconds: seconds,
            nanosecondsPerTranslation: (perTranslation * 10).rounded() / 10,
            deviations: stream.deviations.kept + image.mappingDeviations.kept + image.probeDeviations.kept)
    }

    private static func named(_ counts: [Explanation: Int]) -> [String: Int] {
        Dictionary(uniqueKeysWithValues: counts.map { ($0.key.rawValue, $0.value) })
    }

    /// Whole microseconds, as seconds.
    private static func seconds(_ duration: Duration) -> Double {
        let (seconds, attoseconds) = duration.components
        return Double(seconds) + (Double(attoseconds) / 1e12).rounded() / 1e6
    }
}
