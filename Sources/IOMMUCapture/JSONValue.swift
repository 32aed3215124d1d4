// SPDX-License-Identifier: LGPL-2.1-or-later
//
// JSONValue - the two JSON files of a recording, with the line of every value, so that a wrong number can be named by its line.

/// A JSON value and where it stands.
struct JSONValue {
    /// What it is. Numbers are kept only if they are integers of 64 bits; the recordings have no others that count.
    enum Content {
        case object([Member])
        case array([JSONValue])
        case string(String)
        case integer(Int)
        case number(Double)
        case bool(Bool)
        case null
    }

    /// One member of an object.
    struct Member {
        let key: String
        let value: JSONValue
    }

    let line: Int
    let content: Content

    /// The members; nil if it is no object.
    var members: [Member]? {
        if case .object(let members) = content { members } else { nil }
    }

    /// The text; nil if it is no string.
    var string: String? {
        if case .string(let text) = content { text } else { nil }
    }

    /// The number; nil if it is no integer.
    var integer: Int? {
        if case .integer(let number) = content { number } else { nil }
    }

    /// The value of a member; nil if there is none.
    subscript(key: String) -> JSONValue? {
        members?.first { $0.key == key }?.value
    }
}

/// Reads one JSON document, strictly.
struct JSONReader {
    /// Deeper nesting is refused: it would cost stack.
    private static let maximumDepth = 32

    private var reader: LineReader

    /// Reads the document that the rest of `reader` is.
    static func document(_ reader: inout LineReader) throws(CaptureError) -> JSONValue {
        var json = JSONReader(reader: reader)
        let value = try json.value(depth: 0)
        try json.blanks()
        guard json.reader.isAtEnd else { throw json.reader.unexpected("the end of the file") }
        reader = json.reader
        return value
    }

    private mutating func value(depth: Int) throws(CaptureError) -> JSONValue {
        guard depth < Self.maximumDepth else { throw reader.error("is nested too deeply") }
        try blanks()
        let line = reader.line
        let content: JSONValue.Content
        switch reader.next {
        case UInt8(ascii: "{"): content = .object(try members(depth: depth))
        case UInt8(ascii: "["): content = .array(try elements(depth: depth))
        case UInt8(ascii: "\""): content = .string(try string())
        case UInt8(ascii: "t"): content = try word("true", .bool(true))
        case UInt8(ascii: "f"): content = try word("false", .bool(false))
        case UInt8(ascii: "n"): content = try word("null", .null)
        default: content = try number()
        }
        return JSONValue(line: line, content: content)
    }

    private mutating func members(depth: Int) throws(CaptureError) -> [JSONValue.Member] {
        var members: [JSONValue.Member] = []
        var keys: Set<String> = []
        reader.skip()
        try blanks()
        if reader.next == UInt8(ascii: "}") {
            reader.skip()
            return members
        }
        while true {
            try blanks()
            let key = try string()
            guard keys.insert(key).inserted else { throw reader.error("the key \"\(key)\" appears twice") }
            try blanks()
            try reader.expect(UInt8(ascii: ":"))
            members.append(JSONValue.Member(key: key, value: try value(depth: depth + 1)))
            try blanks()
            if reader.next != UInt8(ascii: ",") { break }
            reader.skip()
        }
        try reader.expect(UInt8(ascii: "}"))
        return members
    }

    private mutating func elements(depth: Int) throws(CaptureError) -> [JSONValue] {
        var elements: [JSONValue] = []
        reader.skip()
        try blanks()
        if reader.next == UInt8(ascii: "]") {
            reader.skip()
            return elements
        }
        while true {
            elements.append(try value(depth: depth + 1))
            try blanks()
            if reader.next != UInt8(ascii: ",") { break }
            reader.skip()
        }
        try reader.expect(UInt8(ascii: "]"))
        return elements
    }

    private mutating func string() throws(CaptureError) -> String {
        try reader.expect(UInt8(ascii: "\""))
        var bytes: [UInt8] = []
        while reader.next != UInt8(ascii: "\"") {
            guard reader.next >= 0x20 else { throw reader.unexpected("the end of a string") }
            if reader.next == UInt8(ascii: "\\") {
                reader.skip()
                bytes += try escape().utf8
            } else {
                bytes.append(reader.next)
                reader.skip()
            }
        }
        reader.skip()
        guard let text = String(validating: bytes, as: UTF8.self) else { throw reader.error("a string is not UTF-8") }
        return text
    }

    /// What follows a backslash.
    private mutating func escape() throws(CaptureError) -> String {
        let letter = reader.next
        let plain: [UInt8: String] = [
            UInt8(ascii: "\""): "\"", UInt8(ascii: "\\"): "\\", UInt8(ascii: "/"): "/", UInt8(ascii: "b"): "\u{8}",
            UInt8(ascii: "f"): "\u{c}", UInt8(ascii: "n"): "\n", UInt8(ascii: "r"): "\r", UInt8(ascii: "t"): "\t",
        ]
        guard let text = plain[letter] else { throw reader.unexpected("an escaped character of a recording") }
        reader.skip()
        return text
    }

    private mutating func number() throws(CaptureError) -> JSONValue.Content {
        var text = ""
        let allowed = "+-.0123456789eE"
        while let character = allowed.first(where: { $0.asciiValue == reader.next }) {
            text.append(character)
            reader.skip()
        }
        let digits = text.hasPrefix("-") ? text.dropFirst() : text[...]
        guard digits.first?.isNumber == true, !digits.hasPrefix("0") || !(digits.dropFirst().first?.isNumber ?? false)
        else {
            throw reader.unexpected("a JSON value")
        }
        if let integer = Int(text) { return .integer(integer) }
        guard let number = Double(text) else { throw reader.unexpected("a JSON value") }
        return .number(number)
    }

    private mutating func word(
        _ text: StaticString, _ content: JSONValue.Content
    ) throws(CaptureError) -> JSONValue.Content {
        try reader.expect(text)
        return content
    }

    private mutating func blanks() throws(CaptureError) {
        while !reader.isAtEnd {
            switch reader.next {
            case UInt8(ascii: "\n"): try reader.endLine()
            case UInt8(ascii: " "), UInt8(ascii: "\t"), UInt8(ascii: "\r"): reader.skip()
            default: return
            }
        }
    }
}
