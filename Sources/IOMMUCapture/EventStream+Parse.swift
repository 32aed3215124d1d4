// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Reading replay.txt. One function a letter; the letters stand in the README of every capture folder.

extension EventStream {
    /// Reads `replay.txt`.
    init(_ file: CaptureFile) throws(CaptureError) {
        self.init(file: file.name)
        self = try file.parse { (reader) throws(CaptureError) in
            guard !reader.isAtEnd else { throw reader.error("has no event") }
            var stream = EventStream(file: file.name)
            stream.reserve(lines: file.bytes.count / 40)
            var counts = [Int](repeating: 0, count: 256)
            while !reader.isAtEnd {
                counts[Int(reader.next)] += 1
                try stream.takeLine(&reader)
            }
            for (letter, count) in counts.enumerated() where count > 0 {
                stream.lineCounts[String(UnicodeScalar(UInt8(letter)))] = count
            }
            return stream
        }
    }

    /// Parses a stream that is in memory, under the name `file`: for tests and for tools that make streams.
    public init(text: [UInt8], file: String) throws(CaptureError) {
        try self.init(CaptureFile(name: file, bytes: text))
    }

    /// Growing an array of this size costs more than parsing it.
    private mutating func reserve(lines: Int) {
        events.reserveCapacity(lines)
        memoryWrites.reserveCapacity(lines / 2)
        translations.reserveCapacity(lines / 2)
    }

    @inline(__always)
    private mutating func takeLine(_ reader: inout LineReader) throws(CaptureError) {
        let line = UInt32(clamping: reader.line)
        let letter = reader.next
        reader.skip()
        try reader.space()
        switch letter {
        case UInt8(ascii: "T"): append(try Self.translation(&reader, line))
        case UInt8(ascii: "M"): append(try Self.memoryRead(&reader, line))
        case UInt8(ascii: "D"): append(try Self.descriptor(&reader, line))
        case UInt8(ascii: "S"): append(try Self.store(&reader, line))
        case UInt8(ascii: "W"): appendWrite(try Self.register(&reader, line))
        case UInt8(ascii: "R"): appendRead(try Self.register(&reader, line))
        case UInt8(ascii: "I"): append(try Self.interrupt(&reader, line))
        case UInt8(ascii: "G"): append(Signal(message: try Self.message(&reader), line: line))
        default: throw reader.error("'\(Character(UnicodeScalar(letter)))' is not a kind of event (W R M D S T I G)")
        }
        try reader.endLine()
    }

    // T sid pasid iova r|w -> gpa mask perm fault F [off] h|u|-
    @inline(__always)
    private static func translation(_ reader: inout LineReader, _ line: UInt32) throws(CaptureError) -> Translation {
        let source = try reader.sourceNumber()
        try reader.space()
        var pasid: UInt32?
        if reader.next == UInt8(ascii: "-") {
            reader.skip()
        } else {
            pasid = UInt32(try reader.hexadecimal("the PASID", max: 0xf_ffff))
        }
        try reader.space()
        let iova = try reader.hexadecimal("the input address")
        try reader.space()
        let isWrite = try letter(of: "r", or: "w", "r or w", &reader)
        try reader.expect(" -> ")
        let output = try reader.hexadecimal("the output address")
        try reader.space()
        let mask = try reader.hexadecimal("the mask")
        try reader.space()
        let rights = try reader.hexadecimal("the rights", max: 3)
        try reader.expect(" fault ")
        let fault = try reader.hexadecimal("the fault", max: 0xff)
        try reader.space()
        var isDisabled = false
        if reader.next == UInt8(ascii: "o") {
            try reader.expect("off ")
            isDisabled = true
        }
        let isHit = try hit(&reader)
        let answer = RecordedAnswer(
            outputBase: output, mask: mask, rights: UInt8(rights), fault: UInt8(fault), isDisabled: isDisabled)
        try answer.check(reader)
        return Translation(
            iova: iova, line: line, source: source, isWrite: isWrite, isHit: isHit, answer: answer,
            pasidOrNone: pasid ?? .max)
    }

    /// `h`, `u` or `-`.
    @inline(__always)
    private static func hit(_ reader: inout LineReader) throws(CaptureError) -> Bool {
        let letter = reader.next
        guard letter == UInt8(ascii: "h") || letter == UInt8(ascii: "u") || letter == UInt8(ascii: "-") else {
            throw reader.unexpected("h, u or -")
        }
        reader.skip()
        return letter == UInt8(ascii: "h")
    }

    @inline(__always)
    private static func letter(
        of first: UnicodeScalar, or second: UnicodeScalar, _ what: String, _ reader: inout LineReader
    ) throws(CaptureError) -> Bool {
        let letter = UnicodeScalar(reader.next)
        guard letter == first || letter == second else { throw reader.unexpected(what) }
        reader.skip()
        return letter == second
    }

