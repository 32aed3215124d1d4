// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The columns that several files of a recording share.

extension LineReader {
    /// Takes a comma.
    mutating func comma() throws(CaptureError) {
        try expect(UInt8(ascii: ","))
    }

    /// Takes the first line of a table, which must be `text`.
    mutating func header(_ text: StaticString) throws(CaptureError) {
        try expect(text)
        try endLine()
    }

    /// Takes `bdf,sid,`: a PCI address and the same as one number.
    mutating func source() throws(CaptureError) -> UInt16 {
        let bus = try padded("the bus", digits: 2)
        try expect(UInt8(ascii: ":"))
        let device = try hexadecimal("the device", max: 0x1f)
        try expect(UInt8(ascii: "."))
        let function = try hexadecimal("the function", max: 7)
        try comma()
        let source = UInt16(bus << 8 | device << 3 | function)
        let number = try sourceNumber()
        guard number == source else { throw error("the bdf and the sid are not the same device") }
        try comma()
        return source
    }

    /// Takes a source id.
    mutating func sourceNumber() throws(CaptureError) -> UInt16 {
        UInt16(truncatingIfNeeded: try padded("the source id", digits: 4))
    }

    /// Takes a PASID and a comma; an empty column is none.
    mutating func optionalPASID() throws(CaptureError) -> UInt32? {
        var pasid: UInt32?
        if next != UInt8(ascii: ",") {
            pasid = UInt32(try hexadecimal("the PASID", max: 0xf_ffff))
        }
        try comma()
        return pasid
    }

    /// Takes 0 or 1 and a comma.
    mutating func flag(_ what: StaticString) throws(CaptureError) -> Bool {
        let value = try decimal(what, max: 1)
        try comma()
        return value == 1
    }

    /// Takes a hexadecimal number and a comma.
    mutating func hexadecimalColumn(_ what: StaticString) throws(CaptureError) -> UInt64 {
        let value = try hexadecimal(what)
        try comma()
        return value
    }

    /// Takes words of 64 bits with spaces between, up to `end` or a line's end, and leaves that.
    mutating func words(_ what: StaticString, most: Int) throws(CaptureError) -> [UInt64] {
        var words: [UInt64] = []
        while next != UInt8(ascii: ","), next != UInt8(ascii: "\n"), !isAtEnd {
            if !words.isEmpty { try space() }
            guard words.count < most else { throw error("\(what) has more than \(most) words") }
            words.append(try padded(what, digits: 16))
        }
        return words
    }
}
