// SPDX-License-Identifier: LGPL-2.1-or-later
//
// LineReader - takes numbers and words out of a text file, byte by byte, and knows the line it is in. It makes no String unless
// there is something to complain about, because an event stream has millions of columns. Whatever the bytes are, it ends in a
// value or in an error with a line.

/// A position in a text file.
struct LineReader {
    let file: String
    let bytes: [UInt8]
    private(set) var position = 0
    /// Line of ``position``, counted from 1.
    private(set) var line = 1

    init(file: String, bytes: [UInt8]) {
        self.file = file
        self.bytes = bytes
    }

    /// Nothing is left.
    var isAtEnd: Bool { position >= bytes.count }

    /// The next byte, or 0 at the end; a file of text has no 0.
    @inline(__always)
    var next: UInt8 { position < bytes.count ? bytes[position] : 0 }

    /// An error in the current line.
    func error(_ message: String) -> CaptureError {
        CaptureError(file: file, line: line, message)
    }

    /// Takes one byte.
    @inline(__always)
    mutating func skip() {
        position += 1
    }

    /// Takes one byte, which must be `byte`.
    @inline(__always)
    mutating func expect(_ byte: UInt8) throws(CaptureError) {
        guard next == byte, !isAtEnd else { throw unexpected("'\(Character(UnicodeScalar(byte)))'") }
        position += 1
    }

    /// Takes one space.
    @inline(__always)
    mutating func space() throws(CaptureError) {
        guard next == UInt8(ascii: " ") else { throw unexpected("a space") }
        position += 1
    }

    /// Takes `text`, literally.
    mutating func expect(_ text: StaticString) throws(CaptureError) {
        let length = text.utf8CodeUnitCount
        let matches =
            bytes.count - position >= length
            && (0..<length).allSatisfy { unsafe bytes[position + $0] == text.utf8Start[$0] }
        guard matches else { throw unexpected("\"\(text)\"") }
        position += length
    }

    /// Takes the end of the line. The last line of a file has one too, or the file was cut off.
    @inline(__always)
    mutating func endLine() throws(CaptureError) {
        guard next == UInt8(ascii: "\n") else { throw unexpected("the end of the line") }
        position += 1
        line += 1
    }

    /// Takes a hexadecimal number, lower case, without prefix.
    ///
    /// - Parameters:
    ///   - what: Its name, for the error.
    ///   - max: The greatest value that is right.
    @inline(__always)
    mutating func hexadecimal(_ what: StaticString, max: UInt64 = .max) throws(CaptureError) -> UInt64 {
        let start = position
        var value: UInt64 = 0
        while position < bytes.count, let digit = Self.digit(bytes[position]) {
            guard value >> 60 == 0 else { throw error("\(what) has more than 64 bits") }
            value = value << 4 | digit
            position += 1
        }
        guard position > start else { throw unexpected("\(what) in hexadecimal") }
        guard value <= max else {
            throw error("\(what) is 0x\(String(value, radix: 16)), over 0x\(String(max, radix: 16))")
        }
        return value
    }

    /// Takes a hexadecimal number that is padded to a number of digits.
    mutating func padded(_ what: StaticString, digits: Int) throws(CaptureError) -> UInt64 {
        let start = position
        let value = try hexadecimal(what)
        guard position - start == digits else { throw error("\(what) does not have \(digits) digits") }
        return value
    }

    /// Takes a decimal number.
    mutating func decimal(_ what: StaticString, max: UInt64) throws(CaptureError) -> UInt64 {
        let start = position
        var value: UInt64 = 0
        while position < bytes.count, let digit = Self.digit(bytes[position]), digit < 10 {
            let (product, overflow) = value.multipliedReportingOverflow(by: 10)
            let (sum, carry) = product.addingReportingOverflow(digit)
            guard !overflow, !carry else { throw error("\(what) has more than 64 bits") }
            value = sum
            position += 1
        }
        guard position > start else { throw unexpected("\(what) in decimal") }
        guard value <= max else { throw error("\(what) is \(value), over \(max)") }
        return value
    }

    /// Takes the bytes up to `end`, a line's end or the file's end, and leaves that.
    mutating func text(_ what: StaticString, upTo end: UInt8) throws(CaptureError) -> String {
        let start = position
        while position < bytes.count, bytes[position] != end, bytes[position] != UInt8(ascii: "\n") {
            position += 1
        }
        guard let text = String(validating: bytes[start..<position], as: UTF8.self) else {
            throw error("\(what) is not text")
        }
        return text
    }

    /// The error for something that is not `what`.
    func unexpected(_ what: String) -> CaptureError {
        error("expected \(what), found \(found)")
    }

    /// What stands here, for errors.
    private var found: String {
        guard position < bytes.count else { return "the end of the file" }
        let rest = bytes[position...].prefix(24).prefix { $0 != UInt8(ascii: "\n") }
        guard !rest.isEmpty else { return "the end of the line" }
        let characters = rest.map { byte in
            (0x20..<0x7f).contains(byte) ? String(UnicodeScalar(byte)) : "\\x\(String(byte, radix: 16))"
        }
        return "'\(characters.joined())'"
    }

    @inline(__always)
    private static func digit(_ byte: UInt8) -> UInt64? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): UInt64(byte - UInt8(ascii: "0"))
        case UInt8(ascii: "a")...UInt8(ascii: "f"): UInt64(byte - UInt8(ascii: "a") + 10)
        default: nil
        }
    }
}
