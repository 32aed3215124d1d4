// SPDX-License-Identifier: LGPL-2.1-or-later
//
// CaptureError - what is wrong with a recording, and where: file and line, so that it can be looked at.

/// Why a recording cannot be read.
public struct CaptureError: Error, Hashable, Sendable {
    /// The file inside the capture folder, such as `replay.txt.gz`, or the folder itself.
    public let file: String
    /// The line of the (uncompressed) file, counted from 1; nil where the file as a whole is meant.
    public let line: Int?
    /// What is wrong, a phrase without a full stop.
    public let message: String

    /// Makes an error from its parts.
    public init(file: String, line: Int? = nil, _ message: String) {
        self.file = file
        self.line = line
        self.message = message
    }
}

extension CaptureError: CustomStringConvertible {
    /// `file:line: message`, as compilers write it.
    public var description: String {
        guard let line else { return "\(file): \(message)" }
        return "\(file):\(line): \(message)"
    }
}
