// SPDX-License-Identifier: LGPL-2.1-or-later
//
// RecordedUnit - the unit of a recording in the middle of it: what `iommu dump` describes. The guest's register writes bring it there.

internal import IOMMU
public import IOMMUCapture
public import VirtualVTd

/// A recorded unit, and guest memory as far as the recording tells it, after some of the events.
public struct RecordedUnit: Sendable {
    /// Where to stop.
    public enum Place: Hashable, Sendable {
        /// After everything.
        case end
        /// After this many events.
        case event(Int)
        /// After the events up to this line of the stream.
        case line(Int)
    }

    /// Name of the capture folder.
    public let capture: String
    /// The events that have happened.
    public let event: Int
    /// All events of the recording.
    public let events: Int
    /// The file of the last event.
    public let file: String
    /// The line of the last event; nil when nothing has happened.
    public let line: Int?
    /// The state of the unit.
    public let snapshot: VirtualVTd.Snapshot
    /// Unexplained differences from the recorded unit so far.
    public let deviations: Int

    /// What the recording has told of memory so far.
    private let words: [UInt64: UInt64]

    /// Replays a recording through registers.
    ///
    /// - Parameters:
    ///   - capture: The recording, with its events.
    ///   - place: Where to stop.
    ///   - progress: Hears now and then which part of the recording is done, 0 to 1.
    /// - Throws: A ``ReplayError`` also for a place that the recording does not have.
    public init(
        _ capture: Capture, at place: Place = .end, progress: (Double) -> Void = { _ in }
    ) throws(ReplayError) {
        let stream = capture.events
        do throws(CaptureError) {
            // Refuses a stream that names more memory than tables can have.
            _ = try ReplayPlan(stream)
            event = try stream.count(to: place)
        } catch {
            throw .capture(error)
        }
        let replay = try RegisterReplay(stream, try Capabilities(recorded: capture.registers), ReplayOptions())
        var tally = StreamTally(deviations: DeviationList(limit: 0))
        try replay.advance(to: event, into: &tally, progress: progress)
        self.capture = capture.name
        events = stream.events.count
        file = stream.file
        line = event == 0 ? nil : stream.line(of: stream.events[event - 1])
        snapshot = replay.snapshot
        deviations = tally.deviations.count
        words = stream.words(before: event)
    }

    /// The word of guest memory at an address, a multiple of 8; nil where the recording has not told it yet.
    public func word(at address: UInt64) -> UInt64? {
        words[address]
    }

    /// The state in words.
    public func description(
        _ options: VirtualVTd.StateDescription.Options = .init()
    ) throws(ReplayError) -> VirtualVTd.StateDescription {
        do throws(IOMMUError) {
            return try VirtualVTd.StateDescription(snapshot, options: options, memory: word)
        } catch {
            throw .engine(error, doing: "describing the unit")
        }
    }
}

extension EventStream {
    /// The events up to a place.
    fileprivate func count(to place: RecordedUnit.Place) throws(CaptureError) -> Int {
        switch place {
        case .end:
            return events.count
        case .event(let number):
            guard (0...events.count).contains(number) else {
                throw CaptureError(file: file, "has \(events.count) events, so none has the number \(number)")
            }
            return number
        case .line(let number):
            let lines = lineCounts.values.reduce(0, +)
            guard (0...lines).contains(number) else {
                throw CaptureError(file: file, "has \(lines) lines, so none has the number \(number)")
            }
            return events.firstIndex { line(of: $0) > number } ?? events.count
        }
    }

    fileprivate func line(of event: Event) -> Int {
        let index = Int(event.index)
        let line =
            switch event.kind {
            case .registerWrite: registerWrites[index].line
            case .registerRead: registerReads[index].line
            case .memoryWrite: memoryWrites[index].line
            case .descriptor: descriptors[index].line
            case .translation: translations[index].line
            case .interrupt: interrupts[index].line
            case .signal: signals[index].line
            }
        return Int(line)
    }

    /// Memory after some of the events. Of a word that was only written in part the rest is not known, nor then the word.
    fileprivate func words(before end: Int) -> [UInt64: UInt64] {
        var words: [UInt64: UInt64] = [:]
        for event in events[..<end] where event.kind == .memoryWrite {
            let write = memoryWrites[Int(event.index)]
            let address = write.address & ~7
            guard write.size < 8 else {
                words[address] = write.value
                continue
            }
            let shift = (write.address & 7) * 8
            let mask: UInt64 = ((1 << (UInt64(write.size) * 8)) - 1) << shift
            if let word = words[address] { words[address] = word & ~mask | write.value << shift & mask }
        }
        return words
    }
}
