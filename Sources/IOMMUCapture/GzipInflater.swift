// SPDX-License-Identifier: LGPL-2.1-or-later
//
// GzipInflater - a compressed file to bytes, in memory. It keeps what came before a damage, so that the damage can be placed.

internal import CZlib

/// What a compressed file held.
struct Inflated {
    /// Everything up to the damage, or to the end.
    var bytes: [UInt8] = []
    /// What is wrong with the compressed form; nil when checksum and length agree.
    var damage: String?
}

/// Undoes gzip with zlib.
struct GzipInflater {
    /// Window of 32 KiB and a gzip header, as zlib wants it said.
    private static let gzipWindowBits: Int32 = 15 + 16

    /// Inflates every member of a gzip file.
    ///
    /// - Parameters:
    ///   - input: The compressed file.
    ///   - limit: Most bytes that it may inflate to.
    static func inflate(_ input: [UInt8], limit: Int) -> Inflated {
        // zlib remembers the address of its stream.
        let stream = UnsafeMutablePointer<z_stream>.allocate(capacity: 1)
        unsafe stream.initialize(to: z_stream())
        defer { unsafe stream.deallocate() }
        let size = Int32(unsafe MemoryLayout<z_stream>.size)
        guard unsafe inflateInit2_(stream, gzipWindowBits, ZLIB_VERSION, size) == Z_OK else {
            return Inflated(damage: "zlib cannot start")
        }
        defer { unsafe inflateEnd(stream) }
        return unsafe run(stream, input, limit: limit)
    }

    private static func run(_ stream: UnsafeMutablePointer<z_stream>, _ input: [UInt8], limit: Int) -> Inflated {
        var output = [UInt8](repeating: 0, count: firstCapacity(input, limit: limit))
        var consumed = 0
        var produced = 0
        while true {
            let status = unsafe step(stream, input, &consumed, &output, &produced)
            switch status {
            case Z_STREAM_END where consumed == input.count:
                output.removeLast(output.count - produced)
                return Inflated(bytes: output)
            case Z_STREAM_END:
                // Another member may follow; anything else is found out by its header.
                unsafe inflateReset(stream)
            case Z_OK, Z_BUF_ERROR:
                if produced == output.count {
                    guard output.count < limit else {
                        return Inflated(bytes: output, damage: "is larger than \(limit) bytes when uncompressed")
                    }
                    output.append(contentsOf: repeatElement(0, count: min(output.count, limit - output.count)))
                } else if consumed == input.count {
                    output.removeLast(output.count - produced)
                    return Inflated(bytes: output, damage: "the compressed data ends early")
                }
            default:
                let reason = unsafe stream.pointee.msg.map { unsafe String(cString: $0) } ?? "error \(status)"
                output.removeLast(output.count - produced)
                return Inflated(bytes: output, damage: "the compressed data is damaged (\(reason))")
            }
        }
    }

    /// One call of zlib; moves `consumed` and `produced` on.
    private static func step(
        _ stream: UnsafeMutablePointer<z_stream>, _ input: [UInt8], _ consumed: inout Int, _ output: inout [UInt8],
        _ produced: inout Int
    ) -> Int32 {
        unsafe input.withUnsafeBufferPointer { source in
            unsafe output.withUnsafeMutableBufferPointer { target in
                let room = UInt32(clamping: target.count - produced)
                let rest = UInt32(clamping: source.count - consumed)
                unsafe stream.pointee.next_in = unsafe UnsafeMutablePointer(mutating: source.baseAddress! + consumed)
                unsafe stream.pointee.avail_in = rest
                unsafe stream.pointee.next_out = unsafe target.baseAddress! + produced
                unsafe stream.pointee.avail_out = room
                let status = unsafe CZlib.inflate(stream, Z_NO_FLUSH)
                unsafe consumed += Int(rest - stream.pointee.avail_in)
                unsafe produced += Int(room - stream.pointee.avail_out)
                return status
            }
        }
    }

    /// The last four bytes of a gzip file say how much it holds, if it is not damaged: a hint.
    private static func firstCapacity(_ input: [UInt8], limit: Int) -> Int {
        let tail = input.suffix(4)
        let hint = tail.reversed().reduce(0) { $0 << 8 | Int($1) }
        let plausible = tail.count == 4 && hint / 1100 <= input.count
        return min(limit, max(4096, plausible ? hint + 1 : input.count * 4))
    }
}
