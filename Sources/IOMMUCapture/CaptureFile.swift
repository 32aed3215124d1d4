// SPDX-License-Identifier: LGPL-2.1-or-later
//
// CaptureFile - one file of a capture folder as bytes, compressed or not. It knows nothing of what the bytes mean.

/// A file of a recording, uncompressed, with the name it has on disk.
struct CaptureFile {
    /// Most bytes of one file, uncompressed: far more than a recording needs, and less than would exhaust a machine.
    static let limit = 512 << 20

    /// The name on disk, with `.gz` if it is compressed.
    let name: String
    /// The contents, up to ``damage``.
    let bytes: [UInt8]
    /// What is wrong with the compressed form, if anything.
    let damage: String?

    /// Reads `name`, which may be compressed as `name.gz`; the compressed file counts if both exist.
    init(_ name: String, in folder: String) throws(CaptureError) {
        let compressed = name + ".gz"
        if let bytes = try Self.contents(of: compressed, in: folder) {
            let inflated = GzipInflater.inflate(bytes, limit: Self.limit)
            self.init(name: compressed, bytes: inflated.bytes, damage: inflated.damage)
        } else if let bytes = try Self.contents(of: name, in: folder) {
            self.init(name: name, bytes: bytes, damage: nil)
        } else {
            throw CaptureError(file: name, "is missing in \(folder), also as \(compressed)")
        }
    }

    /// Takes contents that are in memory already.
    init(name: String, bytes: [UInt8], damage: String? = nil) {
        self.name = name
        self.bytes = bytes
        self.damage = damage
    }

    /// Reads the file with `body`. If the compressed form is damaged, that is the error, at the line where the good part ends,
    /// unless `body` found something wrong before.
    func parse<Result>(
        _ body: (inout LineReader) throws(CaptureError) -> Result
    ) throws(CaptureError) -> Result {
        var reader = LineReader(file: name, bytes: bytes)
        do throws(CaptureError) {
            let result = try body(&reader)
            guard let damage else { return result }
            throw CaptureError(file: name, line: lastLine, damage)
        } catch {
            // What is wrong in the last line may well come from its being cut off.
            guard let damage, let line = error.line, line < lastLine else {
                throw damage.map { CaptureError(file: name, line: lastLine, $0) } ?? error
            }
            throw CaptureError(file: name, line: line, "\(error.message) (\(damage))")
        }
    }

    /// The number of the line that the last byte is in.
    private var lastLine: Int {
        bytes.dropLast().reduce(1) { $1 == UInt8(ascii: "\n") ? $0 + 1 : $0 }
    }

    /// Nil if there is no such file.
    private static func contents(of name: String, in folder: String) throws(CaptureError) -> [UInt8]? {
        do throws(FileContents.Failure) {
            return try FileContents.read(folder + "/" + name, limit: limit)
        } catch {
            switch error {
            case .missing: return nil
            case .notRegular: throw CaptureError(file: name, "is not a regular file")
            case .tooLarge: throw CaptureError(file: name, "is larger than \(limit) bytes")
            case .system(let reason): throw CaptureError(file: name, "cannot be read: \(reason)")
            }
        }
    }
}
