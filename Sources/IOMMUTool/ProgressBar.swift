// SPDX-License-Identifier: LGPL-2.1-or-later
//
// ProgressBar - a line on the terminal that says how far a replay or a benchmark is. Nothing if standard error is no terminal.

import Foundation
import IOMMUReplay

/// A progress bar on standard error.
final class ProgressBar {
    private static let width = 30
    /// Drawing more often than this costs more than it tells.
    private static let interval = Duration.milliseconds(50)

    private let isTerminal = isatty(FileHandle.standardError.fileDescriptor) == 1
    private let passes: Int
    private var lastDrawn: ContinuousClock.Instant?

    /// Makes a bar for a replay with this many passes.
    init(passes: Int) {
        self.passes = passes
    }

    /// Shows where the replay is.
    func show(_ phase: Replay.Phase, _ fraction: Double) {
        guard isTerminal else { return }
        var fraction = min(max(fraction, 0), 1)
        if case .stream(let pass) = phase {
            fraction = (Double(pass) + fraction) / Double(passes)
        }
        show(label: label(phase), fraction)
    }

    /// Shows how much of anything is done, 0 to 1, and what comes next.
    func show(label: String, _ fraction: Double) {
        guard isTerminal else { return }
        let now = ContinuousClock.now
        if let lastDrawn, lastDrawn.duration(to: now) < Self.interval { return }
        lastDrawn = now
        let fraction = min(max(fraction, 0), 1)
        let filled = Int(Double(Self.width) * fraction)
        let bar = String(repeating: "#", count: filled) + String(repeating: ".", count: Self.width - filled)
        write("\r\u{1b}[K\(label) [\(bar)] \(Int(fraction * 100)) %")
    }

    /// Clears the line.
    func finish() {
        guard isTerminal, lastDrawn != nil else { return }
        write("\r\u{1b}[K")
    }

    private func label(_ phase: Replay.Phase) -> String {
        switch phase {
        case .load: "loading"
        case .stream(let pass): passes > 1 ? "replaying \(pass + 1)/\(passes)" : "replaying"
        case .image: "checking the image"
        }
    }

    private func write(_ text: String) {
        FileHandle.standardError.write(Data(text.utf8))
    }
}
