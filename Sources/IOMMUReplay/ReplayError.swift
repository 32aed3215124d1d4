// SPDX-License-Identifier: LGPL-2.1-or-later
//
// ReplayError - why a replay cannot start. What goes wrong while it runs is a deviation, a result.

public import IOMMU
public import IOMMUCapture

/// Why a recording cannot be replayed or looked at.
public enum ReplayError: Error, Hashable, Sendable {
    /// The recording is wrong; the error says where.
    case capture(CaptureError)
    /// The engine refused what it was given.
    case engine(IOMMUError, doing: String)
}

extension ReplayError {
    /// What a program that replays ends with: 2, bad input.
    public static let exitCode: Int32 = 2
}

extension ReplayError: CustomStringConvertible {
    /// One line, with file and line where there is one.
    public var description: String {
        switch self {
        case .capture(let error): "\(error)"
        case .engine(let error, let doing): "\(doing): \(error)"
        }
    }
}