    // M addr qword
    @inline(__always)
    private static func memoryRead(_ reader: inout LineReader, _ line: UInt32) throws(CaptureError) -> MemoryWrite {
        let address = try reader.hexadecimal("the address")
        guard address & 7 == 0 else { throw reader.error("the address is not a multiple of 8") }
        try reader.space()
        let value = try reader.hexadecimal("the word")
        return MemoryWrite(address: address, size: 8, value: value, isByUnit: false, line: line)
    }

    // S addr len val
    private static func store(_ reader: inout LineReader, _ line: UInt32) throws(CaptureError) -> MemoryWrite {
        let address = try reader.hexadecimal("the address")
        try reader.space()
        let size = try reader.hexadecimal("the length", max: 8)
        guard size > 0, size & (size - 1) == 0 else { throw reader.error("the length is not 1, 2, 4 or 8") }
        guard address & (size - 1) == 0 else { throw reader.error("the address is not a multiple of the length") }
        try reader.space()
        let value = try reader.hexadecimal("the value", max: size == 8 ? .max : (1 << (size * 8)) - 1)
        return MemoryWrite(address: address, size: UInt8(size), value: value, isByUnit: true, line: line)
    }

    // D head dw v0 v1 v2 v3
    @inline(__always)
    private static func descriptor(_ reader: inout LineReader, _ line: UInt32) throws(CaptureError) -> Descriptor {
        _ = try reader.decimal("the head", max: 0xffff_ffff)
        try reader.space()
        let isWide = try reader.decimal("dw", max: 1) == 1
        var words: InlineArray<4, UInt64> = [0, 0, 0, 0]
        for index in 0..<4 {
            try reader.space()
            words[index] = try reader.hexadecimal("the descriptor")
        }
        guard isWide || (words[2] == 0 && words[3] == 0) else {
            throw reader.error("a descriptor of 128 bits has more than two words")
        }
        let all = Descriptor.Words(q0: words[0], q1: words[1], q2: words[2], q3: words[3])
        return Descriptor(words: all, isWide: isWide, line: line)
    }

    // W off size val, R off size val
    private static func register(_ reader: inout LineReader, _ line: UInt32) throws(CaptureError) -> RegisterAccess {
        let offset = try reader.hexadecimal("the offset", max: 0xffff_ffff)
        try reader.space()
        let size = try reader.hexadecimal("the size", max: 8)
        guard size == 4 || size == 8 else { throw reader.error("the size is not 4 or 8") }
        guard offset & (size - 1) == 0 else { throw reader.error("the offset is not a multiple of the size") }
        try reader.space()
        let value = try reader.hexadecimal("the value", max: size == 8 ? .max : 0xffff_ffff)
        return RegisterAccess(offset: offset, size: UInt8(size), value: value, line: line)
    }

    // I addr data addr2 data2
    private static func interrupt(_ reader: inout LineReader, _ line: UInt32) throws(CaptureError) -> Interrupt {
        let asked = try message(&reader)
        try reader.space()
        return Interrupt(asked: asked, answered: try message(&reader), line: line)
    }

    // addr data, also the whole of G
    private static func message(_ reader: inout LineReader) throws(CaptureError) -> Message {
        let address = try reader.hexadecimal("the address")
        try reader.space()
        return Message(address: address, data: UInt32(try reader.hexadecimal("the data", max: 0xffff_ffff)))
    }

    private mutating func appendWrite(_ write: RegisterAccess) {
        events.append(Event(kind: .registerWrite, index: UInt32(truncatingIfNeeded: registerWrites.count)))
        registerWrites.append(write)
    }

    private mutating func appendRead(_ read: RegisterAccess) {
        events.append(Event(kind: .registerRead, index: UInt32(truncatingIfNeeded: registerReads.count)))
        registerReads.append(read)
    }

    private mutating func append(_ interrupt: Interrupt) {
        events.append(Event(kind: .interrupt, index: UInt32(truncatingIfNeeded: interrupts.count)))
        interrupts.append(interrupt)
    }

    private mutating func append(_ signal: Signal) {
        events.append(Event(kind: .signal, index: UInt32(truncatingIfNeeded: signals.count)))
        signals.append(signal)
    }

    private mutating func append(_ write: MemoryWrite) {
        events.append(Event(kind: .memoryWrite, index: UInt32(truncatingIfNeeded: memoryWrites.count)))
        memoryWrites.append(write)
    }

    private mutating func append(_ descriptor: Descriptor) {
        events.append(Event(kind: .descriptor, index: UInt32(truncatingIfNeeded: descriptors.count)))
        descriptors.append(descriptor)
    }

    private mutating func append(_ translation: Translation) {
        events.append(Event(kind: .translation, index: UInt32(truncatingIfNeeded: translations.count)))
        translations.append(translation)
    }
}
